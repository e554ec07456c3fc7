"""Pictures in, translated pictures out: first a plan that finds every wrong use, then the work."""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from imgtranslate.atomic import explained
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.images import (
    Picture,
    read_image,
    write_image,
)
from imgtranslate.translator import Direction, Translator, load
from imgtranslate.workflows.inputs import Input, list_inputs
from imgtranslate.workflows.looks import Chosen, Looks, choose, draw_grid
from imgtranslate.workflows.outputs import checked_file, names_file, suffix_of, target_of

Existing = Literal["refuse", "skip", "overwrite"]
Status = Literal["written", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to translate and where it goes."""

    source: Path
    target: Path
    look: int | None = 0  # which of the looks asked for; None draws all of them in one figure


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one picture."""

    input: Path
    output: Path
    status: Status
    reason: str = ""
    size: tuple[int, int] | None = None  # width, height in px
    seconds: float = 0.0
    sample: int | None = None  # which of its picture, from 1, where a model has many looks
    seed: int | None = None  # of the code, where it was drawn; of the first one in a grid

    def to_json(self) -> dict[str, Any]:
        """The same with plain values, for a line of JSON."""
        return {**vars(self), "input": str(self.input), "output": str(self.output)}


def plan_translation(
    inputs: Sequence[str | Path],
    *,
    domain: str,
    output: Path | None = None,
    file_format: str | None = None,
    existing: Existing = "refuse",
    looks: int = 1,
    grid: bool = False,
    channels: tuple[int, int] = (3, 3),
) -> list[Job]:
    """Say what will be written where, in order, and touch nothing.

    ``inputs`` are files, folders and globs; ``domain`` names what comes out. Each picture has
    so many ``looks``, a file each or all in one ``grid``. ``channels``: of inputs and outputs.

    Raises
    ------
    ``UsageError`` for whatever would go wrong by the names alone: an input that is missing, two
    inputs for one output, an output that exists or is an input itself.

    """
    sources = list_inputs(inputs, channels=channels[0], ignore=_inside(output, inputs))
    one_file, written = output is not None and names_file(output), 3 if grid else channels[1]
    if output is not None and one_file:
        if looks > 1 and not grid:
            raise UsageError(f"-o {output}: one file, {looks} looks. Name a folder, or add --grid")
        target = checked_file(output, file_format=file_format, channels=written)
        jobs = [Job(source=_only(sources, output), target=target, look=None if grid else 0)]
    else:
        suffix = suffix_of(file_format, channels=written) if file_format else None
        jobs = [
            job
            for source in sources
            for job in _jobs_of(
                source.path,
                target_of(source, domain=domain, output=output, suffix=suffix, channels=written),
                looks=looks,
                grid=grid,
            )
        ]
    jobs = _distinct(jobs)
    _check_inputs_kept(jobs, replaceable=one_file and existing == "overwrite")
    _check_targets(jobs, existing=existing)
    return jobs


def run_jobs(
    jobs: Iterable[Job],
    *,
    translator: Translator,
    existing: Existing = "refuse",
    chosen: Chosen | None = None,
) -> Iterator[Outcome]:
    """Translate one picture after the other; one that fails is told and does not stop the rest."""
    chosen = chosen or choose(Looks(), translator)
    read = functools.lru_cache(maxsize=1)(
        functools.partial(read_image, channels=translator.header.in_channels)
    )
    for job in jobs:
        if existing == "skip" and job.target.exists():
            outcome = Outcome(
                input=job.source, output=job.target, status="skipped", reason="exists"
            )
        else:
            outcome = _translate(job, translator, chosen=chosen, read=read)
        number = None if job.look is None else chosen.number(job.look)
        yield replace(outcome, sample=number, seed=chosen.seed(job.look or 0))


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
    """Translate all pictures of a folder into another; its tree, names and formats are kept.

    Wrong use raises ``UsageError`` at once; pictures are translated as the outcomes are taken.
    """
    translator = load(model, device=device, direction=direction)
    header = translator.header
    jobs = plan_translation(
        [folder],
        domain=header.target,
        output=Path(output),
        file_format=file_format,
        existing=existing,
        channels=(header.in_channels, header.out_channels),
    )
    return run_jobs(jobs, translator=translator, existing=existing)


def _jobs_of(source: Path, target: Path, *, looks: int, grid: bool) -> list[Job]:
    """One job for each look; several are numbered from 1."""
    if grid or looks == 1:
        return [Job(source=source, target=target, look=None if grid else 0)]
    return [
        Job(source=source, target=target.with_stem(f"{target.stem}.{look + 1}"), look=look)
        for look in range(looks)
    ]


def _translate(
    job: Job, translator: Translator, *, chosen: Chosen, read: Callable[[Path], Picture]
) -> Outcome:
    start = time.perf_counter()
    try:
        picture = read(job.source)
        looks = range(chosen.looks.count) if job.look is None else (job.look,)
        codes = [chosen.code(look, picture.pixels, translator) for look in looks]
        if job.look is None:
            translated = draw_grid(picture, codes, translator)
        else:
            translated = translator.translate_picture(picture, z=codes[0])
        with explained(job.target.parent):
            job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(job.target, translated)
    except ImgTranslateError as error:
        reason = str(error).removeprefix(f"{job.source}: ")
        return Outcome(input=job.source, output=job.target, status="failed", reason=reason)
    height, width = translated.pixels.shape[:2]
    return Outcome(
        input=job.source,
        output=job.target,
        status="written",
        size=(width, height),
        seconds=round(time.perf_counter() - start, 4),
    )


def _inside(output: Path | None, inputs: Sequence[str | Path]) -> Callable[[Path], bool]:
    """Whether a picture lies in an output folder that is inside an input folder."""
    folders = {Path(name).resolve() for name in inputs}
    if output is None or folders.isdisjoint(output.resolve().parents):
        return lambda _: False
    place = output.resolve()
    return lambda path: path.resolve().is_relative_to(place)


def _only(sources: Sequence[Input], output: Path) -> Path:
    if len(sources) != 1 or sources[0].in_folder:
        raise UsageError(
            f"-o {output}: one file for {len(sources)} picture(s) of a folder or list. "
            "Name a folder, without an image suffix"
        )
    return sources[0].path


def _distinct(jobs: Sequence[Job]) -> list[Job]:
    """The jobs without repetitions; two inputs for one output are refused."""
    chosen: dict[str, Job] = {}
    for job in jobs:
        other = chosen.setdefault(os.path.normcase(job.target.absolute()), job)
        if _identity(other.source) != _identity(job.source):
            raise UsageError(
                f"{other.source} and {job.source}: both would be written to {job.target}. "
                "Translate them into different folders"
            )
    return list(chosen.values())


def _check_inputs_kept(jobs: Sequence[Job], *, replaceable: bool) -> None:
    existing = [job.target for job in jobs if os.path.lexists(job.target)]
    inputs = {_identity(job.source) for job in jobs} if existing else set()
    for target in existing:
        if _identity(target) in inputs and not replaceable:
            raise UsageError(
                f"{target}: an input itself, which would be overwritten. Name another output by -o"
            )


def _check_targets(jobs: Sequence[Job], *, existing: Existing) -> None:
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        _check_folder(folder)
    present = [job.target for job in jobs if os.path.lexists(job.target)]
    for target in present:
        if target.is_dir():
            raise UsageError(f"{target}: a folder stands where a picture goes. Name another output")
    if present and existing == "refuse":
        more = f" (and {len(present) - 1} more)" if len(present) > 1 else ""
        raise UsageError(f"{present[0]}{more}: exists. Add --overwrite or --skip-existing")


def _check_folder(folder: Path) -> None:
    """Folders are made when the first picture goes there; here only whether that could work."""
    nearest_existing = next((f for f in (folder, *folder.parents) if os.path.lexists(f)), folder)
    if not nearest_existing.is_dir():
        raise UsageError(f"{nearest_existing}: a file, not a folder. Name another output by -o")
    if not os.access(nearest_existing, os.W_OK | os.X_OK):
        raise UsageError(f"{nearest_existing}: no permission to write here. Name another output")


def _identity(path: Path) -> tuple[int, int] | str:
    """The same for all names of one file."""
    try:
        status = path.stat()
    except OSError:
        return str(path.absolute())
    return (status.st_dev, status.st_ino)
