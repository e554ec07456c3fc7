"""The translation of many pictures, with reading, network and writing in parallel."""

import itertools
import math
import os
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from imgtranslate.files import remove_leftovers
from imgtranslate.settings.config import Direction
from imgtranslate.translation.codes import Model
from imgtranslate.translation.outputs import Output
from imgtranslate.translation.pipeline import Room, grouped, in_order, read_ahead, write_behind
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
from imgtranslate.translation.translator import load

BATCH = 8  # most pictures of one size in a batch on a GPU
_BATCH_PIXELS = 2**21  # most pixels in a batch
_TOO_LARGE = 3  # multiple of the training size
Item = TypeVar("Item")


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
    tasks = _while_not(stop, _tasks(jobs, models))
    read = partial(read_work, models=models, options=options)
    write = partial(write_work, models=models, options=options)

    for folder in {job.target.parent for job in jobs if isinstance(job.target, Path)}:
        remove_leftovers(folder)
    tasks_read = read_ahead(
        read,
        tasks,
        workers=workers,
        size=lambda works: max(work.nbytes for work in works),
        room=Room(most=2 * workers),
    )
    works = _while_not(stop, itertools.chain.from_iterable(tasks_read))
    if options.resize is None:
        works = _watched(works, models, notice)
    together = partial(_batch_size, models=models)
    groups = grouped(works, key=_kind, most=together, window=4 * BATCH)
    made = (work for group in groups for work in translate_work(group, models=models))
    written = write_behind(
        write, made, workers=workers, size=lambda work: work.nbytes, room=Room(most=2 * workers)
    )
    yield from in_order(written)


def translate_folder(
    folder: str | Path,
    output: str | Path,
    *,
    model: str | Path,
    device: str = "auto",
    direction: Direction = "ab",
    file_format: str | None = None,
    existing: Existing = "refuse",
) -> Iterator[Outcome]:
    """Translate all pictures of a folder into another with the same tree, names and formats.

    Raises ``UsageError`` at once for wrong use. Pictures are translated as outcomes are consumed.
    """
    translator = load(model, device=device, direction=direction)
    jobs = plan_translation(
        [folder],
        models=[translator.header],
        output=Output(text=os.fspath(output), file_format=file_format),
        existing=existing,
    )
    return run_jobs(jobs, models=[Model(translator=translator)], options=Options(existing=existing))


def _tasks(jobs: Sequence[Job], models: Sequence[Model]) -> Iterator[list[tuple[int, Job]]]:
    """Group adjacent jobs that read the same picture in the same way, with their numbers."""

    def reading(numbered: tuple[int, Job]) -> Hashable:
        job = numbered[1]
        return job.source, models[job.model].translator.header.in_channels

    return (list(task) for _, task in itertools.groupby(enumerate(jobs), reading))


def _while_not(stop: Callable[[], bool], items: Iterable[Item]) -> Iterator[Item]:
    return itertools.takewhile(lambda _: not stop(), items)


def _watched(
    works: Iterator[Work], models: Sequence[Model], notice: Callable[[str], None]
) -> Iterator[Work]:
    """Give one notice about the first picture much larger than those of the training."""
    for work in works:
        trained = models[work.job.model].translator.header.crop_size
        if work.frames and min(work.frames[0].pixels.shape[:2]) > _TOO_LARGE * trained:
            notice(
                f"{work.job.source}: its shorter side is more than {_TOO_LARGE} times the "
                f"{trained} px of the training, so the effect may be weak. Try `resize` {trained}"
            )
            yield work
            break
        yield work
    yield from works


def _kind(work: Work) -> Hashable:
    """Return a value that is equal for pictures that can be in the same batch."""
    return work.job.model, *(frame.pixels.shape for frame in work.frames)


def _batch_size(work: Work, *, models: Sequence[Model]) -> int:
    """Choose the batch size; 1 on the CPU, where results must be bit-identical."""
    on_gpu = models[work.job.model].translator.device.startswith("cuda")
    still = len(work.frames) == 1 and work.job.sample is not None
    if not (on_gpu and still and work.frames[0].pixels.dtype == np.uint8):
        return 1
    pixels = math.prod(work.frames[0].pixels.shape[:2])
    return max(1, min(BATCH, _BATCH_PIXELS // pixels))
