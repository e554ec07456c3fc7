"""The translation of many pictures: reading, network and writing run at the same time."""

import itertools
import math
import os
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from imgtranslate.files import remove_leftovers
from imgtranslate.model_files.checkpoint import Direction
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

BATCH = 8  # pictures of one size that a GPU gets at once
_BATCH_PIXELS = 2**21  # in one batch
_TOO_LARGE = 3  # times the size trained at
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

    A picture that fails does not stop the rest. After ``stop`` returns True no picture is begun,
    and translated ones are still written. ``notice`` gets one line about pictures far larger than
    those trained on. On the CPU each picture runs alone, on CUDA with others of its size.
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

    Raises ``UsageError`` at once for wrong use. Pictures are translated as outcomes are taken.
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
    """Group adjacent jobs that read one picture in one way, with their numbers."""

    def reading(numbered: tuple[int, Job]) -> Hashable:
        job = numbered[1]
        return job.source, models[job.model].translator.header.in_channels

    return (list(task) for _, task in itertools.groupby(enumerate(jobs), reading))


def _while_not(stop: Callable[[], bool], items: Iterable[Item]) -> Iterator[Item]:
    return itertools.takewhile(lambda _: not stop(), items)


def _watched(
    works: Iterator[Work], models: Sequence[Model], notice: Callable[[str], None]
) -> Iterator[Work]:
    """Give one notice about the first picture far larger than those trained on."""
    for work in works:
        trained = models[work.job.model].translator.header.crop_size
        if work.frames and min(work.frames[0].pixels.shape[:2]) > _TOO_LARGE * trained:
            notice(
                f"{work.job.source}: its shorter side is over {_TOO_LARGE} times the {trained} px "
                f"that the model was trained at, which may look weak. Try --resize {trained}"
            )
            yield work
            break
        yield work
    yield from works


def _kind(work: Work) -> Hashable:
    """Return a value that is equal for pictures that one run of a network can translate."""
    return work.job.model, *(frame.pixels.shape for frame in work.frames)


def _batch_size(work: Work, *, models: Sequence[Model]) -> int:
    """Choose how many such pictures run at once; one on the CPU, where bytes must not change."""
    on_gpu = models[work.job.model].translator.device.startswith("cuda")
    still = len(work.frames) == 1 and work.job.sample is not None
    if not (on_gpu and still and work.frames[0].pixels.dtype == np.uint8):
        return 1
    pixels = math.prod(work.frames[0].pixels.shape[:2])
    return max(1, min(BATCH, _BATCH_PIXELS // pixels))
