"""Cycle check: translate there and back, and measure what came back."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imgtranslate.checkpoint import ModelHeader
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.images import Pixels, eight_bits, read_image
from imgtranslate.metrics import mean_absolute_error, psnr
from imgtranslate.translator import Direction, Translator

Verdict = Literal["passed", "failed", "not judged"]

WORST = 5


@dataclass(frozen=True, kw_only=True)
class CycleScore:
    """How one picture came back."""

    path: Path
    direction: Direction  # of the first translation
    mae: float  # of the recovered picture, as a fraction of the full range
    psnr: float  # of the recovered picture, dB; infinite where nothing differs
    change: float | None  # mean |fake - real|, a fraction; None where the channels differ

    def to_json(self) -> dict[str, Any]:
        """The same with plain values; an infinite PSNR becomes null."""
        values = {"mae": self.mae, "psnr": _finite(self.psnr), "change": self.change}
        return {"path": str(self.path), "direction": self.direction, **values, "error": None}


@dataclass(frozen=True, kw_only=True)
class CycleFailure:
    """A picture that could not be checked."""

    path: Path
    direction: Direction
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A row with the keys of ``CycleScore``'s."""
        values = {"mae": None, "psnr": None, "change": None}
        row = {"path": str(self.path), "direction": self.direction, **values}
        return {**row, "error": self.reason}


@dataclass(frozen=True, kw_only=True, eq=False)
class CycleResult:
    """A score and the pictures that it was measured on."""

    score: CycleScore
    real: Pixels
    fake: Pixels
    recovered: Pixels


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number over many pictures."""

    mean: float
    std: float  # of these pictures, divided by their count


@dataclass(frozen=True, kw_only=True)
class CycleSummary:
    """Numbers over all pictures of one or both directions; None where no picture has one."""

    count: int
    mae: Spread | None
    psnr: Spread | None  # of the pictures where it is finite
    change: Spread | None
    worst: tuple[CycleScore, ...]  # by MAE, the worst first

    def to_json(self) -> dict[str, Any]:
        """The same with plain values."""
        spreads = {"mae": self.mae, "psnr": self.psnr, "change": self.change}
        plain = {name: spread and vars(spread) for name, spread in spreads.items()}
        worst = [{"path": str(score.path), "mae": score.mae} for score in self.worst]
        return {"count": self.count, **plain, "worst": worst}


@dataclass(frozen=True, kw_only=True)
class CycleReport:
    """What a whole check found, and whether that is good enough."""

    outcomes: tuple[CycleScore | CycleFailure, ...]
    fail_above: float | None = None  # the largest mean MAE of either direction that passes

    @property
    def scores(self) -> list[CycleScore]:
        """The pictures that were measured."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, CycleScore)]

    @property
    def failures(self) -> list[CycleFailure]:
        """The pictures that could not be."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, CycleFailure)]

    @property
    def directions(self) -> dict[Direction, CycleSummary]:
        """A summary of each direction that a picture was measured in, ``ab`` first."""
        groups: dict[Direction, CycleSummary] = {}
        for direction in sorted({score.direction for score in self.scores}):
            groups[direction] = summarise(s for s in self.scores if s.direction == direction)
        return groups

    @property
    def verdict(self) -> Verdict:
        """``failed`` if either direction is above the limit, or nothing could be measured."""
        if self.fail_above is None:
            return "not judged"
        means = [summary.mae.mean for summary in self.directions.values() if summary.mae]
        return "passed" if means and max(means) <= self.fail_above else "failed"

    def to_json(self) -> dict[str, Any]:
        """Rows, summary and verdict as plain values."""
        summary = summarise(self.scores).to_json()
        summary["failed"] = len(self.failures)
        summary["directions"] = {key: value.to_json() for key, value in self.directions.items()}
        rows = [outcome.to_json() for outcome in self.outcomes]
        return {"images": rows, "summary": summary, "verdict": self.verdict}


def cycle_check(
    images: Iterable[Path], *, forward: Translator, backward: Translator
) -> Iterator[CycleResult | CycleFailure]:
    """Translate each picture there and back and measure |F(G(x)) - x|.

    Everything is measured on pictures as saved: the fake is rounded to 8 bits before it goes
    back, the recovered one before it is compared. A picture that cannot be read or translated is
    told and does not stop the rest. Raises ``UsageError`` if the two models are not a pair.
    """
    refuse_unless_pair(forward.header, backward.header)
    return (check_picture(path, forward=forward, backward=backward) for path in images)


def check_picture(
    path: Path, *, forward: Translator, backward: Translator
) -> CycleResult | CycleFailure:
    """Check one picture with two models that are known to be a pair."""
    direction = forward.header.direction
    try:
        real = eight_bits(read_image(path, channels=forward.header.in_channels)).pixels
        fake = forward.translate_pixels(real)
        recovered = backward.translate_pixels(fake)
    except ImgTranslateError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return CycleFailure(path=path, direction=direction, reason=reason)
    score = CycleScore(
        path=path,
        direction=direction,
        mae=mean_absolute_error(recovered, real),
        psnr=psnr(recovered, real),
        change=mean_absolute_error(fake, real) if fake.shape == real.shape else None,
    )
    return CycleResult(score=score, real=real, fake=fake, recovered=recovered)


def summarise(scores: Iterable[CycleScore]) -> CycleSummary:
    """Mean and spread of each number, and the worst pictures."""
    scores = list(scores)
    return CycleSummary(
        count=len(scores),
        mae=_spread(score.mae for score in scores),
        psnr=_spread(score.psnr for score in scores if math.isfinite(score.psnr)),
        change=_spread(score.change for score in scores if score.change is not None),
        worst=tuple(sorted(scores, key=lambda score: -score.mae)[:WORST]),
    )


def refuse_unless_pair(forward: ModelHeader, backward: ModelHeader) -> None:
    """Raise ``UsageError`` unless ``backward`` undoes the direction of ``forward``."""
    if forward.direction == backward.direction:
        raise UsageError(
            f"--ab, --ba: both models translate {_way(forward)}, so they do not form a pair. "
            "Give ab.safetensors and ba.safetensors of one run"
        )
    if (forward.source, forward.target) != (backward.target, backward.source):
        raise UsageError(
            f"--ab, --ba: one model translates {_way(forward)}, the other {_way(backward)}. "
            "Give ab.safetensors and ba.safetensors of one run"
        )
    if (forward.in_channels, forward.out_channels) != (backward.out_channels, backward.in_channels):
        raise UsageError(
            f"--ab, --ba: one model turns {forward.in_channels} channel(s) into "
            f"{forward.out_channels}, the other {backward.in_channels} into "
            f"{backward.out_channels}. Give ab.safetensors and ba.safetensors of one run"
        )


def _spread(numbers: Iterable[float]) -> Spread | None:
    values = np.fromiter(numbers, dtype=np.float64)
    if not values.size:
        return None
    return Spread(mean=float(values.mean()), std=float(values.std()))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _way(header: ModelHeader) -> str:
    return f"{header.source} to {header.target} ({header.direction})"
