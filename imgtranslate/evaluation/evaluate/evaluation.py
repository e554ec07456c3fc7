"""The evaluation of a model: its translations of held-out pictures, and the measures that apply."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImageError, ImgTranslateError
from imgtranslate.evaluation.evaluate.measures import (
    STOPPED,
    EvaluateOptions,
    Translated,
    measure,
)
from imgtranslate.evaluation.evaluate.schema import (
    Counts,
    DirectionFigures,
    EvaluationFile,
    FailedPicture,
    Figure,
    Interval,
    Rank,
    Resize,
    is_baseline,
)
from imgtranslate.evaluation.evaluate.subjects import Gallery, Subject, never
from imgtranslate.images import Picture, Pixels, holds, write_image
from imgtranslate.metrics.estimate import Difference, Estimate, difference
from imgtranslate.translation.translator import size_notice

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The results of one direction of one model."""

    figures: DirectionFigures  # as `evaluate` prints them in JSON
    estimates: Mapping[str, Estimate]  # its measures, with replicates for a comparison
    files: tuple[Path, ...]  # files of the translated pictures


def evaluate(
    subject: Subject,
    options: EvaluateOptions,
    *,
    tell: Tell,
    notice: Tell = lambda _: None,
    stop: Callable[[], bool] = never,
) -> Evaluation:
    """Measure one direction of one model; ``tell`` receives lines about the progress.

    ``notice`` receives a line if a picture is much larger than those of the training. Once ``stop``
    returns True, no further picture is translated or measured, and the figures are marked as
    partial.

    Pictures are translated once, saved like ``translate`` does, and read again for each measure, so
    that memory does not grow with their number. A picture that fails is reported and left out with
    its partner. Raises ``ImgTranslateError`` if no picture remains.
    """
    with tempfile.TemporaryDirectory(prefix="imgtranslate-") as folder:
        translated, failures, stopped = _translate(
            subject, options, folder=Path(folder), tell=tell, notice=notice, stop=stop
        )
        estimates, left_out = measure(translated, options, tell=tell, stop=stop)
    header, fakes = subject.header, translated.fakes
    source, target = translated.subject.source, translated.subject.target
    figures = DirectionFigures(
        name=subject.name,
        direction=header.direction,
        source=header.source,
        target=header.target,
        step=header.step,
        paired=subject.paired,
        counts=Counts(translated=len(fakes), real=len(target or ()), failed=len(failures)),
        sizes=tuple(f"{width}x{height}" for width, height in translated.sizes),
        resize=Resize(shorter_side=source.side, method=source.resample) if source.side else None,
        measures={
            name: Figure.model_validate(estimate, from_attributes=True)
            for name, estimate in estimates.items()
        },
        left_out=left_out,
        failed=tuple(failures),
        partial=stopped or STOPPED in left_out.values(),
    )
    return Evaluation(figures=figures, estimates=estimates, files=source.files)


def side_by_side(runs: Sequence[Sequence[Evaluation]]) -> list[list[Evaluation]]:
    """Group the evaluations of runs by the directions that all of them have."""
    by_way = [{one.figures.direction: one for one in run} for run in runs]
    return [
        [ways[way] for ways in by_way] for way in by_way[0] if all(way in ways for ways in by_way)
    ]


def document(runs: Sequence[Sequence[Evaluation]], *, partial: bool = False) -> EvaluationFile:
    """Return the evaluations of runs, as `evaluate` prints them in JSON."""
    figures = tuple(tuple(one.figures for one in run) for run in runs)
    if len(runs) < 2:
        return EvaluationFile(runs=figures, partial=partial)
    columns = side_by_side(runs)
    if len(runs) > 2:
        ranked = {str(found[0].figures.direction): ranks(found) for found in columns}
        return EvaluationFile(runs=figures, ranks=ranked, partial=partial)
    found = {
        str(first.figures.direction): {
            name: Interval.model_validate(one, from_attributes=True)
            for name, one in differences(first, second).items()
        }
        for first, second in columns
    }
    return EvaluationFile(runs=figures, differences=found, partial=partial)


def ranks(runs: Sequence[Evaluation]) -> dict[str, tuple[Rank | None, ...]]:
    """Rank the runs of one direction by each measure, in their order; baselines have no rank.

    A run is clearly better than another if the interval of their difference excludes zero.
    """
    found: dict[str, tuple[Rank | None, ...]] = {}
    for name in dict.fromkeys(name for run in runs for name in run.estimates):
        if is_baseline(name):
            continue
        having = [run for run in runs if name in run.estimates]
        beats = [[_is_better(name, one, other) for other in having] for one in having]
        places = iter(
            Rank(best=1 + sum(row[n] for row in beats), worst=len(having) - sum(beats[n]))
            for n in range(len(having))
        )
        found[name] = tuple(next(places) if name in run.estimates else None for run in runs)
    return found


def _is_better(name: str, one: Evaluation, other: Evaluation) -> bool:
    """Return whether the first of two runs is clearly better by a measure of both."""
    estimate = one.estimates[name]
    apart = difference(other.estimates[name], estimate, same_pictures=one.files == other.files)
    return apart.is_clear and (apart.value < 0) == (estimate.better == "lower")


def differences(first: Evaluation, second: Evaluation) -> dict[str, Difference]:
    """Subtract the figures of the first from those of the second, if both have them.

    Baselines have no difference.
    """
    same = first.files == second.files
    return {
        name: difference(estimate, second.estimates[name], same_pictures=same)
        for name, estimate in first.estimates.items()
        if name in second.estimates and not is_baseline(name)
    }


def _translate(
    subject: Subject,
    options: EvaluateOptions,
    *,
    folder: Path,
    tell: Tell,
    notice: Tell,
    stop: Callable[[], bool],
) -> tuple[Translated, list[FailedPicture], bool]:
    """Translate the pictures of a subject, and find the readable pictures to compare with.

    If ``stop`` returns True after a picture, the others are not translated; the last value is True.
    """
    stopped = noticed = False
    numbers, fakes, failures = list[int](), list[Path](), list[FailedPicture]()
    sizes = set[tuple[int, int]]()  # width, height
    wanted = evenly_spaced(range(len(subject.source)), options.limit)
    tell(f"translating {len(wanted)} of {len(subject.source)} pictures")
    for number in wanted:
        try:
            pixels = _translated(subject, number, seed=options.seed)
            fakes.append(_saved(pixels, folder, number))
        except ImgTranslateError as error:
            failures.append(_failure(subject.source.files[number], error))
        else:
            numbers.append(number)
            sizes.add((pixels.shape[1], pixels.shape[0]))
            line = size_notice(subject.source.files[number], pixels, subject.header)
            if line and not noticed:
                noticed = True
                notice(f"{line}. Try `resize` {subject.header.crop_size}")
        if numbers and number != wanted[-1] and stop():
            stopped = True
            break
    if not numbers:
        first = failures[0]
        raise ImgTranslateError(f"{first.path}: {first.reason}. No picture remains")

    # Real pictures: the partners, or as many of the other side
    source, target = subject.source.only(numbers), subject.target
    if target is not None and subject.paired:
        target = target.only(numbers)
    elif target is not None:
        readable = []
        for number in evenly_spaced(range(len(target)), options.limit):
            try:
                height, width = target.read(number).shape[:2]
            except ImageError as error:
                failures.append(_failure(target.files[number], error))
            else:
                readable.append(number)
                sizes.add((width, height))
        target = target.only(readable) if readable else None
    header = subject.header
    domain = replace(source.domain, name=header.target, files=(), held_out=(), half="whole")
    translated = Translated(
        subject=replace(subject, source=source, target=target),
        fakes=Gallery(domain=domain, files=tuple(fakes), channels=header.out_channels),
        sizes=tuple(sorted(sizes)),
    )
    return translated, failures, stopped


def _translated(subject: Subject, number: int, *, seed: int) -> Pixels:
    real = subject.source.read(number)
    translator = subject.translator
    z = translator.draw(seed, real) if translator.latent_dim else None
    fake = translator.translate_pixels(real, z=z)
    if subject.paired and subject.target is not None:
        truth = subject.target.read(number)
        if truth.shape != fake.shape:
            raise ImageError(
                f"{subject.target.files[number]}: {truth.shape[1]}x{truth.shape[0]} px, its "
                f"partner {fake.shape[1]}x{fake.shape[0]}. Resize both to one size"
            )
    return fake


def _saved(pixels: Pixels, folder: Path, number: int) -> Path:
    suffix = ".png" if holds(".png", channels=pixels.shape[2]) else ".npy"
    path = folder / f"{number:06d}{suffix}"
    write_image(path, Picture(pixels=pixels))
    return path


def _failure(path: Path, error: ImgTranslateError) -> FailedPicture:
    return FailedPicture(path=str(path), reason=str(error).removeprefix(f"{path}: "))
