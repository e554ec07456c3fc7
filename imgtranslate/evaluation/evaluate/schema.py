"""``evaluate.json``, the object that `evaluate` prints as JSON, and the format of its figures."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from imgtranslate.evaluation.documents import Count, Document, Number
from imgtranslate.settings.config import Direction

_ARROWS = {"lower": "↓", "higher": "↑"}
_TITLES = {
    "l1": "L1",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "fcn_pixel_accuracy": "FCN pixel accuracy",
    "fcn_class_accuracy": "FCN class accuracy",
    "fcn_class_iou": "FCN class IoU",
    "fcn_real_pixel_accuracy": "  of real photos: pixel accuracy",
    "fcn_real_class_accuracy": "  of real photos: class accuracy",
    "fcn_real_class_iou": "  of real photos: class IoU",
    "label_pixel_accuracy": "labels: pixel accuracy",
    "label_class_accuracy": "labels: class accuracy",
    "label_class_iou": "labels: class IoU",
    "swd": "sliced Wasserstein distance",
    "two_sample_accuracy": "two-sample test (chance: 0.5)",
    "fid": "FID",
    "kid": "KID",
    "diversity_l1": "diversity, L1",
    "diversity_lpips": "diversity, LPIPS",
}
# Baselines of a figure, by the end of their name: the input in place of the translation, and other
# real pictures of the target in its place.
BASELINES = {"_input": "  untouched input", "_real": "  real against real"}


class Interval(Document):
    """A number with its 95 % interval."""

    value: Number
    interval: tuple[Number, ...] = ()  # empty for fewer than 5 pictures


class Figure(Interval):
    """The figure of a measure."""

    count: Count = 0  # pictures
    better: str = ""  # lower or higher


class Counts(Document):
    """Numbers of pictures."""

    translated: Count = 0
    real: Count = 0
    failed: Count = 0


class Resize(Document):
    """The size to which all pictures were resized first."""

    shorter_side: Count = 0  # px
    method: str = ""


class FailedPicture(Document):
    """A picture that could not be measured."""

    path: str = ""
    reason: str = ""


class DirectionFigures(Document):
    """The figures of one direction of a run or model."""

    name: str = ""
    direction: Direction = "ab"
    source: str = ""
    target: str = ""
    step: Count | None = None
    paired: bool = False
    counts: Counts = Counts()
    sizes: tuple[str, ...] = ()
    resize: Resize | None = None
    measures: dict[str, Figure] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)  # measures that lack something, and what
    partial: bool = False  # stopped before all was measured
    failed: tuple[FailedPicture, ...] = ()


class Rank(Document):
    """The place of a run by one measure; 1 is best.

    ``best`` follows from the runs that are clearly better, ``worst`` from those that are not
    clearly worse. Both are equal if no other run is tied with it.
    """

    best: Count
    worst: Count

    def __str__(self) -> str:
        """Write ``2``, or ``1-3`` for a tie."""
        return str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"


class EvaluationFile(Document):
    """The directions of each run, and how several runs compare, by direction and measure."""

    FILE: ClassVar[str] = "evaluate.json"

    runs: tuple[tuple[DirectionFigures, ...], ...] = ()
    differences: dict[str, dict[str, Interval]] = Field(default_factory=dict)  # of two runs
    # Of three runs or more, in their order; None for a run without the measure
    ranks: dict[str, dict[str, tuple[Rank | None, ...]]] = Field(default_factory=dict)
    partial: bool = False


def title_of(name: str, *, better: str) -> str:
    """Name a figure, with an arrow for ``better``, which is ``lower`` or ``higher``."""
    for end, baseline in BASELINES.items():
        if name.endswith(end):
            return baseline
    level = f"  at {name.removeprefix('swd_')} of the size" if name.startswith("swd_") else name
    return f"{_TITLES.get(name, level)} {_ARROWS.get(better, '')}".rstrip()


def is_baseline(name: str) -> bool:
    """Return whether a figure is the baseline of the one before it."""
    return name.endswith(tuple(BASELINES))


def left_out_line(left_out: Mapping[str, str]) -> str:
    """Write the measures that lack something on one line; empty if there are none."""
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    found = "; ".join(f"{', '.join(group)}: {reason}" for reason, group in names.items())
    return f"left out: {found}" if found else ""


def figure_of(value: float, sign: str = "") -> str:
    """Write a figure with a sensible number of digits."""
    return f"{value:{sign}.{2 if abs(value) >= 2 else 4}f}"
