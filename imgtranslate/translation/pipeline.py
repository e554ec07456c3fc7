"""Reading ahead of and writing behind the thread that computes, in bounded memory.

Threads suffice: Pillow, numpy and system calls release the interpreter's lock while they work.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BUDGET = 2**28  # bytes of waiting decoded pictures, unless a single one has more


@dataclass(kw_only=True)
class Room:
    """The number of results that may wait, so that their memory stays within a budget."""

    most: int
    budget: int = BUDGET  # bytes
    largest: int = 0  # bytes of a result so far

    @property
    def places(self) -> int:
        """From 1 to ``most``, by the largest result so far; 1 before any is known."""
        if not self.largest:
            return 1
        return max(1, min(self.most, self.budget // self.largest))

    def seen(self, size: int) -> None:
        """Note the size of a result in bytes."""
        self.largest = max(self.largest, size, 1)


def read_ahead(
    read: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    size: Callable[[Result], int],
    room: Room,
) -> Iterator[Result]:
    """Yield ``read(item)`` in order, while threads already read the next items."""
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
    """Yield ``write(item)`` in order, as soon as each is done, while the next items are made.

    Writes that have begun are finished even if the generator is closed early.
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
    """Group items with equal keys, up to ``most`` of them, across the stream.

    At most ``window`` items wait; then the group that has waited longest is yielded as it is.
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
    """Yield items by their numbers, 0, 1, 2 and so on, which may come in any order."""
    early: dict[int, Item] = {}
    wanted = 0
    for number, item in items:
        early[number] = item
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1
