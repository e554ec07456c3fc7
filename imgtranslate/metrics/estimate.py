"""Figures over many pictures with a 95 % interval, and the difference between two figures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Better = Literal["lower", "higher"]

LEVEL = 0.95
LEAST_PICTURES = 5  # for an interval
RESAMPLES = 2000
HALVES = 100
DEVIATIONS = 1.959964  # quantile of the normal distribution for 95 %
_DRAWS = 500_000  # computed at once, to limit the memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """A figure with its replicates, the values for other draws of the same pictures.

    The n-th replicates of two estimates of one measure on the same pictures come from the same
    draw.
    """

    value: float
    interval: tuple[float, ...]  # empty for fewer than ``LEAST_PICTURES``
    replicates: Values
    count: int  # pictures
    better: Better


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second figure minus the first, with its interval."""

    value: float
    interval: tuple[float, ...]  # empty for fewer than ``LEAST_PICTURES``

    @property
    def is_clear(self) -> bool:
        """True if the interval excludes zero."""
        return bool(self.interval) and (self.interval[0] > 0 or self.interval[1] < 0)


def mean_of(values: Sequence[float] | Values, *, better: Better) -> Estimate:
    """Estimate the mean of one number per picture. Raises ``ValueError`` without numbers."""
    numbers = np.asarray(values, dtype=np.float64)
    return pooled(lambda counts: counts @ numbers / counts.sum(-1), numbers.size, better=better)


def pooled(
    statistic: Callable[[Values], Values], count: int, *, better: Better, seed: int = 0
) -> Estimate:
    """Estimate a figure over all pictures by the bootstrap (Efron 1979, percentiles).

    ``statistic`` takes the weights of the pictures, (n, count), and returns n figures.
    """
    if count < 1:
        raise ValueError("an estimate without pictures")
    rng = np.random.default_rng([seed, count])
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    replicates = statistic(drawn.astype(np.float64))
    return Estimate(
        value=float(statistic(np.ones((1, count)))[0]),
        interval=_if_enough(percentiles(replicates), count),
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
    """Estimate the distance of two sets from all pictures, then from each of ``half_samples``.

    Half samples scatter like newly drawn whole samples but are biased upwards, so they are centred.
    The bootstrap does not work here: it repeats pictures, and duplicates increase the distance.
    """
    whole, parts = float(distances[0]), distances[1:]
    half = DEVIATIONS * float(parts.std())
    return Estimate(
        value=whole,
        interval=_if_enough((max(whole - half, least), whole + half), count),
        replicates=whole + parts - parts.mean(),
        count=count,
        better="lower",
    )


def difference(first: Estimate, second: Estimate, *, same_pictures: bool) -> Difference:
    """Subtract the first from the second, picture by picture if both used the same pictures."""
    in_step = same_pictures and first.count == second.count
    order = np.arange(second.replicates.size)
    if not in_step:  # otherwise two draws with the same seed would seem related
        order = np.random.default_rng(0).permutation(order)
    size = min(first.replicates.size, second.replicates.size)
    replicates = second.replicates[order][:size] - first.replicates[:size]
    return Difference(
        value=second.value - first.value,
        interval=_if_enough(percentiles(replicates), min(first.count, second.count)),
    )


def bootstrap_interval(
    values: Sequence[float] | Values, *, seed: int = 0, level: float = LEVEL
) -> tuple[float, float]:
    """Return the interval (low, high) of the mean of ``values``, a function of the values only.

    ``level``: the share of resampled means inside the interval, between 0 and 1. A single value is
    its own interval. Raises ``ValueError`` without values, for values that are not finite, and for
    a level outside of (0, 1).
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"values of shape {numbers.shape}: must be one or more finite numbers")
    if not 0 < level < 1:
        raise ValueError(f"level {level}: must be between 0 and 1")
    rng = np.random.default_rng(seed)
    at_once = max(1, _DRAWS // numbers.size)
    counts = (min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once))
    draws = (rng.integers(numbers.size, size=(count, numbers.size)) for count in counts)
    return percentiles(np.concatenate([numbers[draw].mean(axis=1) for draw in draws]), level=level)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``count`` (Wilson 1927)."""
    z = DEVIATIONS
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    half /= 1 + z**2 / count
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _if_enough(interval: tuple[float, float], count: int) -> tuple[float, ...]:
    """Return no interval for few pictures: it would be far too narrow."""
    return interval if count >= LEAST_PICTURES else ()


def percentiles(replicates: Values, *, level: float = LEVEL) -> tuple[float, float]:
    """Return the limits of the middle 95 % of replicates, or of another share."""
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
