"""The processes of one training: how they meet, and what those do that do not lead.

A launcher (``torchrun``, or ``launch``) starts them all with one command. The leader plans, writes
and shows as a process alone does; the others get settings, record and state from it, read their
part of the same pictures, and are silent.
"""

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # public, not listed
from torch.distributed.rendezvous import rendezvous

from imgtranslate.device import choose_device
from imgtranslate.errors import DataError, ImgTranslateError, UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.process_group import (
    LONGEST_TIMEOUT,
    SINGLE_PROCESS,
    TIMEOUT,
    ProcessGroup,
    ProcessGroupError,
)
from imgtranslate.runs.data import domains_of_run, has_changed
from imgtranslate.runs.folder import Run, config_text, parse_config
from imgtranslate.settings.config import Settings

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what every launcher sets
TOLD, STEPS = "imgtranslate/told", "steps_done"


class ToldElsewhereError(ImgTranslateError):
    """Another process ended first, and has said why."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What a launcher tells a process that it starts."""

    rank: int
    size: int
    local_rank: int  # on this machine
    name: str  # the same for all processes, and again after a restart
    attempt: int = 0  # how often the launcher has started them anew


def launch_of(environment: Mapping[str, str]) -> Launch | None:
    """What the environment says of a launcher; nothing without one."""
    if not (environment.get("RANK") and environment.get("MASTER_ADDR")):
        return None
    try:
        rank, size, _ = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        local = int(environment.get("LOCAL_RANK") or rank)
        attempt = int(environment.get("TORCHELASTIC_RESTART_COUNT") or 0)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{', '.join(NAMES)}: not all of them are set to numbers and a name. Start with "
            "torchrun, or unset RANK"
        ) from error
    named = environment.get("TORCHELASTIC_RUN_ID", "none")
    if named == "none":  # not named: the launcher is the parent
        named = f"{platform.node()}:{os.getppid()}"
    return Launch(
        rank=rank,
        size=size,
        local_rank=local,
        name=named,
        attempt=attempt,
    )


def device_of_rank(device: str, gpus: list[str], local_rank: int) -> str:
    """The device of one process: the GPU of its number on the machine, or of its place in a list.

    ``gpus``: numbers as in ``--gpu 0,1``; empty without.
    """
    if gpus and local_rank >= len(gpus):
        raise UsageError(
            f"--gpu {','.join(gpus)}: fewer GPUs than processes on this machine. Name one for each"
        )
    if gpus:
        return f"cuda:{gpus[local_rank]}"
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        return f"cuda:{local_rank}"
    if device == "mps":
        raise UsageError("--device mps: trains in one process. Use --device cpu")
    return "cpu" if device == "auto" else device


@contextlib.contextmanager
def joined(launch: Launch | None, *, device: str) -> Iterator[ProcessGroup]:
    """Meet the other processes of a launch, until the block is left.

    Of a fault that takes all of them down one process tells, as its error: the others raise
    ``ToldElsewhereError``.
    """
    if launch is None or launch.size == 1:
        yield SINGLE_PROCESS
        return
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    store = _meet(launch, "nccl" if chosen.type == "cuda" else "gloo")
    rank = launch.rank
    try:
        yield ProcessGroup(
            rank=rank,
            size=launch.size,
            control=_group(TIMEOUT),
            patient=_group(LONGEST_TIMEOUT),
        )
    except ProcessGroupError as error:
        if _is_told(store):
            raise ToldElsewhereError(str(error)) from error
        raise
    except ImgTranslateError as error:
        _is_told(store)
        if rank == 0:
            raise
        raise type(error)(f"rank {rank}: {error}") from error
    except BaseException:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()  # not after a fault: it would wait for those who are gone


def _meet(launch: Launch, backend: str) -> Any:
    """Form the group of all; return the store in which they leave words for each other."""
    try:
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        store = PrefixStore(f"imgtranslate/{launch.attempt}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    except RuntimeError as error:
        raise ProcessGroupError(
            f"{launch.size} processes: could not meet: {_one_line(error)}. Check that every "
            "machine reaches the first by the name and port that the launcher was given"
        ) from error
    return store


def _group(patience: timedelta) -> dist.ProcessGroup:
    """A group in which processes agree, without their devices."""
    group = dist.new_group(backend="gloo", timeout=patience)
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(f"this process is in no group: {group}")
    return group


def introduce(
    group: ProcessGroup, run: Run, learner: Learner, settings: Settings, record: Mapping[str, Any]
) -> None:
    """Tell the others, who wait in ``follow``, what is learnt and from where on."""
    group.wait(LONGEST_TIMEOUT)
    group.broadcast(str(run.folder).encode())
    group.broadcast(config_text(settings, record).encode())
    share_state(learner, group)


def introduced(
    group: ProcessGroup, device: torch.device
) -> tuple[Run, Learner, Settings, tuple[Any, Any]]:
    """What the leader introduces: the run, a learner that stands where its own does, the rest.

    Raises ``DataError`` if the pictures here are not those of the leader.
    """
    group.wait(LONGEST_TIMEOUT)
    run = Run(Path(group.broadcast().decode()))
    settings, record = parse_config(group.broadcast().decode())
    learner = Learner(settings, device, group=group)
    share_state(learner, group)
    domains = domains_of_run(settings, record)
    for domain in domains:
        if has_changed(domain, record):
            raise DataError(
                f"{domain.folder}: its pictures here are not those on the first machine. Copy them"
            )
    return run, learner, settings, domains


def share_state(learner: Learner, group: ProcessGroup) -> None:
    """Let all learners stand where the leader's does."""
    if group.size == 1:
        return
    if group.leads:
        state = {**learner.state_tensors(), STEPS: torch.tensor(learner.steps_done)}
        group.broadcast(save({name: tensor.cpu().contiguous() for name, tensor in state.items()}))
        return
    state = load(group.broadcast())
    learner.restore(state, steps_done=int(state.pop(STEPS)))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def _is_told(store: Any) -> bool:
    """Whether a process has told of the end before; from now on one has."""
    try:
        return bool(store.add(TOLD, 1) > 1)
    except RuntimeError:  # who kept the store is gone
        return False
