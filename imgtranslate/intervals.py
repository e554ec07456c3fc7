"""How sure a mean is: bootstrap intervals (Efron 1979, percentile form)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.float64], *, seed: int = 0, level: float = 0.95
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
    rng = np.random.default_rng(seed)
    draws = (rng.integers(numbers.size, size=numbers.size) for _ in range(RESAMPLES))
    means = np.fromiter((numbers[draw].mean() for draw in draws), dtype=np.float64)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
