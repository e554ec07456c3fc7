"""How many times as fast one thing is as another, on a machine that others use too."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ROUNDS, LONGEST = 9, 10.0  # of timing, and seconds


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Ratios of neighbours: both were timed in turn."""

    median: float
    smallest: float
    largest: float


def measure_ratio(fast: Callable[[], object], slow: Callable[[], object]) -> Ratio:
    """Time both in turn, after once to warm up, so that both meet what else the machine does."""
    _seconds(fast), _seconds(slow)
    ratios: list[float] = []
    began = time.perf_counter()
    while len(ratios) < ROUNDS and time.perf_counter() - began < LONGEST:
        taken = _seconds(fast)
        ratios.append(_seconds(slow) / taken)
    return Ratio(median=median(ratios), smallest=min(ratios), largest=max(ratios))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
