"""Reading ahead of, and writing behind, the computing thread, in bounded memory.

Threads suffice, because Pillow, numpy and system calls release the interpreter lock.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BUDGET = 2**28  # bytes of waiting decoded pictures; a single one may have more


@dataclass(kw_only=True)
class Room:
    """The number of results that may wait within a memory budget."""

    most: int
    budget: int = BUDGET  # bytes
    largest: int = 0  # bytes of the largest result so far

    @property
    def places(self) -> int:
        """The number of places, 1 to ``most``, by the largest result so far; 1 at first."""
        if not self.largest:
            return 1
        return max(1, min(self.most, self.budget // self.largest))

    def seen(self, size: int) -> None:
        """Record the size of a result in bytes."""
        self.largest = max(self.largest, size, 1)


def read_ahead(
    read: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    size: Callable[[Result], int],
    room: Room,
) -> Iterator[Result]:
    """Yield ``read(item)`` in order, while threads read the next items."""
    waiting: deque[Future[Result]] = deque()

    def first() -> Result:
        result = waiting.popleft().result()
        room.seen(size(result))
        return result

    with ThreadPoolExecutor(workers, "read") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                while len(waiting) > room.places:
                    yield first()
            while waiting:
                yield first()
        finally:
            for future in waiting:
                future.cancel()


def write_behind(
    write: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    size: Callable[[Item], int],
    room: Room,
) -> Iterator[Result]:
    """Yield ``write(item)`` in order as soon as each is done, while the next items are produced.

    Writes that have started are finished even if the generator is closed early.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, "write") as pool:
        for item in items:
            room.seen(size(item))
            waiting.append(pool.submit(write, item))
            while waiting and (waiting[0].done() or len(waiting) > room.places):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def grouped(
    items: Iterable[Item],
    *,
    key: Callable[[Item], Hashable],
    most: Callable[[Item], int],
    window: int,
) -> Iterator[list[Item]]:
    """Group up to ``most`` items with equal keys across the stream.

    At most ``window`` items wait; then the oldest group is yielded even if it is not full.
    """
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        group = groups.setdefault(key(item), [])
        group.append(item)
        if len(group) >= most(item):
            yield groups.pop(key(item))
        elif sum(map(len, groups.values())) >= window:
            yield groups.pop(next(iter(groups)))
    yield from groups.values()


def in_order(items: Iterable[tuple[int, Item]]) -> Iterator[Item]:
    """Yield numbered items in the order 0, 1, 2, …, although they arrive in any order."""
    early: dict[int, Item] = {}
    wanted = 0
    for number, item in items:
        early[number] = item
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1
