"""Drawings of a cycle check, Real | Fake | Recovered: a strip of each picture, or one figure.

Without a way back there is no recovered picture.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from imgtranslate.errors import UsageError
from imgtranslate.evaluation.cycle_check.scores import CycleResult, CycleSource
from imgtranslate.files import explained
from imgtranslate.images import IMAGE_SUFFIXES, Picture, Pixels, writable_suffixes, write_image
from imgtranslate.images.figures import comparison
from imgtranslate.images.listing import file_key
from imgtranslate.model_files.checkpoint import ModelHeader

FIGURE_ROWS = 8
STRIP_SUFFIX = ".cycle.png"
_SMALLEST_CELL, _LARGEST_CELL = 256, 1024  # px, side of a picture in a strip


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
            if file_key(str(target)) not in taken:
                break
        taken.add(file_key(str(target)))
        targets.append(target)
    return targets


def draw_strip(path: Path, result: CycleResult, *, forward: ModelHeader) -> None:
    """Write one picture at its own size, up to 1024 px each.

    The row below shows the pictures recovered from a degraded fake.
    """
    rows, captions = [_panels(result)], [_caption(result)]
    if result.recovered_after:
        errors = result.score.row.degraded()
        harms = (f"after {kind}: error {errors[kind][0]:.4f}" for kind in result.recovered_after)
        rows.append([*result.recovered_after.values()])
        captions.append("Recovered " + " · ".join(harms))
    titles = [f"Real {forward.source}", f"Fake {forward.target}", f"Recovered {forward.source}"]
    strip = comparison(
        rows,
        titles=titles[: len(rows[0])],
        captions=captions,
        cell=min(max(*result.real.shape[:2], _SMALLEST_CELL), _LARGEST_CELL),
    )
    _save(path, strip)


def draw_figure(path: Path, results: Sequence[CycleResult]) -> None:
    """Write several pictures as the rows of one figure."""
    rows, captions = map(_panels, results), map(_caption, results)
    titles = ("Real", "Fake", "Recovered")[: len(_panels(results[0]))]
    _save(path, comparison([*rows], titles=titles, captions=[*captions]))


def _save(path: Path, pixels: Pixels) -> None:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Picture(pixels=pixels))


def _panels(result: CycleResult) -> list[Pixels]:
    panels = (result.real, result.fake, result.recovered)
    return [panel for panel in panels if panel is not None]


def _caption(result: CycleResult) -> str:
    row = result.score.row
    if row.mae is None:
        kept = "flat" if row.content is None else f"content agrees by {row.content:.2f}"
        return f"{Path(row.path).name} · {kept}"
    ratio = "equal" if row.psnr is None else f"{row.psnr:.1f} dB"
    return f"{Path(row.path).name} · error {row.mae:.4f} · {ratio}"
