"""How fast training goes, and how much of the time it waits for data."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

WARM_UP = 2  # steps that are slow for reasons of their own
WINDOW = 100  # steps


class Pace:
    """Means over the last steps."""

    def __init__(self) -> None:
        self.steps = 0
        self._times: deque[tuple[float, float]] = deque(maxlen=WINDOW)  # whole step, its waiting
        self._began = time.monotonic()
        self._waited = 0.0

    def waiting_for(self, stream: Iterable[T]) -> Iterator[T]:
        """Pass ``stream`` on and measure how long each of its items took to come."""
        asked = time.monotonic()
        for item in stream:
            self._waited = time.monotonic() - asked
            yield item
            asked = time.monotonic()

    def tick(self) -> None:
        """Note that a step, with all that was written after it, has ended."""
        now = time.monotonic()
        if self.steps == WARM_UP:
            self._times.clear()
        self._times.append((now - self._began, self._waited))
        self._began = now
        self.steps += 1

    def seconds_per_step(self) -> float:
        """The mean of a step."""
        return sum(whole for whole, _ in self._times) / max(1, len(self._times))

    def waiting_share(self) -> float:
        """The share of the time in which the network waited for pictures, 0 to 1."""
        whole = sum(whole for whole, _ in self._times)
        return sum(waited for _, waited in self._times) / whole if whole else 0.0
