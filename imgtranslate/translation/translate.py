"""The translation of many pictures, with reading, network and writing in parallel.

Threads suffice, because Pillow, numpy and system calls release the interpreter lock.
"""

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from imgtranslate.errors import checks_arguments
from imgtranslate.settings.config import Direction
from imgtranslate.translation.codes import Model
from imgtranslate.translation.outputs import Output
from imgtranslate.translation.plan import Existing, Job, plan_translation, silent
from imgtranslate.translation.stages import (
    PLAIN,
    Options,
    Outcome,
    Work,
    read_work,
    translate_work,
    write_work,
)
from imgtranslate.translation.translator import load, size_notice

BATCH = 8  # most pictures of one size in a batch on a GPU
_BATCH_PIXELS = 2**21  # most pixels in a batch
BUDGET = 2**28  # bytes of waiting decoded pictures; a single one may have more
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_jobs(
    jobs: Sequence[Job],
    *,
    models: Sequence[Model],
    options: Options = PLAIN,
    stop: Callable[[], bool] = lambda: False,
    notice: Callable[[str], None] = silent,
) -> Generator[Outcome]:
    """Translate pictures and yield the outcome of each, in the order of the jobs.

    A picture that fails does not stop the others. After ``stop`` returns True, no further picture
    is started, and translated ones are still written. ``notice`` receives one line about pictures
    much larger than those of the training. On the CPU each picture runs alone, on CUDA in a batch
    with others of its size.
    """
    workers = min(4, os.cpu_count() or 1)

    # Read ahead; adjacent jobs that read the same picture in the same way are one task.
    def reading(numbered: tuple[int, Job]) -> Hashable:
        job = numbered[1]
        return job.source, models[job.model].translator.header.in_channels

    tasks = (list(task) for _, task in itertools.groupby(enumerate(jobs), reading))
    tasks_read = read_ahead(
        partial(read_work, models=models, options=options),
        itertools.takewhile(lambda _: not stop(), tasks),
        workers=workers,
        size=lambda works: max(work.nbytes for work in works),
        room=Room(most=2 * workers),
    )
    works: Iterator[Work] = itertools.chain.from_iterable(tasks_read)
    works = itertools.takewhile(lambda _: not stop(), works)

    # Translate pictures of one model and size in a batch.
    if options.resize is None:
        works = _watched(works, models, notice)
    groups = grouped(
        works,
        key=lambda work: (work.job.model, *(frame.pixels.shape for frame in work.frames)),
        most=partial(_batch_size, models=models),
        window=4 * BATCH,
    )
    made = (work for group in groups for work in translate_work(group, models=models))

    # Write behind.
    written = write_behind(
        partial(write_work, models=models, options=options),
        made,
        workers=workers,
        size=lambda work: work.nbytes,
        room=Room(most=2 * workers),
    )
    yield from in_order(written)


@checks_arguments
def translate_folder(
    folder: str | Path,
    output: str | Path,
    *,
    model: str | Path,
    device: str = "auto",
    direction: Direction = "ab",
    file_format: str | None = None,
    existing: Existing = "refuse",
    allow_huge: bool = False,
) -> Iterator[Outcome]:
    """Translate all pictures of a folder into another with the same tree, names and formats.

    ``allow_huge``: also translate pictures with more pixels than the limit of Pillow. Raises
    ``UsageError`` at once for wrong use. Pictures are translated as outcomes are consumed.
    """
    translator = load(model, device=device, direction=direction)
    jobs = plan_translation(
        [folder],
        models=[translator.header],
        output=Output(text=os.fspath(output), file_format=file_format),
        existing=existing,
    )
    options = Options(existing=existing, allow_huge=allow_huge)
    return run_jobs(jobs, models=[Model(translator=translator)], options=options)


def _watched(
    works: Iterator[Work], models: Sequence[Model], notice: Callable[[str], None]
) -> Iterator[Work]:
    """Give one notice about the first picture much larger than those of the training."""
    noticed = False
    for work in works:
        header = models[work.job.model].translator.header
        line = size_notice(work.job.source, work.frames[0].pixels, header) if work.frames else ""
        if line and not noticed:
            noticed = True
            notice(f"{line}. Try `resize` {header.crop_size}")
        yield work


def _batch_size(work: Work, *, models: Sequence[Model]) -> int:
    """Choose the batch size; 1 on the CPU, where results must be bit-identical."""
    on_gpu = models[work.job.model].translator.device.startswith("cuda")
    still = len(work.frames) == 1 and work.job.sample is not None
    if not (on_gpu and still and work.frames[0].pixels.dtype == np.uint8):
        return 1
    pixels = math.prod(work.frames[0].pixels.shape[:2])
    return max(1, min(BATCH, _BATCH_PIXELS // pixels))


# Threads and groups


@dataclass(kw_only=True)
class Room:
    """The number of results that may wait within a memory budget."""

    most: int
    budget: int = BUDGET  # bytes
    largest: int = 1  # bytes of the largest result so far
    places: int = 1  # 1 to ``most``; 1 until the size of a result is known

    def seen(self, size: int) -> None:
        """Record the size of a result in bytes."""
        self.largest = max(self.largest, size)
        self.places = max(1, min(self.most, self.budget // self.largest))


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
