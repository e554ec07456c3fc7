"""The processes of one training, started here for each GPU or by ``torchrun``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from imgtranslate.cli.options import device_of_gpu
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.training.processes import Launch


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
        return Place(device=own, options=options, launch=launched)
    if len(gpus) > 1:
        for number in gpus:
            choose_device(device_of_gpu(number))
        raise typer.Exit(launch(arguments, processes=len(gpus)))
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
        return f"cuda:{gpus[local_rank]}"
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        return f"cuda:{local_rank}"
    if device == "mps":
        raise UsageError("--device mps: trains in one process only. Use --device cpu")
    return "cpu" if device == "auto" else device
