"""Figures over many pictures: value, 95 % interval, and the difference of two of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Better = Literal["lower", "higher"]

LEVEL = 0.95
RESAMPLES = 2000
HALVES = 100
DEVIATIONS = 1.959964  # of a normal distribution, for 95 %
_DRAWS = 500_000  # at once, which bounds the memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """A figure; ``replicates`` are what other draws of the same pictures would have given.

    Two estimates of one measure on the same pictures have their replicates in step: the n-th of
    both comes from one draw.
    """

    value: float
    interval: tuple[float, float]
    replicates: Values
    count: int  # pictures
    better: Better


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second figure less the first, with its interval."""

    value: float
    interval: tuple[float, float]

    @property
    def is_clear(self) -> bool:
        """Tell whether the interval leaves zero out."""
        return self.interval[0] > 0 or self.interval[1] < 0


def mean_of(values: Sequence[float] | Values, *, better: Better) -> Estimate:
    """Estimate a mean of one number per picture. Raises ``ValueError`` without numbers."""
    numbers = np.asarray(values, dtype=np.float64)
    return pooled(lambda counts: counts @ numbers / counts.sum(-1), numbers.size, better=better)


def pooled(
    statistic: Callable[[Values], Values], count: int, *, better: Better, seed: int = 0
) -> Estimate:
    """Estimate a figure of all pictures together by the bootstrap (Efron 1979, percentiles).

    ``statistic`` takes how often each picture counts, (n, count), and gives n figures.
    """
    if count < 1:
        raise ValueError("an estimate without pictures")
    rng = np.random.default_rng([seed, count])
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    replicates = statistic(drawn.astype(np.float64))
    return Estimate(
        value=float(statistic(np.ones((1, count)))[0]),
        interval=percentiles(replicates),
        replicates=replicates,
        count=count,
        better=better,
    )


def half_samples(count: int, *, seed: int) -> NDArray[np.bool_]:
    """Draw halves of ``count`` pictures of two sets, as masks (``HALVES``, 2, count)."""
    rng = np.random.default_rng([seed, count])
    numbers = rng.permuted(np.tile(np.arange(count), (HALVES, 2, 1)), axis=2)
    chosen: NDArray[np.bool_] = numbers < count // 2
    return chosen


def distance_of(distances: Values, count: int, *, least: float = 0.0) -> Estimate:
    """Estimate a distance of two sets: of all pictures, then of each of ``half_samples``.

    Half samples scatter as whole ones would, drawn anew, but lie further out: so they are centred.
    The bootstrap would draw pictures twice, and duplicates lie far from the other set.
    """
    whole, parts = float(distances[0]), distances[1:]
    half = DEVIATIONS * float(parts.std())
    return Estimate(
        value=whole,
        interval=(max(whole - half, least), whole + half),
        replicates=whole + parts - parts.mean(),
        count=count,
        better="lower",
    )


def difference(first: Estimate, second: Estimate, *, same_pictures: bool) -> Difference:
    """Subtract the first from the second, picture by picture where both saw the same ones."""
    in_step = same_pictures and first.count == second.count
    order = np.arange(second.replicates.size)
    if not in_step:  # else two draws that happen to share a seed would look related
        order = np.random.default_rng(0).permutation(order)
    size = min(first.replicates.size, second.replicates.size)
    replicates = second.replicates[order][:size] - first.replicates[:size]
    return Difference(value=second.value - first.value, interval=percentiles(replicates))


def bootstrap_interval(
    values: Sequence[float] | Values, *, seed: int = 0, level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval (low, high) of the mean of ``values``; the same for the same values.

    ``level``: the share of resampled means inside, between 0 and 1. One value is its own
    interval. Raises ``ValueError`` for no values, for values that are not finite and for a level
    outside (0, 1).
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"values of shape {numbers.shape}: one or more finite numbers are needed")
    if not 0 < level < 1:
        raise ValueError(f"level {level}: between 0 and 1 is needed")
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWS // numbers.size)
    counts = (min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once))
    draws = (rng.integers(numbers.size, size=(count, numbers.size)) for count in counts)
    return percentiles(np.concatenate([numbers[draw].mean(axis=1) for draw in draws]), level=level)


def percentiles(replicates: Values, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the middle 95 % of replicates, or another share."""
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
