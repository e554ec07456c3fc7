"""Options that several commands share, and their conversion to parameters."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtranslate.cli.completion import complete_device, complete_model, complete_run
from imgtranslate.errors import UsageError, nearest

if TYPE_CHECKING:
    from imgtranslate.settings.config import Direction
    from imgtranslate.training.processes import Launch


COMPLETED = {  # by placeholder
    "RUN": complete_run,
    "FILE|RUN": complete_model,
}


def option(
    placeholder: str | None, explanation: str | None = None, *names: str, **details: Any
) -> Any:
    """Declare an option with the placeholder of its value and its explanation in the help.

    ``placeholder``: "" for a flag; None lists the choices of a ``Literal``. ``names``: by default
    that of the parameter. ``details`` are those of ``typer.Option``. A shell completes runs and
    models where the placeholder names them.
    """
    if placeholder in COMPLETED:
        details.setdefault("autocompletion", COMPLETED[placeholder])
    return typer.Option(*names, metavar=placeholder, help=explanation, **details)


RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="Folder of a run, as train wrote it.", autocompletion=complete_run
    ),
]
Device = Annotated[
    str,
    option(
        "NAME",
        "Device to run on: auto, cpu, cuda, cuda:N or mps; auto is the first GPU, else the CPU.",
        autocompletion=complete_device,
    ),
]
Gpu = Annotated[str | None, option("N", "Number of the GPU to run on, from 0; as --device cuda:N.")]


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


@dataclass(frozen=True, kw_only=True)
class Place:
    """The device of this process, and its rank among the processes of the training."""

    device: str
    options: list[str]  # of the command line, that choose the same device on a resume
    launch: "Launch"


def place_of(arguments: Sequence[str], *, gpu: str | None, device: str) -> Place:
    """Choose the device of this process; for several GPUs start one process each and wait.

    ``arguments``: the command line of the started processes.
    """
    from imgtranslate.device import choose_device
    from imgtranslate.training.processes import launch, launch_of

    gpus = [number.strip() for number in gpu.split(",")] if gpu is not None else []
    if len(set(gpus)) < len(gpus):
        raise UsageError(f"--gpu {gpu}: names a GPU twice. Name each GPU once")
    options = ["--gpu", ",".join(gpus)] if gpus else []
    options += ["--device", device] if device != "auto" else []
    launched = launch_of(os.environ)
    if launched.name:
        own = device_of_rank(device, gpus, launched.local_rank)
    elif len(gpus) > 1:
        for number in gpus:
            choose_device(device_of_gpu(number))
        raise typer.Exit(launch(arguments, processes=len(gpus)))
    else:
        own = device_of_gpu(gpus[0]) if gpus else device
    return Place(device=own, options=options, launch=launched)


def device_of_rank(device: str, gpus: Sequence[str], local_rank: int) -> str:
    """Return the device of a process: the GPU at its local rank, in ``gpus`` if they are given."""
    import torch

    if gpus and local_rank >= len(gpus):
        raise UsageError(
            f"--gpu {','.join(gpus)}: fewer GPUs than processes on this machine. Name one GPU for "
            "each process"
        )
    if gpus:
        return device_of_gpu(gpus[local_rank])
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        return f"cuda:{local_rank}"
    if device == "mps":
        raise UsageError("--device mps: trains in one process only. Use --device cpu")
    return "cpu" if device == "auto" else device
