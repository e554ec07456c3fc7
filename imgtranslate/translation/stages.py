"""What is done with one picture: it is read, translated and written, each on its own."""

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from imgtranslate.errors import ImageError, ImgTranslateError
from imgtranslate.files import explained
from imgtranslate.images import (
    Alpha,
    Codes,
    Picture,
    encode_image,
    holds_frames,
    read_frames,
    resized,
    write_image,
)
from imgtranslate.translation.codes import Chosen, draw_grid
from imgtranslate.translation.inputs import Place
from imgtranslate.translation.plan import Existing, Job
from imgtranslate.translation.translator import Translator

_FAULTS = (ImgTranslateError, MemoryError)  # that end one picture, not the run
Status = Literal["written", "skipped", "failed"]
PIPE_LIMIT = 2**32  # bytes that are taken from stdin


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one picture."""

    input: Place
    output: Place
    status: Status
    reason: str = ""
    size: tuple[int, int] | None = None  # width, height in px
    seconds: float = 0.0  # of work, without waiting
    sample: int | None = None  # which of its picture, from 1, where a model has many looks
    seed: int | None = None  # of the code, where it was drawn; of the first one in a grid
    model: str | None = None  # where there are several

    def to_json(self) -> dict[str, Any]:
        """The same with plain values, for a line of JSON."""
        values = {**vars(self), "input": str(self.input), "output": str(self.output)}
        if self.model is None:
            del values["model"]
        return values


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model, and which of its looks are wanted."""

    translator: Translator
    chosen: Chosen
    name: str | None = None  # where there are several


@dataclass(frozen=True, kw_only=True)
class Options:
    """How pictures are read and written."""

    existing: Existing = "refuse"
    alpha: Alpha = "keep"
    allow_huge: bool = False
    resize: int | None = None  # shorter side in px, before it is translated
    quality: int | None = None
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    pipe_suffix: str = ".png"  # of the format of stdout


PLAIN = Options()


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job on its way."""

    number: int  # of the job, from 0
    job: Job
    frames: tuple[Picture, ...] = ()  # as read, then as translated
    status: Status = "written"  # what it will be, unless it fails
    reason: str = ""
    seconds: float = 0.0

    @property
    def size(self) -> int:
        """What it holds in memory, in bytes."""
        return sum(frame.pixels.nbytes for frame in self.frames)

    def failed(self, error: Exception) -> "Work":
        """The same without its picture."""
        short = isinstance(error, MemoryError)
        text = "too big for the memory. Shrink or cut it first" if short else str(error)
        reason = text.removeprefix(f"{self.job.source}: ")
        return replace(self, frames=(), status="failed", reason=reason)


def read_work(
    task: Sequence[tuple[int, Job]], *, models: Sequence[Model], options: Options
) -> list[Work]:
    """Read the picture that all jobs of a task share, unless all of them are done already."""
    works = [_begun(number, job, options) for number, job in task]
    wanted = [work for work in works if work.status == "written"]
    if not wanted:
        return works
    start, job = time.perf_counter(), wanted[0].job
    several = any(_holds_frames(work.job, options) for work in wanted)
    try:
        frames, more = _read(job, models[job.model].translator, options, several=several)
    except _FAULTS as error:
        return [work.failed(error) if work in wanted else work for work in works]
    seconds = time.perf_counter() - start
    return [
        _with_frames(work, frames, options, more=more, seconds=seconds if work.job is job else 0)
        if work.status == "written"
        else work
        for work in works
    ]


def translate_work(works: Sequence[Work], *, models: Sequence[Model]) -> list[Work]:
    """Translate pictures of one model; several in one run of the network, which then is shared."""
    start = time.perf_counter()
    model = models[works[0].job.model]
    made: list[Work] = []
    if len(works) > 1:
        made = _translate_together(works, model)
    made = made or [_translate_alone(work, model) for work in works]
    seconds = (time.perf_counter() - start) / len(works)
    return [replace(work, seconds=work.seconds + seconds) for work in made]


def write_work(work: Work, *, models: Sequence[Model], options: Options) -> tuple[int, Outcome]:
    """Write what was translated, and say what became of it. Raises ``BrokenPipeError``."""
    start = time.perf_counter()
    if work.frames:
        try:
            _write(work, options)
        except _FAULTS as error:
            work = work.failed(error)
    seconds = work.seconds + time.perf_counter() - start
    return work.number, _outcome(work, models[work.job.model], seconds=seconds)


def _begun(number: int, job: Job, options: Options) -> Work:
    there = isinstance(job.target, Path) and os.path.exists(job.target)  # noqa: PTH110 - no error
    if options.existing == "skip" and there:
        return Work(number=number, job=job, status="skipped", reason="exists")
    return Work(number=number, job=job)


def _read(
    job: Job, translator: Translator, options: Options, *, several: bool
) -> tuple[tuple[Picture, ...], bool]:
    """All frames, or the first one; and whether there were more."""
    source = job.source if isinstance(job.source, Path) else _piped(options)
    frames = read_frames(
        source,
        channels=translator.header.in_channels,
        alpha=options.alpha,
        allow_huge=options.allow_huge,
    )
    first = next(frames)
    chosen = (first, *(frames if several else ()))
    more = not several and next(frames, None) is not None
    if options.resize is not None:
        chosen = tuple(
            resized(frame, options.resize, allow_huge=options.allow_huge) for frame in chosen
        )
    return chosen, more


def _piped(options: Options) -> BinaryIO:
    if options.stdin is None:
        raise ImageError("-: nothing to read from. Name a file")
    content = options.stdin.read(PIPE_LIMIT + 1)
    if len(content) > PIPE_LIMIT:
        raise ImageError(f"-: more than {PIPE_LIMIT:,} bytes. Name a file")
    return io.BytesIO(content)


def _holds_frames(job: Job, options: Options) -> bool:
    return job.look is not None and holds_frames(_suffix(job, options))


def _suffix(job: Job, options: Options) -> str:
    return job.target.suffix if isinstance(job.target, Path) else options.pipe_suffix


def _with_frames(
    work: Work, frames: tuple[Picture, ...], options: Options, *, more: bool, seconds: float
) -> Work:
    """The work with all frames, or the first where its output holds one; which is then said."""
    if _holds_frames(work.job, options):
        return replace(work, frames=frames, seconds=seconds)
    more = more or len(frames) > 1
    reason = f"the first of several frames, as {_suffix(work.job, options)} holds one"
    return replace(work, frames=frames[:1], reason=reason if more else "", seconds=seconds)


def _translate_alone(work: Work, model: Model) -> Work:
    try:
        return replace(work, frames=_translated(work, model))
    except _FAULTS as error:
        return work.failed(error)


def _translated(work: Work, model: Model) -> tuple[Picture, ...]:
    translator, look = model.translator, work.job.look
    if look is None:
        first = work.frames[0]
        codes = [_code(n, first, model) for n in range(model.chosen.looks.count)]
        return (draw_grid(first, codes, translator),)
    return tuple(
        translator.translate_picture(frame, z=_code(look, frame, model)) for frame in work.frames
    )


def _translate_together(works: Sequence[Work], model: Model) -> list[Work]:
    """Nothing where the device has no room for all, or one of them gives no picture."""
    pictures = [work.frames[0] for work in works]
    codes = [_code(work.job.look or 0, work.frames[0], model) for work in works]
    try:
        made = model.translator.translate_together(pictures, codes=codes)
    except (ImageError, MemoryError):
        return []
    return [replace(work, frames=(picture,)) for work, picture in zip(works, made, strict=True)]


def _code(look: int, picture: Picture, model: Model) -> Codes | None:
    return model.chosen.code(look, picture.pixels, model.translator)


def _write(work: Work, options: Options) -> None:
    target = work.job.target
    frames = work.frames
    if isinstance(target, Path):
        with explained(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_image(target, frames, quality=options.quality)
    elif options.stdout is not None:
        content = encode_image(frames, suffix=options.pipe_suffix, quality=options.quality)
        options.stdout.write(content)
        options.stdout.flush()


def _outcome(work: Work, model: Model, *, seconds: float) -> Outcome:
    look = work.job.look
    height, width = work.frames[0].pixels.shape[:2] if work.frames else (0, 0)
    return Outcome(
        input=work.job.source,
        output=work.job.target,
        status=work.status,
        reason=work.reason,
        size=(width, height) if work.frames else None,
        seconds=round(seconds, 4) if work.frames else 0.0,
        sample=None if look is None else model.chosen.number(look),
        seed=model.chosen.seed(look or 0),
        model=model.name,
    )
