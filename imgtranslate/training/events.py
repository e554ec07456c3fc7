"""What a training reports while it runs, and where it stands when it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data_check.check import DataReport


@dataclass(frozen=True, kw_only=True)
class Checking:
    """So many of the training pictures have been read."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Started:
    """Learning begins, or goes on, at ``step``."""

    run: Path
    device: str
    step: int
    total_steps: int
    total_epochs: int
    parameters: int
    report: DataReport | None  # None on a resume


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step was made; ``losses`` are the means that were last logged."""

    step: int
    total_steps: int
    epoch: int
    total_epochs: int
    losses: Mapping[str, float]
    logged: bool  # whether the losses are new
    images_per_second: float  # of both domains together
    waiting: float  # the share of the time spent waiting for data
    remaining_seconds: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How long the rest of the schedule takes at the pace of the first steps."""

    seconds: float
    seconds_per_step: float
    device: str


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The run can be resumed from ``step``."""

    step: int


@dataclass(frozen=True, kw_only=True)
class Validated:
    """The run was measured on held-out pictures; lower is better."""

    step: int
    value: float
    best: float  # so far, this one included
    best_step: int


@dataclass(frozen=True, kw_only=True)
class Unwell:
    """Something is wrong with the training; one line with the figure and what to do."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something that the person should know; one line."""

    text: str


Event = Checking | Started | Progress | Forecast | Saved | Validated | Unwell | Notice
Report = Callable[[Event], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Where a training stands when it returns."""

    run: Path
    step: int
    total_steps: int

    @property
    def finished(self) -> bool:
        """Whether it came to its end, not to an interruption."""
        return self.step >= self.total_steps


def ignore(event: Event) -> None:
    """Report to nobody."""


def never() -> bool:
    """Do not stop."""
    return False
