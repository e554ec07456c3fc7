"""The cycle check of many pictures: find them, check each in its direction, draw figures."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imgtranslate.data.folders import Domain, evenly_spaced
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.evaluation.cycle_check.scores import (
    CycleFailure,
    CycleResult,
    CycleScore,
    check_picture,
    identity_error,
)
from imgtranslate.files import explained
from imgtranslate.images import (
    IMAGE_SUFFIXES,
    Picture,
    Pixels,
    writable_suffixes,
    write_image,
)
from imgtranslate.images.figures import comparison
from imgtranslate.model_files.checkpoint import Direction, ModelHeader
from imgtranslate.runs.data import held_out_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.translation.inputs import list_inputs
from imgtranslate.translation.translator import Translator

Letter = Literal["a", "b"]  # of a domain
Outcomes = Iterator[CycleResult | CycleFailure]

FIGURE_ROWS = 8
IDENTITY_PICTURES = 32
STRIP_SUFFIX = ".cycle.png"
_SMALLEST_CELL, _LARGEST_CELL = 256, 1024  # px, of a strip


@dataclass(frozen=True, kw_only=True)
class CycleSource:
    """A picture to check and its place below an output folder."""

    path: Path
    relative: Path
    domain: Domain  # tells how the file is read

    @property
    def direction(self) -> Direction:
        """Of the first translation."""
        return "ab" if self.domain.letter == "a" else "ba"


def find_sources(
    inputs: Sequence[str | Path], *, letter: Letter, channels: int = 3
) -> list[CycleSource]:
    """List the pictures that files, folders and globs name, each once and in their order.

    Strips of an earlier check are left out unless named. Raises ``UsageError`` for a name that
    leads to no picture.
    """
    domain = Domain(letter=letter, name="", folder=Path(), files=(), held_out=())
    distinct: dict[Path, CycleSource] = {}
    for found in list_inputs(
        inputs, channels=channels, ignore=lambda path: path.name.endswith(STRIP_SUFFIX)
    ):
        source = CycleSource(path=found.path, relative=found.relative, domain=domain)
        distinct.setdefault(found.path.absolute(), source)
    return list(distinct.values())


def held_out_sources(run: Path, *, letters: Sequence[str]) -> list[CycleSource]:
    """List the pictures that a run held out; raises ``UsageError`` if there are none."""
    sources = [
        CycleSource(path=path, relative=Path(domain.letter, path.name), domain=domain)
        for domain in held_out_of_run(*Run(run).read_config())
        if domain.letter in letters
        for path in domain.held_out
    ]
    if not sources:
        raise UsageError(
            f"{run}: no pictures were held out in this run. Name some, as in "
            f"imgtranslate cycle-check ./photos --run {run}"
        )
    return sources


def identity_errors(run: Path, *, translator: Translator) -> list[float]:
    """Measure how much a generator changes held-out pictures of its target, at most 32 of them.

    Empty where the run has no such pictures, they cannot be read, or the channels differ.
    """
    a, b = held_out_of_run(*Run(run).read_config())
    target = b if translator.header.direction == "ab" else a
    errors = (
        _identity_of(path, target, translator) for path in target.held_out[:IDENTITY_PICTURES]
    )
    return [error for error in errors if error is not None]


def refuse_unless_pair(forward: ModelHeader, backward: ModelHeader) -> None:
    """Raise ``UsageError`` unless ``backward`` undoes the direction of ``forward``."""
    if forward.direction == backward.direction:
        fault = f"both models translate {_way(forward)}, so they do not form a pair"
    elif (forward.source, forward.target) != (backward.target, backward.source):
        fault = f"one model translates {_way(forward)}, the other {_way(backward)}"
    elif (forward.in_channels, forward.out_channels) != (
        backward.out_channels,
        backward.in_channels,
    ):
        fault = (
            f"one model turns {forward.in_channels} channel(s) into {forward.out_channels}, "
            f"the other {backward.in_channels} into {backward.out_channels}"
        )
    else:
        return
    raise UsageError(f"--ab, --ba: {fault}. Give ab.safetensors and ba.safetensors of one run")


def refuse_output(output: Path, sources: Iterable[CycleSource]) -> None:
    """Raise ``UsageError`` if a figure or strips cannot go to ``output``."""
    if is_figure(output) and output.suffix.lower() not in writable_suffixes():
        raise UsageError(f"-o {output}: {output.suffix} cannot be written. Use .png")
    if output.exists() and any(output.samefile(s.path) for s in sources if s.path.exists()):
        raise UsageError(f"-o {output}: an input itself. Name another file or a folder")
    folder = output.parent if is_figure(output) else output
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise UsageError(f"-o {output}: {nearest} is a file, not a folder. Choose another place")


def is_figure(output: Path) -> bool:
    """Tell whether ``output`` names one picture, and not a folder of strips."""
    return output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir()


def strip_targets(sources: Sequence[CycleSource], folder: Path) -> list[Path]:
    """Name each picture's strip: the tree stays as it is, and no two share a name."""
    taken: set[str] = set()
    targets = []
    for source in sources:
        names = (f"{source.relative.stem}{mark}{STRIP_SUFFIX}" for mark in _marks())
        candidates = (folder / source.relative.with_name(name) for name in names)
        target = next(c for c in candidates if _folded(c) not in taken)
        taken.add(_folded(target))
        targets.append(target)
    return targets


def check_sources(
    sources: Sequence[CycleSource], *, ab: Translator, ba: Translator, output: Path | None = None
) -> Iterator[CycleScore | CycleFailure]:
    """Check each picture in its direction; draw a figure or strips if ``output`` names a place.

    Raises ``UsageError`` if the two models are not a pair.
    """
    refuse_unless_pair(ab.header, ba.header)
    outcomes = _check_each(sources, ab=ab, ba=ba)
    if output is not None and is_figure(output):
        outcomes = _with_figure(outcomes, output, count=len(sources))
    elif output is not None:
        headers = {"ab": ab.header, "ba": ba.header}
        outcomes = _with_strips(outcomes, strip_targets(sources, output), headers=headers)
    return (outcome.score if isinstance(outcome, CycleResult) else outcome for outcome in outcomes)


def strip(result: CycleResult, *, forward: ModelHeader) -> Pixels:
    """Draw one picture's Real | Fake | Recovered at its own size, up to 1024 px each.

    Below: what is recovered after the fake was harmed.
    """
    longest = max(result.real.shape[:2])
    cell = min(max(longest, _SMALLEST_CELL), _LARGEST_CELL)
    titles = [f"Real {forward.source}", f"Fake {forward.target}", f"Recovered {forward.source}"]
    rows = [_row(result), list(result.recovered_after.values())]
    captions = [_caption(result), _harm_caption(result)]
    return comparison(rows, titles=titles, captions=captions, cell=cell)


def figure(results: Sequence[CycleResult]) -> Pixels:
    """Draw Real | Fake | Recovered, one row for each picture."""
    return comparison(
        [_row(result) for result in results],
        titles=["Real", "Fake", "Recovered"],
        captions=[_caption(result) for result in results],
    )


def _identity_of(path: Path, domain: Domain, translator: Translator) -> float | None:
    try:
        real = domain.read(path, channels=translator.header.out_channels)
        return identity_error(real, translator)
    except ImgTranslateError:
        return None


def _check_each(sources: Iterable[CycleSource], *, ab: Translator, ba: Translator) -> Outcomes:
    """Check each picture; the first of a direction that can be measured also turned."""
    turned: set[Direction] = set()
    for source in sources:
        direction = source.direction
        forward, backward = (ab, ba) if direction == "ab" else (ba, ab)
        outcome = check_picture(
            source.path,
            source.domain,
            forward=forward,
            backward=backward,
            turned=direction not in turned,
        )
        if isinstance(outcome, CycleResult):
            turned.add(direction)
        yield outcome


def _with_figure(outcomes: Outcomes, path: Path, *, count: int) -> Outcomes:
    """Draw some of the pictures, evenly spread, in one figure."""
    places = set(evenly_spaced(range(count), FIGURE_ROWS))
    shown = []
    for place, outcome in enumerate(outcomes):
        if place in places and isinstance(outcome, CycleResult):
            shown.append(outcome)
        yield outcome
    if shown:
        _save(path, figure(shown))


def _with_strips(
    outcomes: Outcomes, targets: Iterable[Path], *, headers: Mapping[str, ModelHeader]
) -> Outcomes:
    """Draw each picture; one whose strip cannot be written has failed."""
    for outcome, target in zip(outcomes, targets, strict=True):
        if isinstance(outcome, CycleFailure):
            yield outcome
            continue
        path, direction = outcome.score.path, outcome.score.direction
        try:
            _save(target, strip(outcome, forward=headers[direction]))
        except ImgTranslateError as error:
            yield CycleFailure(path=path, direction=direction, reason=str(error))
        else:
            yield outcome


def _save(path: Path, pixels: Pixels) -> None:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Picture(pixels=pixels))


def _marks() -> Iterator[str]:
    return itertools.chain([""], (f".{number}" for number in itertools.count(2)))


def _folded(path: Path) -> str:
    """Map names to one that are one file where case does not count."""
    return str(path).casefold()


def _way(header: ModelHeader) -> str:
    return f"{header.source} to {header.target} ({header.direction})"


def _row(result: CycleResult) -> list[Pixels]:
    return [result.real, result.fake, result.recovered]


def _caption(result: CycleResult) -> str:
    score = result.score
    ratio = "equal" if math.isinf(score.psnr) else f"{score.psnr:.1f} dB"
    return f"{score.path.name} · error {score.mae:.4f} · {ratio}"


def _harm_caption(result: CycleResult) -> str:
    harms = result.score.harms
    errors = (f"after {kind}: error {harms[kind].mae:.4f}" for kind in result.recovered_after)
    return "Recovered " + " · ".join(errors)
