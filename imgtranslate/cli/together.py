"""A command that several processes run together: started for each GPU, or by ``torchrun``."""

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
    """Where a process computes, and what started it, if not a person alone."""

    device: str
    launch: "Launch | None"

    @property
    def launch_name(self) -> str:
        """What tells this launch from others; empty without one."""
        return "" if self.launch is None else self.launch.name

    @property
    def processes(self) -> int:
        """How many train together."""
        return 1 if self.launch is None else self.launch.size

    @property
    def rank(self) -> int:
        """The number of this one among them; 0 leads."""
        return 0 if self.launch is None else self.launch.rank

    @contextmanager
    def joined(self) -> Iterator["ProcessGroup"]:
        """Meet the others; end quietly where another process has said why all end."""
        from imgtranslate.training.processes import ToldElsewhereError, joined

        try:
            with joined(self.launch, device=self.device) as group:
                yield group
        except ToldElsewhereError as error:
            raise typer.Exit(error.exit_code) from error


def place_of(arguments: Sequence[str], *, gpu: str | None, device: str) -> Place:
    """Where this process computes; of several GPUs each gets a process, and this one only waits.

    ``arguments``: of the whole command line, to start it anew with.
    """
    from imgtranslate.device import choose_device, device_of_gpu
    from imgtranslate.training.processes import device_of_rank, launch_of

    gpus = _numbers(gpu)
    launched = launch_of(os.environ)
    if launched is not None:
        return Place(device=device_of_rank(device, gpus, launched.local_rank), launch=launched)
    if len(gpus) < 2:
        return Place(device=device_of_gpu(gpus[0]) if gpus else device, launch=None)
    from imgtranslate.training.launch import launch

    for number in gpus:
        choose_device(device_of_gpu(number))
    raise typer.Exit(launch(arguments, processes=len(gpus)))


def _numbers(gpu: str | None) -> list[str]:
    numbers = [number.strip() for number in gpu.split(",")] if gpu is not None else []
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--gpu {gpu}: names a GPU twice. Name each once")
    return numbers
