"""Work that overlaps: before and behind the one thread that computes, in bounded memory.

Threads do, since Pillow, numpy and the system let go of the interpreter while they work.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BUDGET = 2**28  # bytes of decoded pictures that wait, unless one alone has more


class Room:
    """How many results may wait: few while they are large, one before any is known."""

    def __init__(self, *, most: int, budget: int = BUDGET) -> None:
        self._most = most
        self._budget = budget
        self._largest = 0

    @property
    def places(self) -> int:
        """From one to ``most``, so that all are within the budget if none is larger than before."""
        if not self._largest:
            return 1
        return max(1, min(self._most, self._budget // self._largest))

    def seen(self, size: int) -> None:
        """Know of a result of ``size`` bytes."""
        self._largest = max(self._largest, size, 1)


def read_ahead(
    read: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    size: Callable[[Result], int],
    room: Room,
) -> Iterator[Result]:
    """Yield ``read(item)`` in order, while the next ones are being read already."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, "read") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                while len(waiting) > room.places:
                    yield _known(waiting.popleft().result(), size, room)
            while waiting:
                yield _known(waiting.popleft().result(), size, room)
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

    Whatever was begun is finished, also when nobody takes the results any more.
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
    """Form groups of items with equal keys, of up to ``most`` of them, across the stream.

    At most ``window`` items wait for their like; then the group that waits longest goes as it is.
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
    """Yield items by their numbers, 0, 1, 2 and so on; one that comes early waits."""
    early: dict[int, Item] = {}
    wanted = 0
    for number, item in items:
        early[number] = item
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


def _known(result: Result, size: Callable[[Result], int], room: Room) -> Result:
    room.seen(size(result))
    return result
