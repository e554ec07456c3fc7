"""``cycle-check.json``, the object that `cycle-check --json` prints."""

from typing import ClassVar, Generic, TypeVar

from pydantic import Field

from imgtranslate.evaluation.documents import Count, Document, Number
from imgtranslate.model_files.checkpoint import Direction

T = TypeVar("T")

TITLES = {  # of the figures of a direction, as a person reads them
    "mae": "error, fake saved as 8 bits",
    "mae_float": "  fake not rounded",
    "mae_jpeg": "  fake saved as JPEG",
    "mae_noise": "  fake with slight noise",
    "mae_blur": "  fake slightly blurred",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "change": "change",
    "brightness": "brightness agrees",
}


class Spread(Document):
    """A number over many pictures."""

    mean: Number
    std: Number  # of these pictures, divided by their count
    low: Number  # of the 95 % bootstrap interval of the mean
    high: Number
    count: Count = 0  # pictures that have this number


class Measured(Document, Generic[T]):
    """All numbers of a cycle, by the names of ``docs/cycle-check.md``."""

    mae: T | None = None
    psnr: T | None = None
    ssim: T | None = None
    change: T | None = None
    identity: T | None = None
    brightness: T | None = None
    mae_float: T | None = None
    mae_png: T | None = None
    mae_jpeg: T | None = None
    mae_noise: T | None = None
    mae_blur: T | None = None
    own_png: T | None = None
    own_jpeg: T | None = None
    own_noise: T | None = None
    own_blur: T | None = None


class _Place(Document):
    path: str = ""
    direction: Direction = "ab"  # of the first translation


class Row(Measured[Number], _Place):
    """A picture; one that failed has an ``error`` and no numbers."""

    error: str | None = None


class Worst(Document):
    """A picture that came back badly."""

    path: str = ""
    mae: Number | None = None


class _Counted(Document):
    count: Count = 0  # pictures measured


class Figures(Measured[Spread], _Counted):
    """The numbers over many pictures."""

    worst: tuple[Worst, ...] = ()


class FindingRow(Document):
    """A fault, and the figure that shows it."""

    verdict: str = ""
    figure: Number | None = None
    reason: str = ""


class DirectionFigures(Figures):
    """One direction; ``identity`` is that of its own generator."""

    verdict: str = ""  # the gravest
    reason: str = ""
    findings: tuple[FindingRow, ...] = ()


class Summary(Figures):
    """Both directions together, and each."""

    failed: Count = 0
    directions: dict[str, DirectionFigures] = Field(default_factory=dict)
    shortfalls: tuple[str, ...] = ()


class CycleCheckFile(Document):
    """A whole cycle check."""

    FILE: ClassVar[str] = "cycle-check.json"

    images: tuple[Row, ...] = ()
    summary: Summary = Summary()
    steps: dict[str, Count] = Field(default_factory=dict)  # of the models, by direction
    verdict: str = ""
