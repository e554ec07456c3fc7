"""The logs of ``train.log``: listeners on the events of a training, imported when asked for.

A log never ends a training: one that fails is dropped with a notice.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from imgtranslate.errors import needs_extra, one_line
from imgtranslate.settings.config import LogName
from imgtranslate.training.events import Event, Notice, Report, Started


class Log(Protocol):
    """A log that has been opened for a run."""

    place: str  # where its user finds it; one line

    def show(self, event: Event) -> None:
        """Log one event, or ignore it."""

    def close(self) -> None:
        """Write what is left."""


Opener = Callable[[Started], Log]


def find_logs(names: Iterable[LogName]) -> dict[str, Opener]:
    """Import the logs; raise ``UsageError`` if the packages of one are not installed."""
    openers: dict[str, Opener] = {}
    for name in names:
        with needs_extra(name, what=f"train.log {name}"):
            match name:
                case "csv":
                    from imgtranslate.training.logs.csv_log import CsvLog

                    openers[name] = CsvLog
                case "tensorboard":
                    from imgtranslate.training.logs.tensorboard_log import TensorBoardLog

                    openers[name] = TensorBoardLog
                case "wandb":
                    from imgtranslate.training.logs.wandb_log import WandbLog

                    openers[name] = WandbLog
    return openers


@contextlib.contextmanager
def logging_to(openers: Mapping[str, Opener], report: Report) -> Iterator[Report]:
    """Yield ``report`` extended to the logs, which open with ``Started`` and close at the end."""
    logs: dict[str, Log] = {}

    def drop(name: str, error: Exception) -> None:
        log, said = logs.pop(name, None), one_line(str(error)) or type(error).__name__
        if log is not None:
            with contextlib.suppress(Exception):
                log.close()
        report(Notice(text=f"train.log {name}: {said}. Training continues without it"))

    def tell(event: Event) -> None:
        report(event)
        if isinstance(event, Started):
            for name, opener in openers.items():
                try:
                    logs[name] = opener(event)
                except Exception as error:  # whatever the library raises
                    drop(name, error)
                else:
                    report(Notice(text=f"train.log {name}: {logs[name].place}"))
        for name, log in [*logs.items()]:
            try:
                log.show(event)
            except Exception as error:  # whatever the library raises
                drop(name, error)

    try:
        yield tell
    finally:
        for name, log in [*logs.items()]:
            try:
                log.close()
            except Exception as error:  # whatever the library raises
                drop(name, error)


def grouped(numbers: Mapping[str, float]) -> dict[str, float]:
    """Prefix each name with its group, by which the pages of dashboards are ordered."""
    return {f"{_group(name)}/{name}": value for name, value in numbers.items()}


def _group(name: str) -> str:
    if name in ("lr", "epoch"):
        return "schedule"
    measured = name.startswith(("validation", "spread_", "brightness_", "diversity"))
    return "validation" if measured else "loss"
