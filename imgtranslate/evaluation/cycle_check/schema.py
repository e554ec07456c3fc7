"""``cycle-check.json``, the object that `cycle-check` prints as JSON."""

import math
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from pydantic import Field

from imgtranslate.evaluation.documents import Count, Document, Number
from imgtranslate.settings.config import Direction

T = TypeVar("T")

TITLES = {  # of the figures of a direction, in words
    "mae": "error, fake saved as 8 bits",
    "mae_float": "  fake not rounded",
    "mae_jpeg": "  fake saved as JPEG",
    "mae_noise": "  fake with slight noise",
    "mae_blur": "  fake slightly blurred",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "change": "change",
    "flat": "flat picture",
    "brightness": "brightness agrees",
}
ONE_WAY_TITLES = {  # of the figures of a direction without a way back
    "content": "content agrees",
    "change": "change",
    "brightness": "brightness agrees",
}
WORST = 5  # pictures


class Spread(Document):
    """A number over many pictures."""

    mean: Number
    std: Number  # population standard deviation over the pictures
    low: Number | None  # lower end of the 95 % bootstrap interval; None for few pictures
    high: Number | None
    count: Count = 0  # pictures that have this number

    def cells(self, form: str) -> list[str]:
        """Write mean, spread and interval in a number format, such as ``.4f``."""
        spread = self.std if self.count > 1 else None
        numbers = (self.mean, spread, self.low, self.high)
        mean, std, low, high = (
            "-" if n is None or not math.isfinite(n) else f"{n:{form}}" for n in numbers
        )
        return [mean, std, f"{low} to {high}" if self.low is not None else "-"]


class Measured(Document, Generic[T]):
    """The numbers of a cycle; errors are means of |x - y| as fractions of the full range.

    ``mae_*`` is the error with a slightly degraded fake. ``own_*`` is the change by the degradation
    itself, of the real picture or the fake, whichever is larger.
    """

    mae: T | None = None  # of the recovered picture, like ``psnr`` and ``ssim``
    psnr: T | None = None  # dB; None if infinite, because the pictures are equal
    ssim: T | None = None
    change: T | None = None  # of fake and picture; None if channels differ
    flat: T | None = None  # of the picture and its mean colour
    identity: T | None = None  # of F(x) and x, F the way back; None if channels differ
    brightness: T | None = None  # agreement of fake and picture, 1 to -1; None if flat
    content: T | None = None  # agreement about edges, without a way back; None if flat
    mae_float: T | None = None  # with a fake that is not rounded to 8 bits
    mae_png: T | None = None  # with rounding alone, so equal to ``mae``
    mae_jpeg: T | None = None
    mae_noise: T | None = None
    mae_blur: T | None = None
    own_png: T | None = None
    own_jpeg: T | None = None
    own_noise: T | None = None
    own_blur: T | None = None

    def degraded(self) -> dict[str, tuple[T | None, T | None]]:
        """Return the error and the own change of each degradation."""
        return {
            "png": (self.mae_png, self.own_png),
            "jpeg": (self.mae_jpeg, self.own_jpeg),
            "noise": (self.mae_noise, self.own_noise),
            "blur": (self.mae_blur, self.own_blur),
        }


NUMBERS = tuple(Measured.model_fields)


class _Place(Document):
    path: str = ""
    direction: Direction = "ab"  # of the first translation


class Row(Measured[Number], _Place):
    """A checked picture; if it failed, it has an ``error`` and no numbers."""

    error: str | None = None


class Worst(Document):
    """A picture with one of the largest errors, or that keeps least without a way back."""

    path: str = ""
    mae: Number | None = None
    content: Number | None = None


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

    verdict: str = ""  # the most serious fault, or ``healthy``
    reason: str = ""
    findings: tuple[Finding, ...] = ()  # the most serious first

    @property
    def verdicts(self) -> list[str]:
        """All faults, the most serious first, or ``healthy`` alone."""
        return [finding.verdict for finding in self.findings] or [self.verdict]


class DirectionFigures(Judgement, Figures):
    """The figures of one direction; ``identity`` is that of the direction's own generator."""

    other_content: Number | None = None  # agreement of fakes about edges with other pictures

    @property
    def titles(self) -> dict[str, str]:
        """The titles of the figures that this direction has, with or without a way back."""
        return TITLES if self.mae is not None else ONE_WAY_TITLES


class Summary(Figures):
    """The summary of both directions together, and of each."""

    failed: Count = 0
    directions: dict[str, DirectionFigures] = Field(default_factory=dict)
    shortfalls: tuple[str, ...] = ()  # lines with the reasons to fail


class CycleCheckFile(Document):
    """The results of a cycle check."""

    FILE: ClassVar[str] = "cycle-check.json"

    images: tuple[Row, ...] = ()
    summary: Summary = Summary()
    steps: dict[str, Count] = Field(default_factory=dict)  # of the models, by direction
    verdict: str = ""
    partial: bool = False  # stopped before all pictures were measured


def worst_of(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the largest errors, the worst first; all rows must be measured.

    Without a way back, the rows whose translations keep the least content.
    """
    return sorted(rows, key=_goodness)[:WORST]


def _goodness(row: Row) -> float:
    if row.mae is not None:
        return -row.mae
    return row.content if row.content is not None else 1.0
