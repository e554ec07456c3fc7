"""The processes that train together, started here for each GPU or by ``torchrun``."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.methods.process_group import ProcessGroup
    from imgtranslate.training.processes import Launch


@dataclass(frozen=True, kw_only=True)
class Place:
    """The device of this process, and its place among those that train together."""

    device: str
    launch: "Launch"

    @contextmanager
    def joined(self) -> Iterator["ProcessGroup"]:
        """Form the process group; exit quietly if another process has reported the error."""
        from imgtranslate.training.processes import ReportedElsewhereError, joined

        try:
            with joined(self.launch, device=self.device) as group:
                yield group
        except ReportedElsewhereError as error:
            raise typer.Exit(error.exit_code) from error


def place_of(arguments: Sequence[str], *, gpu: str | None, device: str) -> Place:
    """Find the device of this process; for several GPUs start a process each and wait for them.

    ``arguments``: the command line to start them with.
    """
    from imgtranslate.device import choose_device, device_of_gpu
    from imgtranslate.training.processes import device_of_rank, launch, launch_of

    gpus = _numbers(gpu)
    launched = launch_of(os.environ)
    if launched.name:
        return Place(device=device_of_rank(device, gpus, launched.local_rank), launch=launched)
    if len(gpus) < 2:
        return Place(device=device_of_gpu(gpus[0]) if gpus else device, launch=launched)
    for number in gpus:
        choose_device(device_of_gpu(number))
    raise typer.Exit(launch(arguments, processes=len(gpus)))


def _numbers(gpu: str | None) -> list[str]:
    numbers = [number.strip() for number in gpu.split(",")] if gpu is not None else []
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--gpu {gpu}: names a GPU twice. Name each once")
    return numbers
