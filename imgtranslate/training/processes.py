"""The processes of one training: their start, their meeting, and the run that rank 0 sends.

A launcher (``torchrun``, or ``launch``) starts all of them with the same command. Rank 0 plans,
writes and reports like a single process. The other ranks receive settings, record and state from
it, read their rows of the same pictures, and print nothing.
"""

import contextlib
import logging
import os
import platform
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch.distributed import PrefixStore  # type: ignore[attr-defined]  # public, not listed
from torch.distributed.rendezvous import rendezvous

from imgtranslate.data.folders import Domains
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

SHUTDOWN_SECONDS = 120  # time after a signal to end the step and save
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by every launcher
REPORTED, STEPS = "imgtranslate/reported", "steps_done"


class ReportedElsewhereError(ImgTranslateError):
    """An end of this process that another process has already explained."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """The rank of a process among those that a launcher starts; by default a single process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on this machine
    name: str = ""  # the same for all processes, also after a restart
    attempt: int = 0  # number of restarts by the launcher


ALONE = Launch()


def launch(arguments: Sequence[str], *, processes: int) -> int:
    """Run ``imgtranslate`` with ``arguments`` in several processes; return the exit status.

    The processes inherit the streams, receive every signal, and end together.
    """
    from torch.distributed.elastic.multiprocessing import SignalException  # slow to import
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.2,
    )
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    logging.disable(logging.CRITICAL)  # the processes report errors themselves
    try:
        elastic_launch(config, sys.executable)("-m", "imgtranslate", *arguments)
    except ChildFailedError as error:
        return max(1, error.get_first_failure()[1].exitcode)
    except SignalException as error:
        return 128 + int(error.sigval)
    finally:
        logging.disable(logging.NOTSET)
    return 0


def launch_of(environment: Mapping[str, str]) -> Launch:
    """Read the environment variables of a launcher."""
    if not (environment.get("RANK") and environment.get("MASTER_ADDR")):
        return ALONE
    try:
        rank, size, _ = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        local = int(environment.get("LOCAL_RANK") or rank)
        attempt = int(environment.get("TORCHELASTIC_RESTART_COUNT") or 0)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{', '.join(VARIABLES)}: not all set to valid values. Start with torchrun, or unset "
            "RANK"
        ) from error
    name = environment.get("TORCHELASTIC_RUN_ID") or "none"
    if name == "none":  # without a name, identify the launcher as the parent process
        name = f"{platform.node()}:{os.getppid()}"
    return Launch(rank=rank, size=size, local_rank=local, name=name, attempt=attempt)


@contextlib.contextmanager
def joined(launch: Launch, *, device: str) -> Iterator[ProcessGroup]:
    """Form the process group of a launch for the duration of the block.

    If an error ends all processes, one reports it and the others raise ``ReportedElsewhereError``.
    """
    if launch.size == 1:
        yield SINGLE_PROCESS
        return
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    store = _rendezvous(launch, "nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(
            rank=launch.rank,
            size=launch.size,
            control=_cpu_group(TIMEOUT),
            patient=_cpu_group(LONGEST_TIMEOUT),
        )
    except ProcessGroupError as error:
        if _is_reported(store):
            raise ReportedElsewhereError(str(error)) from error
        raise
    except ImgTranslateError as error:
        _is_reported(store)
        if launch.rank == 0:
            raise
        raise type(error)(f"rank {launch.rank}: {error}") from error
    except BaseException:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()  # not after an error: it would wait for processes that have ended


def send_run(run: Run, learner: Learner, record: Mapping[str, Any]) -> None:
    """Send the run to the other ranks, which wait in ``receive_run``."""
    group = learner.group
    group.wait(LONGEST_TIMEOUT)
    group.broadcast(str(run.folder).encode())
    group.broadcast(config_text(learner.settings, record).encode())
    share_state(learner)


def receive_run(group: ProcessGroup, device: torch.device) -> tuple[Run, Learner, Domains]:
    """Receive the run from rank 0, with a learner in the same state as that of rank 0.

    Raises ``DataError`` if the pictures on this machine differ from those of rank 0.
    """
    group.wait(LONGEST_TIMEOUT)
    run = Run(Path(group.broadcast().decode()))
    settings, record = parse_config(group.broadcast().decode())
    learner = Learner(settings, device, group=group)
    share_state(learner)
    domains = domains_of_run(settings, record)
    for domain in domains:
        if has_changed(domain, record):
            raise DataError(
                f"{domain.folder}: the pictures here differ from those on the first machine. Copy "
                "them from there"
            )
    return run, learner, domains


def share_state(learner: Learner) -> None:
    """Copy the state of the learner of rank 0 to all ranks."""
    group = learner.group
    if group.size == 1:
        return
    if group.leads:
        state = {**learner.state_tensors(), STEPS: torch.tensor(learner.steps_done)}
        group.broadcast(save({name: tensor.cpu().contiguous() for name, tensor in state.items()}))
        return
    state = load(group.broadcast())
    learner.restore(state, steps_done=int(state.pop(STEPS)))


def _rendezvous(launch: Launch, backend: str) -> Any:
    """Connect all processes; return the store in which they leave messages for each other."""
    try:
        store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
        store = PrefixStore(f"imgtranslate/{launch.attempt}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    except RuntimeError as error:
        raise ProcessGroupError(
            f"{launch.size} processes: could not connect: "
            f"{' '.join(str(error).split())[:200].rstrip('.')}. Check that every machine reaches "
            "the first one at the address and port given to the launcher"
        ) from error
    return store


def _cpu_group(timeout: timedelta) -> dist.ProcessGroup:
    """Form a group for small messages on the CPU."""
    group = dist.new_group(backend="gloo", timeout=timeout)
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(f"this process is not in a group: {group}")
    return group


def _is_reported(store: Any) -> bool:
    """Return whether a process has already reported the end, and record that this one does."""
    try:
        return bool(store.add(REPORTED, 1) > 1)
    except RuntimeError:  # the process that hosts the store has ended
        return False
