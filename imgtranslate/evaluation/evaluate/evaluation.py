"""How good a model is: translate held-out pictures, then measure whatever applies to them."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from imgtranslate.data.folders import evenly_spaced
from imgtranslate.data.gallery import Gallery
from imgtranslate.errors import ImageError, ImgTranslateError, UsageError
from imgtranslate.evaluation.evaluate.measures import Options, Shots, measure
from imgtranslate.evaluation.evaluate.schema import (
    Counts,
    DirectionFigures,
    EvaluationFile,
    FailedPicture,
    Figure,
    FigureDifference,
    Resize,
)
from imgtranslate.evaluation.evaluate.subjects import Subject
from imgtranslate.images import Picture, Pixels, holds, write_image
from imgtranslate.metrics.estimate import Difference, Estimate, difference

Tell = Callable[[str], None]
Size = tuple[int, int]  # width, height


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A picture that could not be measured."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What was found of one direction of one model."""

    subject: Subject
    shots: Shots
    estimates: Mapping[str, Estimate]
    left_out: Mapping[str, str]  # measure: why, and what to do
    failures: tuple[Failure, ...]
    resize: int

    @property
    def direction(self) -> str:
        """``ab`` or ``ba``."""
        return self.subject.header.direction

    def figures(self) -> DirectionFigures:
        """Return all of it as `evaluate --json` prints it."""
        header, shots = self.subject.header, self.shots
        resize = Resize(shorter_side=self.resize, method=shots.sources.resample)
        return DirectionFigures(
            name=self.subject.name,
            direction=header.direction,
            source=header.source,
            target=header.target,
            step=header.step,
            paired=self.subject.paired,
            counts=Counts(
                translated=len(shots.fakes),
                real=len(shots.targets) if shots.targets else 0,
                failed=len(self.failures),
            ),
            sizes=tuple(f"{width}x{height}" for width, height in shots.sizes),
            resize=resize if self.resize else None,
            measures={name: _figure(estimate) for name, estimate in self.estimates.items()},
            left_out=dict(self.left_out),
            failed=tuple(FailedPicture(path=str(f.path), reason=f.reason) for f in self.failures),
        )


def evaluate(subject: Subject, options: Options, *, tell: Tell) -> Evaluation:
    """Measure one direction of one model; ``tell`` hears what is being done.

    Pictures are translated once, saved as they would be by ``translate`` and read again for each
    measure, so that memory does not grow with their number. One that fails is told, left out
    together with its partner, and does not stop the rest. Raises ``ImgTranslateError`` if
    none is left.
    """
    with tempfile.TemporaryDirectory(prefix="imgtranslate-") as folder:
        shots, failures = _take(subject, options, folder=Path(folder), tell=tell)
        estimates, left_out = measure(shots, options, tell=tell)
    return Evaluation(
        subject=subject,
        shots=shots,
        estimates=estimates,
        left_out=left_out,
        failures=tuple(failures),
        resize=subject.source.side,
    )


def side_by_side(runs: Sequence[Sequence[Evaluation]]) -> list[list[Evaluation]]:
    """Group the evaluations of one or two runs by direction.

    Raises ``UsageError`` if the two share no direction.
    """
    rows = [
        [one, *(other for run in runs[1:] for other in run if other.direction == one.direction)]
        for one in runs[0]
    ]
    full = [row for row in rows if len(row) == len(runs)]
    if not full:
        raise UsageError("RUN: the two translate opposite ways. Name two that share a direction")
    return full


def document(runs: Sequence[Sequence[Evaluation]]) -> EvaluationFile:
    """Return the evaluations of one or two runs as `evaluate --json` prints them."""
    figures = tuple(tuple(one.figures() for one in run) for run in runs)
    if len(runs) < 2:
        return EvaluationFile(runs=figures)
    found = {first.direction: differences(first, second) for first, second in side_by_side(runs)}
    plain = {
        direction: {
            name: FigureDifference(value=one.value, interval=one.interval)
            for name, one in measures.items()
        }
        for direction, measures in found.items()
    }
    return EvaluationFile(runs=figures, differences=plain)


def differences(first: Evaluation, second: Evaluation) -> dict[str, Difference]:
    """Subtract the figures of the first from those of the second, where both have them."""
    same = first.shots.sources.files == second.shots.sources.files
    return {
        name: difference(estimate, second.estimates[name], same_pictures=same)
        for name, estimate in first.estimates.items()
        if name in second.estimates
    }


@dataclass
class _Album:
    """What has been taken so far."""

    numbers: list[int] = field(default_factory=list)
    fakes: list[Path] = field(default_factory=list)
    sizes: set[Size] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)


def _take(
    subject: Subject, options: Options, *, folder: Path, tell: Tell
) -> tuple[Shots, list[Failure]]:
    album = _Album()
    wanted = evenly_spaced(range(len(subject.source)), options.limit)
    tell(f"translating {len(wanted)} of {len(subject.source)} pictures")
    for number in wanted:
        try:
            pixels = _translated(subject, number, seed=options.seed)
            album.fakes.append(_saved(pixels, folder, number))
        except ImgTranslateError as error:
            path = subject.source.files[number]
            reason = str(error).removeprefix(f"{path}: ")
            album.failures.append(Failure(path=path, reason=reason))
        else:
            album.numbers.append(number)
            album.sizes.add((pixels.shape[1], pixels.shape[0]))
    if not album.numbers:
        first = album.failures[0]
        raise ImgTranslateError(f"{first.path}: {first.reason}. So not one picture is left")
    targets = _targets(subject, options, album)
    return _shots(subject, album, targets), album.failures


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
                f"partner {fake.shape[1]}x{fake.shape[0]}. Bring both to one size"
            )
    return fake


def _saved(pixels: Pixels, folder: Path, number: int) -> Path:
    suffix = ".png" if holds(".png", channels=pixels.shape[2]) else ".npy"
    path = folder / f"{number:06d}{suffix}"
    write_image(path, Picture(pixels=pixels))
    return path


def _targets(subject: Subject, options: Options, album: _Album) -> Gallery | None:
    """Real pictures that can be read: the partners, or as many of the other side as asked for."""
    if subject.target is None:
        return None
    if subject.paired:
        return subject.target.only(album.numbers)
    kept = []
    for number in evenly_spaced(range(len(subject.target)), options.limit):
        try:
            height, width = subject.target.read(number).shape[:2]
        except ImageError as error:
            path = subject.target.files[number]
            reason = str(error).removeprefix(f"{path}: ")
            album.failures.append(Failure(path=path, reason=reason))
        else:
            kept.append(number)
            album.sizes.add((width, height))
    return subject.target.only(kept) if kept else None


def _shots(subject: Subject, album: _Album, targets: Gallery | None) -> Shots:
    header = subject.header
    domain = replace(subject.source.domain, name=header.target, files=(), held_out=(), half="whole")
    fakes = Gallery(domain=domain, files=tuple(album.fakes), channels=header.out_channels)
    return Shots(
        translator=subject.translator,
        sources=subject.source.only(album.numbers),
        fakes=fakes,
        targets=targets,
        paired=subject.paired,
        learnt=subject.learnt,
        sizes=tuple(sorted(album.sizes)),
    )


def _figure(estimate: Estimate) -> Figure:
    return Figure(
        value=estimate.value,
        interval=estimate.interval,
        count=estimate.count,
        better=estimate.better,
    )
