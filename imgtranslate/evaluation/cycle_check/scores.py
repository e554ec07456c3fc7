"""What is measured of pictures that were translated there and back, and over many of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imgtranslate.images import Pixels
from imgtranslate.metrics.intervals import bootstrap_interval
from imgtranslate.model_files.checkpoint import Direction

WORST = 5
TITLES = {  # of a direction, as they are said
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


@dataclass(frozen=True, kw_only=True)
class Harm:
    """The cycle again, with a fake that was slightly harmed on its way."""

    mae: float  # of the recovered picture, as a fraction of the full range
    own: float  # how much it changes the real picture or the fake themselves, the larger


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """Thumbnails (8, 8, c), to tell whether different pictures are translated alike."""

    real: Pixels
    fake: Pixels
    recovered: Pixels


@dataclass(frozen=True, kw_only=True)
class CycleScore:
    """How one picture came back. Errors are means of |x - y| as fractions of the full range."""

    path: Path
    direction: Direction  # of the first translation
    mae: float  # of the recovered picture
    psnr: float  # of the recovered picture, dB; infinite where nothing differs
    ssim: float  # of the recovered picture
    change: float | None  # of the fake from the picture; None where the channels differ
    identity: float | None  # of F(x) from x, F the way back; None where the channels differ
    brightness: float | None  # of fake and picture, from -1, inverted, to 1; None where flat
    mae_float: float  # with a fake that is not rounded to 8 bits
    harms: Mapping[str, Harm]  # png (the rounding alone, so its mae is ``mae``), jpeg, noise, blur
    looks: tuple[Looks, ...] = ()  # of the picture; of the first one also turned

    @property
    def numbers(self) -> dict[str, float | None]:
        """All that is measured, by name; None where it cannot be."""
        return {
            "mae": self.mae,
            "psnr": _finite(self.psnr),
            "ssim": self.ssim,
            "change": self.change,
            "identity": self.identity,
            "brightness": self.brightness,
            "mae_float": self.mae_float,
            **{f"mae_{kind}": harm.mae for kind, harm in self.harms.items()},
            **{f"own_{kind}": harm.own for kind, harm in self.harms.items()},
        }

    def to_json(self) -> dict[str, Any]:
        """The same with plain values; an infinite PSNR becomes null."""
        return {
            "path": str(self.path),
            "direction": self.direction,
            **self.numbers,
            "error": None,
        }


@dataclass(frozen=True, kw_only=True)
class CycleFailure:
    """A picture that could not be checked."""

    path: Path
    direction: Direction
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A row with the first keys of ``CycleScore``'s."""
        values = {"mae": None, "psnr": None, "ssim": None, "change": None, "identity": None}
        row = {"path": str(self.path), "direction": self.direction, **values}
        return {**row, "error": self.reason}


@dataclass(frozen=True, kw_only=True, eq=False)
class CycleResult:
    """A score and the pictures that it was measured on."""

    score: CycleScore
    real: Pixels
    fake: Pixels
    recovered: Pixels
    recovered_after: Mapping[str, Pixels]  # jpeg, noise, blur


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over many pictures."""

    mean: float
    std: float  # of these pictures, divided by their count
    low: float  # of the 95 % bootstrap interval of the mean
    high: float
    count: int  # of the pictures that have this number


@dataclass(frozen=True, kw_only=True)
class CycleSummary:
    """Numbers over all pictures of one or both directions."""

    count: int
    numbers: Mapping[str, Spread | None]  # None where no picture has one
    worst: tuple[CycleScore, ...]  # by MAE, the worst first

    def to_json(self) -> dict[str, Any]:
        """The same with plain values."""
        plain = {name: spread and vars(spread) for name, spread in self.numbers.items()}
        worst = [{"path": str(score.path), "mae": score.mae} for score in self.worst]
        return {"count": self.count, **plain, "worst": worst}


def summarise(scores: Iterable[CycleScore]) -> CycleSummary:
    """Mean, spread and interval of each number, and the worst pictures."""
    scores = list(scores)
    rows = [score.numbers for score in scores]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return CycleSummary(
        count=len(scores),
        numbers={name: spread_of(row[name] for row in rows) for name in names},
        worst=tuple(sorted(scores, key=lambda score: -score.mae)[:WORST]),
    )


def spread_of(numbers: Iterable[float | None]) -> Spread | None:
    """Mean, spread and interval of the numbers that are there; None without any."""
    values = np.array([number for number in numbers if number is not None])
    if not values.size:
        return None
    low, high = bootstrap_interval(values)
    mean, std = float(values.mean()), float(values.std())
    return Spread(mean=mean, std=std, low=low, high=high, count=values.size)


def mean_of(scores: Sequence[CycleScore], name: str) -> float | None:
    """The mean of one number over the pictures that have it."""
    values = [number for score in scores if (number := score.numbers[name]) is not None]
    return float(np.mean(values)) if values else None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
