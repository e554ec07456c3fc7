"""The stages of one picture: read, translate, write.

``translate`` runs them in parallel on files (``read_work``, ``translate_work``, ``write_work``).
The HTTP service calls the same ``read_picture`` and ``translate_frames`` for a request.
"""

import contextlib
import io
import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from imgtranslate.errors import ImageError, ImgTranslateError, TooManyPixelsError
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
from imgtranslate.images.opening import pixels_at_most
from imgtranslate.translation.codes import Model, draw_grid
from imgtranslate.translation.inputs import PIPE, Place
from imgtranslate.translation.plan import Existing, Job

_FAULTS = (ImgTranslateError, MemoryError)  # errors that end one picture, not the run
Status = Literal["written", "skipped", "failed"]
PIPE_LIMIT = 2**32  # most bytes that are read from stdin


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options for reading and writing pictures."""

    existing: Existing = "refuse"
    alpha: Alpha = "keep"
    allow_huge: bool = False
    max_pixels: int | None = None  # most pixels of all frames together, after resizing
    resize: int | None = None  # shorter side in px, before translation
    quality: int | None = None
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    pipe_suffix: str = ".png"  # format on stdout


PLAIN = Options()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result for one picture: written, skipped or failed."""

    input: Place
    output: Place
    status: Status
    reason: str = ""
    size: tuple[int, int] | None = None  # width, height in px
    seconds: float = 0.0  # seconds of work, without waiting
    sample: int | None = None  # number of the translation, from 1, for a model with a latent code
    seed: int | None = None  # seed of a random code; in a grid that of the first one
    model: str | None = None  # set if there are several models

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values for a line of JSON."""
        values = {**vars(self), "input": str(self.input), "output": str(self.output)}
        if self.model is None:
            del values["model"]
        return values


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job between two stages."""

    number: int  # number of the job, from 0
    job: Job
    frames: tuple[Picture, ...] = ()  # first as read, then as translated
    status: Status = "written"  # may still change to failed
    reason: str = ""
    seconds: float = 0.0

    @property
    def nbytes(self) -> int:
        """The bytes of the pixels in memory."""
        return sum(frame.pixels.nbytes for frame in self.frames)

    def failed(self, error: Exception) -> "Work":
        """Return this work as failed, without its picture."""
        match error:
            case MemoryError():
                text = "too large for the available memory. Resize or crop it first"
            case TooManyPixelsError():
                text = f"{error}, or allow it with `allow_huge`"
            case _:
                text = str(error)
        reason = text.removeprefix(f"{self.job.source}: ")
        return replace(self, frames=(), status="failed", reason=reason)


def read_picture(
    source: Path | BinaryIO, *, channels: int, options: Options, all_frames: bool
) -> tuple[tuple[Picture, ...], bool]:
    """Read all frames, or the first; return them, and whether frames were left out.

    ``options.max_pixels`` is checked in the header of the file, unless the picture is resized.
    Raises ``ImageError``.
    """
    limit = options.max_pixels if options.resize is None else None
    with contextlib.nullcontext() if limit is None else pixels_at_most(limit):
        frames = read_frames(
            source, channels=channels, alpha=options.alpha, allow_huge=options.allow_huge
        )
        if all_frames:
            return tuple(_fitted(frames, options)), False
        first = tuple(_fitted(itertools.islice(frames, 1), options))
        return first, next(frames, None) is not None


def translate_frames(
    frames: Iterable[Picture], model: Model, *, sample: int | None
) -> Iterator[Picture]:
    """Yield one sample of each frame, or if ``sample`` is None, a grid of samples of the first."""
    if sample is None:
        yield draw_grid(next(iter(frames)), model)
        return
    for frame in frames:
        z = model.code(frame, sample) if model.translator.latent_dim else None
        yield model.translator.translate_picture(frame, z=z)


def read_work(
    task: Sequence[tuple[int, Job]], *, models: Sequence[Model], options: Options
) -> list[Work]:
    """Read the picture of all jobs of a task, unless every output already exists."""
    done: list[Work] = []
    wanted: list[Work] = []
    skips = options.existing == "skip"
    for number, job in task:
        work = Work(number=number, job=job)
        if skips and job.target != PIPE and os.path.exists(job.target):  # noqa: PTH110 - never raises
            done.append(replace(work, status="skipped", reason="exists"))
        else:
            wanted.append(work)
    if not wanted:
        return done

    start, job = time.perf_counter(), wanted[0].job
    try:
        frames, more = read_picture(
            job.source if isinstance(job.source, Path) else _piped(options),
            channels=models[job.model].translator.header.in_channels,
            options=options,
            all_frames=any(_holds_frames(work.job, options) for work in wanted),
        )
    except _FAULTS as error:
        return [*done, *(work.failed(error) for work in wanted)]
    seconds, more = time.perf_counter() - start, more or len(frames) > 1

    for work in wanted:
        reasons, taken = [frames[0].warning], frames
        if not _holds_frames(work.job, options):
            taken = frames[:1]
            suffix = _suffix(work.job, options)
            reasons += [f"only the first of several frames, because {suffix} holds one"] * more
        reason = "; ".join(filter(None, reasons))
        done.append(replace(work, frames=taken, reason=reason, seconds=seconds))
        seconds = 0.0  # they belong to the first
    return done


def translate_work(works: Sequence[Work], *, models: Sequence[Model]) -> list[Work]:
    """Translate pictures with one model, several as one batch, or one by one if that fails."""
    if not works[0].frames:  # already skipped or failed
        return list(works)
    start = time.perf_counter()
    model = models[works[0].job.model]
    made: list[Work] = []
    if len(works) > 1:
        pictures = [work.frames[0] for work in works]
        codes: list[Codes | None] = [None] * len(works)
        if model.translator.latent_dim:
            codes = [model.code(work.frames[0], work.job.sample or 0) for work in works]
        with contextlib.suppress(ImageError, MemoryError):  # then one by one
            pictures = model.translator.translate_batch(pictures, codes=codes)
            made = [
                replace(work, frames=(picture,))
                for work, picture in zip(works, pictures, strict=True)
            ]
    for work in works[len(made) :]:
        try:
            frames = tuple(translate_frames(work.frames, model, sample=work.job.sample))
        except _FAULTS as error:
            made.append(work.failed(error))
        else:
            made.append(replace(work, frames=frames))
    seconds = (time.perf_counter() - start) / len(works)
    return [replace(work, seconds=work.seconds + seconds) for work in made]


def write_work(work: Work, *, models: Sequence[Model], options: Options) -> tuple[int, Outcome]:
    """Write a translated picture and report its outcome. Raises ``BrokenPipeError``."""
    start, target = time.perf_counter(), work.job.target
    if work.frames:
        try:
            if isinstance(target, Path):
                with explained(target.parent):
                    target.parent.mkdir(parents=True, exist_ok=True)
                write_image(target, work.frames, quality=options.quality)
            elif options.stdout is not None:
                suffix, quality = options.pipe_suffix, options.quality
                options.stdout.write(encode_image(work.frames, suffix=suffix, quality=quality))
                options.stdout.flush()
        except _FAULTS as error:
            work = work.failed(error)
    seconds = work.seconds + time.perf_counter() - start
    model, sample = models[work.job.model], work.job.sample
    coded = model.translator.latent_dim > 0
    height, width = work.frames[0].pixels.shape[:2] if work.frames else (0, 0)
    return work.number, Outcome(
        input=work.job.source,
        output=target,
        status=work.status,
        reason=work.reason,
        size=(width, height) if work.frames else None,
        seconds=round(seconds, 4) if work.frames else 0.0,
        sample=sample + 1 if coded and sample is not None else None,
        seed=model.samples.seed + (sample or 0) if coded and not model.codes else None,
        model=model.name,
    )


def _fitted(frames: Iterable[Picture], options: Options) -> Iterator[Picture]:
    """Resize frames; refuse more than ``max_pixels`` in all frames together."""
    total = 0
    for frame in frames:
        fitting = frame
        if options.resize is not None:
            fitting = resized(frame, options.resize, allow_huge=options.allow_huge)
        total += math.prod(fitting.pixels.shape[:2])
        if options.max_pixels is not None and total > options.max_pixels:
            raise ImageError(
                f"-: {total:,} pixels or more in all its frames, over the limit of "
                f"{options.max_pixels:,}. Resize or crop it first"
            )
        yield fitting


def _piped(options: Options) -> BinaryIO:
    """Read stdin, from where it is; a seekable stream would be read from its beginning."""
    if options.stdin is None:
        raise ImageError("-: stdin is closed. Name a file")
    content = options.stdin.read(PIPE_LIMIT + 1)
    if len(content) > PIPE_LIMIT:
        raise ImageError(f"-: more than {PIPE_LIMIT:,} bytes. Name a file")
    return io.BytesIO(content)


def _holds_frames(job: Job, options: Options) -> bool:
    return job.sample is not None and holds_frames(_suffix(job, options))


def _suffix(job: Job, options: Options) -> str:
    return job.target.suffix if isinstance(job.target, Path) else options.pipe_suffix
