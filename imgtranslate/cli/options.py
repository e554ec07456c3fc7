"""Options that several commands share, and their conversion to parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.errors import nearest

if TYPE_CHECKING:
    from imgtranslate.settings.config import Direction

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Folder of a run, as train wrote it.")
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Device to run on: auto, cpu, cuda, cuda:N or mps; auto is the first GPU, else the "
        "CPU.",
    ),
]
Gpu = Annotated[
    str | None,
    typer.Option(metavar="N", help="Number of the GPU to run on, from 0; as --device cuda:N."),
]


def device_of(device: str, gpu: str | None) -> str:
    """Return the device of ``--gpu``, or without it that of ``--device``."""
    return device if gpu is None else device_of_gpu(gpu)


def device_of_gpu(gpu: str) -> str:
    """Convert the value of ``--gpu`` (``0``) to the name of a device (``cuda:0``)."""
    return f"cuda:{gpu.strip()}"


def directions_from(start: str | None) -> "list[Direction]":
    """Return the directions that start from the domain of ``--from``, or both without it."""
    if start is None:
        return ["ab", "ba"]
    return ["ab" if nearest(start.lower(), ("a", "b"), what="--from") == "a" else "ba"]
