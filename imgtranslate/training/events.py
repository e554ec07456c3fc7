"""The events that a training reports while it runs, and its result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data_check.check import DataReport
from imgtranslate.runs.folder import MetricsRow
from imgtranslate.settings.config import Settings


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
    settings: Settings
    report: DataReport | None  # None on a resume
    ended_early: bool = False  # by ``train.patience``, before a resume; no step follows


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The measured speed of the last steps, in this process."""

    steps_per_second: float
    images_per_second: float  # of both domains together
    waiting: float  # share of the time spent waiting for pictures, 0 to 1
    remaining_seconds: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The end of a step; ``losses`` are the means that were last logged."""

    step: int
    total_steps: int
    epoch: int
    total_epochs: int
    losses: Mapping[str, float]
    logged: bool  # whether the losses are new
    speed: Speed | None  # None in the first steps, which are slower than the rest


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The duration of the remaining steps, at the measured speed of the first ones."""

    steps: int
    seconds: float
    seconds_per_step: float


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A saved state: the run can be resumed from ``step``."""

    step: int
    final: bool = False  # whether no step follows, but the report


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A validation on held-out pictures; lower is better."""

    step: int
    value: float
    best: float  # so far, this one included
    best_step: int


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A row that has been appended to ``metrics.jsonl``; its step is lower after a recovery."""

    row: MetricsRow


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture that has been written to ``samples/``."""

    step: int
    picture: Path


@dataclass(frozen=True, kw_only=True)
class Unwell:
    """A warning about the training: one line with the figure and what to do."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A remark for the user; one line."""

    text: str


Event = (
    Checking | Started | Progress | Forecast | Saved | Validated | Logged | Drawn | Unwell | Notice
)
Report = Callable[[Event], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a training: its run, the steps made, and the best of them."""

    run: Path
    step: int
    total_steps: int
    first_step: int = 0  # the step at which this process began; above 0 after a resume
    seconds: float = 0.0  # in this process
    best: float | None = None  # the best validation so far; None without one
    best_step: int | None = None
    ended_early: bool = False  # by ``train.patience``
    diverged: str = ""  # a sentence, if the losses had diverged in the last steps
    report: Path | None = None  # the page of the finished run

    @property
    def finished(self) -> bool:
        """Return whether training reached its end, not an interruption."""
        return self.step >= self.total_steps or self.ended_early


def ignore(event: Event) -> None:
    """Ignore an event."""


def never() -> bool:
    """Do not stop."""
    return False
