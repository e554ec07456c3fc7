"""How sure a mean is: bootstrap intervals (Efron 1979, percentile form)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 2000
_DRAWS = 500_000  # at once, so that the memory stays small


def bootstrap_interval(
    values: Sequence[float] | Values, *, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the mean of ``values``, as (low, high); the same for the same values.

    ``level``: the share of resampled means inside, between 0 and 1. One value is its own
    interval. Raises ``ValueError`` for no values, for values that are not finite and for a level
    outside (0, 1).
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise ValueError(f"values of shape {numbers.shape}: one or more finite numbers are needed")
    if not 0 < level < 1:
        raise ValueError(f"level {level}: between 0 and 1 is needed")
    means = _resampled_means(numbers, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(numbers: Values, rng: np.random.Generator) -> Values:
    """The means of as many values drawn with replacement, some resamples at a time."""
    at_once = max(1, _DRAWS // numbers.size)
    counts = (min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once))
    draws = (rng.integers(numbers.size, size=(count, numbers.size)) for count in counts)
    return np.concatenate([numbers[draw].mean(axis=1) for draw in draws])
