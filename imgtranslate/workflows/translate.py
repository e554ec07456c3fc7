"""Pictures in, translated pictures out: first a plan that finds every wrong use, then the work."""

import functools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from imgtranslate.atomic import explained
from imgtranslate.errors import ImgTranslateError, UsageError, nearest
from imgtranslate.images import (
    IMAGE_SUFFIXES,
    Picture,
    read_image,
    writable_suffixes,
    write_image,
)
from imgtranslate.translator import Direction, Translator, load
from imgtranslate.workflows.inputs import Input, list_inputs
from imgtranslate.workflows.looks import Chosen, Looks, choose, draw_grid

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
) -> list[Job]:
    """Say what will be written where, in order, and touch nothing.

    ``inputs`` are files, folders and globs; ``domain`` names what comes out. Each picture has
    so many ``looks``, a file each or all in one ``grid``. Raises
    ``UsageError`` for whatever would go wrong by the names alone: an input that is missing, two
    inputs for one output, an output that exists or is an input itself.
    """
    sources = list_inputs(inputs, ignore=_inside(output, inputs))
    one_file = output is not None and _names_file(output)
    if output is not None and one_file:
        if looks > 1 and not grid:
            raise UsageError(f"-o {output}: one file, {looks} looks. Name a folder, or add --grid")
        target = _checked(output, file_format)
        jobs = [Job(source=_only(sources, output), target=target, look=None if grid else 0)]
    else:
        suffix = None if file_format is None else _suffix_of(file_format)
        targets = [_target(s, domain=domain, output=output, suffix=suffix) for s in sources]
        jobs = [
            job
            for source, target in zip(sources, targets, strict=True)
            for job in _jobs_of(source.path, target, looks=looks, grid=grid)
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
    jobs = plan_translation(
        [folder], domain="", output=Path(output), file_format=file_format, existing=existing
    )
    translator = load(model, device=device, direction=direction)
    return run_jobs(jobs, translator=translator, existing=existing)


def safe_name(domain: str) -> str:
    """A domain's name, which a foreign file may have set, as a part of a file's name."""
    plain = re.sub(r"[^\w-]+", "-", domain).strip("-_").encode()[:60].decode(errors="ignore")
    return plain or "translated"


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


def _names_file(output: Path) -> bool:
    return output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir()


def _only(sources: Sequence[Input], output: Path) -> Path:
    if len(sources) != 1 or sources[0].in_folder:
        raise UsageError(
            f"-o {output}: one file for {len(sources)} picture(s) of a folder or list. "
            "Name a folder, without an image suffix"
        )
    return sources[0].path


def _checked(output: Path, file_format: str | None) -> Path:
    suffix = output.suffix.lower()
    if file_format is not None and suffix not in _same_format(_suffix_of(file_format)):
        raise UsageError(f"-o {output}: not in the format of --format {file_format}. Leave one out")
    if suffix not in writable_suffixes():
        raise UsageError(f"-o {output}: {suffix} cannot be written. Use .png")
    return output


def _same_format(suffix: str) -> tuple[str, ...]:
    return next((group for group in _SYNONYMS if suffix in group), (suffix,))


_SYNONYMS = ((".jpg", ".jpeg", ".jpe", ".jfif"), (".tif", ".tiff"))


def _suffix_of(file_format: str) -> str:
    names = [suffix.removeprefix(".") for suffix in writable_suffixes()]
    return "." + nearest(file_format.lower().removeprefix("."), names, what="--format")


def _target(source: Input, *, domain: str, output: Path | None, suffix: str | None) -> Path:
    own = source.path.suffix
    stem = source.path.stem if own.lower() in IMAGE_SUFFIXES else source.path.name
    suffix = suffix or (own if own.lower() in writable_suffixes() else ".png")
    if output is not None:
        return output / source.relative.with_name(f"{stem}{suffix}")
    if source.in_folder:
        raise UsageError(
            f"{source.path.parent}: a folder needs a place for its results. Add -o DIR"
        )
    return source.path.with_name(f"{stem}.{safe_name(domain)}{suffix}")


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
