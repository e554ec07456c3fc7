"""The cycle check of many pictures: listing them, checking each, and drawing figures."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data.folders import Domain
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImgTranslateError, UsageError, counted
from imgtranslate.evaluation.cycle_check.schema import Row
from imgtranslate.evaluation.cycle_check.scores import (
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
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.runs.data import held_out_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Direction
from imgtranslate.translation.inputs import list_inputs
from imgtranslate.translation.translator import Translator

FIGURE_ROWS = 8
IDENTITY_PICTURES = 32
TITLES = ("Real", "Fake", "Recovered")
STRIP_SUFFIX = ".cycle.png"
_SMALLEST_CELL, _LARGEST_CELL = 256, 1024  # px, side of a picture in a strip


@dataclass(frozen=True, kw_only=True)
class CycleSource:
    """A picture to check, and its relative path in an output folder."""

    path: Path
    relative: Path
    domain: Domain  # defines how the file is read

    @property
    def direction(self) -> Direction:
        """The direction of the first translation."""
        return "ab" if self.domain.letter == "a" else "ba"


def find_sources(
    inputs: Sequence[str | Path], *, direction: Direction, channels: int = 3
) -> list[CycleSource]:
    """List the pictures in files, folders and globs, each once and in the given order.

    Strips of an earlier check are left out unless they are named. Raises ``UsageError`` for a name
    without pictures.
    """
    domain = Domain(letter=direction[0], name="", folder=Path(), files=(), held_out=())
    distinct: dict[Path, CycleSource] = {}
    for found in list_inputs(
        inputs, channels=channels, ignore=lambda path: path.name.endswith(STRIP_SUFFIX)
    ):
        source = CycleSource(path=found.path, relative=found.relative, domain=domain)
        distinct.setdefault(found.path.absolute(), source)
    return list(distinct.values())


def held_out_sources(run: Path, *, directions: Sequence[Direction]) -> list[CycleSource]:
    """List the held-out pictures of a run; raises ``UsageError`` if there are none."""
    sources = [
        CycleSource(path=path, relative=Path(domain.letter, path.name), domain=domain)
        for domain in held_out_of_run(*Run(run).read_config())
        for path in domain.held_out
    ]
    sources = [source for source in sources if source.direction in directions]
    if not sources:
        raise UsageError(
            f"{run}: no pictures were held out in this run. Name pictures or a folder of them"
        )
    return sources


def identity_errors(run: Path, *, translator: Translator) -> list[float]:
    """Measure the change that a generator makes to held-out pictures of its target.

    At most 32 pictures are used, evenly spaced. Empty if the run has no such pictures, if they
    cannot be read, or if the channels differ.
    """
    a, b = held_out_of_run(*Run(run).read_config())
    target = b if translator.header.direction == "ab" else a
    errors = []
    for path in evenly_spaced(target.held_out, IDENTITY_PICTURES):
        with contextlib.suppress(ImgTranslateError):
            real = target.read(path, channels=translator.header.out_channels)
            errors.append(identity_error(real, translator))
    return [error for error in errors if error is not None]


def refuse_unless_pair(forward: ModelHeader, backward: ModelHeader) -> None:
    """Raise ``UsageError`` unless the two models translate in opposite directions."""
    if forward.direction == backward.direction:
        fault = f"both models translate {_way(forward)}, so they do not form a pair"
    elif (forward.source, forward.target) != (backward.target, backward.source):
        fault = f"one model translates {_way(forward)}, the other {_way(backward)}"
    elif (forward.in_channels, forward.out_channels) != (
        backward.out_channels,
        backward.in_channels,
    ):
        fault = (
            f"one model maps {counted(forward.in_channels, 'channel')} to {forward.out_channels}, "
            f"the other {backward.in_channels} to {backward.out_channels}"
        )
    else:
        return
    raise UsageError(f"`ab`, `ba`: {fault}. Give ab.safetensors and ba.safetensors of one run")


def refuse_output(output: Path, sources: Iterable[CycleSource]) -> None:
    """Raise ``UsageError`` if a figure or strips cannot be written to ``output``."""
    if is_figure(output) and output.suffix.lower() not in writable_suffixes():
        raise UsageError(f"`output` {output}: {output.suffix} cannot be written. Use .png")
    if output.exists() and any(output.samefile(s.path) for s in sources if s.path.exists()):
        raise UsageError(f"`output` {output}: is an input. Name another file or a folder")
    folder = output.parent if is_figure(output) else output
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise UsageError(
            f"`output` {output}: {nearest} is a file, not a folder. Choose another folder"
        )


def is_figure(output: Path) -> bool:
    """Return whether ``output`` names one picture rather than a folder of strips."""
    return output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir()


def strip_targets(sources: Sequence[CycleSource], folder: Path) -> list[Path]:
    """Name the strip of each picture: sub-folders are kept, and no two strips share a name."""
    taken: set[str] = set()
    targets = []
    for source in sources:
        stem = source.relative.stem
        for mark in itertools.chain([""], (f".{number}" for number in itertools.count(2))):
            target = folder / source.relative.with_name(f"{stem}{mark}{STRIP_SUFFIX}")
            if str(target).casefold() not in taken:  # case may not matter
                break
        taken.add(str(target).casefold())
        targets.append(target)
    return targets


def check_sources(
    sources: Sequence[CycleSource], *, ab: Translator, ba: Translator, output: Path | None = None
) -> Iterator[CycleScore]:
    """Check each picture in its direction; draw a figure or strips if ``output`` is given.

    The first measured picture of a direction is also checked as its negative upside down. A picture
    whose strip cannot be written fails. Raises ``UsageError`` if the two models are not a pair.
    """
    refuse_unless_pair(ab.header, ba.header)
    return _check_each(sources, ab=ab, ba=ba, output=output)


def strip(result: CycleResult, *, forward: ModelHeader) -> Pixels:
    """Draw Real | Fake | Recovered of one picture at its own size, up to 1024 px each.

    The row below shows the pictures recovered from a degraded fake.
    """
    longest = max(result.real.shape[:2])
    numbers = dict(result.score.row)
    harms = (f"after {kind}: error {numbers[f'mae_{kind}']:.4f}" for kind in result.recovered_after)
    return comparison(
        [_row(result), [*result.recovered_after.values()]],
        titles=[f"Real {forward.source}", f"Fake {forward.target}", f"Recovered {forward.source}"],
        captions=[_caption(result), "Recovered " + " · ".join(harms)],
        cell=min(max(longest, _SMALLEST_CELL), _LARGEST_CELL),
    )


def _check_each(
    sources: Sequence[CycleSource], *, ab: Translator, ba: Translator, output: Path | None
) -> Iterator[CycleScore]:
    draws_figure = output is not None and is_figure(output)
    strips = strip_targets(sources, output) if output and not draws_figure else []
    in_figure = evenly_spaced(range(len(sources)), FIGURE_ROWS) if draws_figure else []
    shown: list[CycleResult] = []
    turned: set[Direction] = set()
    for number, source in enumerate(sources):
        way = source.direction
        forward, backward = (ab, ba) if way == "ab" else (ba, ab)
        try:
            result = check_picture(
                source.path,
                source.domain,
                forward=forward,
                backward=backward,
                turned=way not in turned,
            )
            turned.add(way)
            if strips:
                _save(strips[number], strip(result, forward=forward.header))
        except ImgTranslateError as error:
            yield _failure(source.path, forward.header.direction, str(error))
            continue
        if number in in_figure:
            shown.append(result)
        yield result.score
    if output is not None and shown:
        captions = [_caption(result) for result in shown]
        _save(output, comparison([_row(r) for r in shown], titles=TITLES, captions=captions))


def _failure(path: Path, direction: Direction, error: str) -> CycleScore:
    row = Row(
        path=str(path), direction=direction,
        mae=None, psnr=None, ssim=None, change=None, identity=None,
        error=error.removeprefix(f"{path}: "),
    )  # fmt: skip
    return CycleScore(row=row)


def _save(path: Path, pixels: Pixels) -> None:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Picture(pixels=pixels))


def _way(header: ModelHeader) -> str:
    return f"{header.source} to {header.target} ({header.direction})"


def _row(result: CycleResult) -> list[Pixels]:
    return [result.real, result.fake, result.recovered]


def _caption(result: CycleResult) -> str:
    row = result.score.row
    ratio = "equal" if row.psnr is None else f"{row.psnr:.1f} dB"
    return f"{Path(row.path).name} · error {row.mae:.4f} · {ratio}"
