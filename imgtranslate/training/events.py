"""The events that a training reports while it runs, and its result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data_check.check import DataReport


@dataclass(frozen=True, kw_only=True)
class Checking:
    """The number of training pictures that have been checked."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Started:
    """The beginning of a training, or its continuation, at ``step``."""

    run: Path
    device: str
    step: int
    total_steps: int
    total_epochs: int
    parameters: int
    report: DataReport | None  # None on a resume


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The end of a step; ``losses`` are the means that were last logged."""

    step: int
    total_steps: int
    epoch: int
    total_epochs: int
    losses: Mapping[str, float]
    logged: bool  # whether the losses are new
    images_per_second: float  # of both domains together
    waiting: float  # share of the time spent waiting for data
    remaining_seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The duration of the rest of the schedule at the pace of the first steps."""

    seconds: float
    seconds_per_step: float
    device: str


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A saved state: the run can be resumed from ``step``."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A validation on held-out pictures; lower is better."""

    step: int
    value: float
    best: float  # so far, this one included
    best_step: int


@dataclass(frozen=True, kw_only=True)
class Unwell:
    """A warning about the training: one line with the figure and what to do."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A remark for the user; one line."""

    text: str


Event = Checking | Started | Progress | Forecast | Saved | Validated | Unwell | Notice
Report = Callable[[Event], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a training: its run and how far it went."""

    run: Path
    step: int
    total_steps: int

    @property
    def finished(self) -> bool:
        """Return whether training reached its end, not an interruption."""
        return self.step >= self.total_steps


def ignore(event: Event) -> None:
    """Ignore an event."""


def never() -> bool:
    """Do not stop."""
    return False
