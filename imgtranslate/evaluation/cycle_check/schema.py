"""``cycle-check.json``, the object that `cycle-check --json` prints."""

import math
from collections.abc import Sequence
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
WORST = 5  # pictures


class Spread(Document):
    """A number over many pictures."""

    mean: Number
    std: Number  # of these pictures, divided by their count
    low: Number  # of the 95 % bootstrap interval of the mean
    high: Number
    count: Count = 0  # pictures that have this number

    def cells(self, form: str) -> list[str]:
        """Write mean, spread and interval in a number format, as in ``.4f``."""
        numbers = (self.mean, self.std, self.low, self.high)
        mean, std, low, high = (f"{n:{form}}" if math.isfinite(n) else "-" for n in numbers)
        return [mean, std, f"{low} to {high}"]


class Measured(Document, Generic[T]):
    """All numbers of a cycle; errors are means of |x - y| as fractions of the full range.

    ``mae_*`` is the error with a fake that was slightly harmed on its way, ``own_*`` how much the
    harm changes the real picture or the fake themselves, the larger.
    """

    mae: T | None = None  # of the recovered picture, as are ``psnr`` and ``ssim``
    psnr: T | None = None  # dB; None where nothing differs, so that it is infinite
    ssim: T | None = None
    change: T | None = None  # of the fake from the picture; None where the channels differ
    identity: T | None = None  # of F(x) from x, F the way back; None where the channels differ
    brightness: T | None = None  # of fake and picture, from -1, inverted, to 1; None where flat
    mae_float: T | None = None  # with a fake that is not rounded to 8 bits
    mae_png: T | None = None  # the rounding alone, so it is ``mae``
    mae_jpeg: T | None = None
    mae_noise: T | None = None
    mae_blur: T | None = None
    own_png: T | None = None
    own_jpeg: T | None = None
    own_noise: T | None = None
    own_blur: T | None = None


NUMBERS = tuple(Measured.model_fields)


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


class Finding(Document):
    """A fault, and the figure that shows it."""

    verdict: str = ""
    figure: Number | None = None
    reason: str = ""


class Judgement(Document):
    """The verdict on one direction."""

    verdict: str = ""  # the gravest fault, or ``healthy``
    reason: str = ""
    findings: tuple[Finding, ...] = ()  # the gravest first

    @property
    def verdicts(self) -> list[str]:
        """Every fault, the gravest first, or ``healthy`` alone."""
        return [finding.verdict for finding in self.findings] or [self.verdict]


class DirectionFigures(Judgement, Figures):
    """One direction; ``identity`` is that of its own generator."""


class Summary(Figures):
    """Both directions together, and each."""

    failed: Count = 0
    directions: dict[str, DirectionFigures] = Field(default_factory=dict)
    shortfalls: tuple[str, ...] = ()  # why this is not good enough, a line each


class CycleCheckFile(Document):
    """A whole cycle check."""

    FILE: ClassVar[str] = "cycle-check.json"

    images: tuple[Row, ...] = ()
    summary: Summary = Summary()
    steps: dict[str, Count] = Field(default_factory=dict)  # of the models, by direction
    verdict: str = ""


def worst_of(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the largest errors, the worst first; all must be measured."""
    return sorted(rows, key=lambda row: -(row.mae or 0))[:WORST]
