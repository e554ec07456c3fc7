"""The plan of a translation: the output of each input, checked by name before any work."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from imgtranslate.errors import UsageError, counted
from imgtranslate.images.listing import as_stored, file_key
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.translation.inputs import PIPE, Input, Place, list_inputs, real
from imgtranslate.translation.outputs import BESIDE, Naming, Output, check_output, target_of
from imgtranslate.translation.partitions import WHOLE, Shard

Existing = Literal["refuse", "skip", "overwrite"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One picture to translate, and its output."""

    source: Place
    target: Place
    sample: int | None = 0  # index of the sample; None for all samples in one figure
    model: int = 0  # index of the model


def silent(_: str) -> None:
    """Ignore a notice."""


def plan_translation(
    inputs: Sequence[str | Path],
    *,
    models: Sequence[ModelHeader],
    output: Output = BESIDE,
    listed: Sequence[Input] = (),
    samples: int = 1,
    grid: bool = False,
    shard: Shard = WHOLE,
    limit: int | None = None,
    existing: Existing = "refuse",
    notice: Callable[[str], None] = silent,
) -> list[Job]:
    """Plan the outputs of all inputs, in order, without writing anything.

    ``inputs`` are files, folders, globs and ``-``, followed by ``listed``. Each model makes
    ``samples`` of each picture, as one file each or together in one ``grid``. Only inputs of the
    ``shard`` are translated, up to ``limit`` pictures. ``notice`` receives a line about inputs that
    are left out.

    Raises
    ------
    ``UsageError`` for faults that names show: an input that is missing, two inputs for one output,
    or an output that exists, is an input itself, or is outside of its folder.

    """
    if output.text is None and PIPE in inputs:
        output = replace(output, text=PIPE)
    namings = [
        Naming(
            output=output,
            domain=header.target,
            channels=3 if grid else header.out_channels,
            several_models=len(models) > 1,
        )
        for header in models
    ]
    for naming in namings:
        check_output(output, channels=naming.channels)
    channels = max(header.in_channels for header in models)
    found = list_inputs(inputs, channels=channels, output=output.folder, pipe=True)
    sources = [*found, *listed]
    _check_single(output, sources, samples=1 if grid else samples, models=len(models))
    numbers: Sequence[int | None] = [None] if grid else range(samples)
    planned = _distinct(
        (source, Job(source=source.place, target=_as_stored(target), sample=sample, model=model))
        for source in sources
        for model, naming in enumerate(namings)
        for sample in numbers
        for target in [target_of(source, naming, sample=sample if samples > 1 else None)]
    )
    planned = _without_own_outputs(planned, output, notice)
    jobs = _selected(planned, shard=shard, limit=limit, notice=notice)
    _check_targets(jobs, planned, output=output, existing=existing)
    return jobs


def _check_single(output: Output, sources: Sequence[Input], *, samples: int, models: int) -> None:
    """Raise ``UsageError`` if several pictures would be written to one file or to stdout."""
    if not (output.is_file or output.is_pipe):
        return
    if models > 1:
        raise UsageError(f"`output` {output.text}: one file, {models} models. Name a folder")
    if samples > 1:
        raise UsageError(
            f"`output` {output.text}: one file, {samples} samples. Name a folder, or add `grid`"
        )
    if len(sources) != 1 or sources[0].found == "folder":
        raise UsageError(
            f"`output` {output.text}: one file for {counted(len(sources), 'picture')} of a folder "
            "or list. Name a folder, without an image suffix"
        )


def _distinct(pairs: Iterable[tuple[Input, Job]]) -> list[tuple[Input, Job]]:
    """Remove repeated jobs, and refuse two different ones with the same output.

    Outputs whose names differ in case or Unicode form are the same: some file systems keep only one
    of them.
    """
    chosen: dict[str, tuple[str, Input, Job]] = {}
    folder_of = lru_cache(maxsize=1024)(os.path.realpath)
    for source, job in pairs:
        folder, name = os.path.split(job.target)
        path = os.path.join(folder_of(folder), name)  # noqa: PTH118 - faster for a million files
        first, _, other = chosen.setdefault(file_key(path), (path, source, job))
        if other.model != job.model:
            raise UsageError(
                f"`model`: two models would write {job.target}, because their domains have the "
                "same name. Run them one by one, each with its own `output`"
            )
        if first != path:
            raise UsageError(
                f"{other.source} and {job.source}: their outputs {other.target} and {job.target} "
                "are one file on systems that ignore case or Unicode forms. Translate them into "
                "different folders"
            )
        if other is not job and _identity(other.source) != _identity(job.source):
            raise UsageError(
                f"{other.source} and {job.source}: both would be written to {job.target}. "
                "Translate them into different folders"
            )
    return [(source, job) for _, source, job in chosen.values()]


def _as_stored(target: Place) -> Place:
    return as_stored(target) if isinstance(target, Path) else target


def _without_own_outputs(
    pairs: list[tuple[Input, Job]], output: Output, notice: Callable[[str], None]
) -> list[tuple[Input, Job]]:
    """Leave out pictures that have the name of the output of another picture beside them."""
    if output.text is not None and not output.is_pattern:
        return pairs
    made = {job.target: job.source for _, job in pairs}
    kept = [
        (source, job)
        for source, job in pairs
        if source.found not in ("folder", "pattern")
        or made.get(source.path, source.path) == source.path
    ]
    left_out = len({job.source for _, job in pairs}) - len({job.source for _, job in kept})
    if left_out:
        notice(f"left out {counted(left_out, 'picture')} named like the output of another picture")
    return kept


def _selected(
    pairs: list[tuple[Input, Job]],
    *,
    shard: Shard,
    limit: int | None,
    notice: Callable[[str], None],
) -> list[Job]:
    """Select the jobs of this shard, up to ``limit`` pictures."""
    mine = [job for source, job in pairs if shard.count == 1 or shard.holds(source.relative)]
    if shard.count > 1:
        notice(f"shard {shard}: {_pictures(mine)} of {_pictures(job for _, job in pairs)} pictures")
    if limit is None or limit >= _pictures(mine):
        return mine
    first = set(list(dict.fromkeys(job.source for job in mine))[:limit])
    notice(f"`limit` {limit}: the first {limit} of {_pictures(mine)} pictures")
    return [job for job in mine if job.source in first]


def _pictures(jobs: Iterable[Job]) -> int:
    return len({job.source for job in jobs})


def _check_targets(
    jobs: Sequence[Job], planned: Iterable[tuple[Input, Job]], *, output: Output, existing: Existing
) -> None:
    targets = [job.target for job in jobs if isinstance(job.target, Path)]
    present = [target for target in targets if os.path.lexists(target)]
    # A named output file may also be an input.
    replaceable = output.is_file and existing == "overwrite"
    if present and not replaceable:
        inputs = {_identity(source.place) for source, _ in planned}
        for target in present:
            if _identity(target) in inputs:
                raise UsageError(
                    f"{target}: is an input, which would be overwritten. "
                    "Name another output with `output`"
                )
    root = None if output.folder is None else real(output.folder)
    for folder in dict.fromkeys(target.parent for target in targets):
        # A missing folder is created when its first picture is written.
        above = next((f for f in (folder, *folder.parents) if os.path.lexists(f)), folder)
        if not above.is_dir():
            raise UsageError(f"{above}: a file, not a folder. Name another output with `output`")
        if root is not None and not real(folder).is_relative_to(root):
            raise UsageError(
                f"{folder}: a link leads out of the output folder {root}. Remove it, or name its "
                "target"
            )
        if not os.access(above, os.W_OK | os.X_OK):
            raise UsageError(f"{above}: permission denied. Name another output with `output`")
    for target in present:
        if target.is_dir():
            raise UsageError(
                f"{target}: is a folder, not a file. Name another output with `output`"
            )
    if present and existing == "refuse":
        more = f" (and {len(present) - 1} more)" if len(present) > 1 else ""
        raise UsageError(
            f"{present[0]}{more}: already exists. Use `existing` overwrite or `existing` skip"
        )


def _identity(place: Place) -> tuple[int, int] | str:
    """Return a value that is equal for all names of the same file."""
    if not isinstance(place, Path):
        return place
    try:
        status = place.stat()
    except OSError:
        return str(place.absolute())
    return (status.st_dev, status.st_ino)
