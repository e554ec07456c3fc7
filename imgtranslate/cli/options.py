"""Options that several commands share, and how they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.errors import nearest

if TYPE_CHECKING:
    from imgtranslate.model_files.checkpoint import Direction

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Gpu = Annotated[str | None, typer.Option(help="Number of the GPU.")]


def device_of(device: str, gpu: str | None) -> str:
    """Return the device that ``--gpu`` names, else that of ``--device``."""
    return device if gpu is None else device_of_gpu(gpu)


def device_of_gpu(gpu: str) -> str:
    """Turn the value of ``--gpu`` (``0``) into the name of a device (``cuda:0``)."""
    return f"cuda:{gpu.strip()}"


def directions_from(start: str | None) -> "list[Direction]":
    """Return the directions that begin at the side that ``--from`` names; both without one."""
    if start is None:
        return ["ab", "ba"]
    return ["ab" if nearest(start.lower(), ("a", "b"), what="--from") == "a" else "ba"]
