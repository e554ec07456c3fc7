"""A figure over many pictures: its value, how sure it is, and how two of them differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imgtranslate.metrics.intervals import RESAMPLES

Values = NDArray[np.float64]
Better = Literal["lower", "higher"]
LEVEL = 0.95
HALVES = 100
_DEVIATIONS = 1.959964  # of a normal distribution, for 95 %


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """One figure; ``replicates`` are what other draws of the same pictures would have given.

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
        """Whether the interval leaves zero out."""
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
    """Which of ``count`` pictures of two sets are in: (halves, 2, count), half of them each."""
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
    half = _DEVIATIONS * float(parts.std())
    return Estimate(
        value=whole,
        interval=(max(whole - half, least), whole + half),
        replicates=whole + parts - parts.mean(),
        count=count,
        better="lower",
    )


def percentiles(replicates: Values) -> tuple[float, float]:
    """The middle 95 % of replicates."""
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def difference(first: Estimate, second: Estimate, *, same_pictures: bool) -> Difference:
    """The second less the first; picture by picture where both saw the same ones."""
    in_step = same_pictures and first.count == second.count
    order = np.arange(second.replicates.size)
    if not in_step:  # else two draws that happen to share a seed would look related
        order = np.random.default_rng(0).permutation(order)
    size = min(first.replicates.size, second.replicates.size)
    replicates = second.replicates[order][:size] - first.replicates[:size]
    return Difference(value=second.value - first.value, interval=percentiles(replicates))
