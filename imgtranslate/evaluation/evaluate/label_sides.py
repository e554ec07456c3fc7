"""The side whose pictures are label maps, and the colours of its classes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import UsageError, counted
from imgtranslate.evaluation.evaluate.subjects import Gallery, Subject
from imgtranslate.metrics.palette import Palette, find_palette, read_palette
from imgtranslate.metrics.segmenter import Segmenter, train_segmenter

_LOOKED_AT = 30  # pictures of a side that are examined
_NOT_LABELS = "no few flat colours are seen in them. If they are, give `palette` FILE"


@dataclass(frozen=True, kw_only=True)
class LabelSides:
    """The palette of each side with label maps; ``why`` is the reason for a side without."""

    source: Palette | None
    target: Palette | None
    why: str = _NOT_LABELS


def find_sides(sides: tuple[Gallery, Gallery | None], given: Path | None) -> LabelSides:
    """Find the palettes of both sides, of source and target.

    A given palette is used for the side with nearer colours. Raises ``UsageError`` if it
    cannot be read.
    """
    if given is None:
        found = [
            find_palette(_some(side).pictures()) if side is not None else None for side in sides
        ]
        return LabelSides(source=found[0], target=found[1])
    palettes = [read_palette(given, channels=side.channels) for side in sides if side]
    gaps = [_gap(side, palette) for side, palette in zip(sides, palettes, strict=False) if side]
    is_source = gaps.index(min(gaps)) == 0
    return LabelSides(
        source=palettes[0] if is_source else None,
        target=None if is_source else palettes[-1],
        why="the palette that was given fits the other side better",
    )


def train_on(
    subject: Subject,
    *,
    steps: int,
    palette: Path | None,
    seed: int,
    tell: Callable[[int, float], None],
) -> Segmenter:
    """Train a segmenter on the training pairs of a run.

    Raises ``UsageError`` if there are none, or if neither side has label maps.
    """
    if subject.learnt is None or not subject.paired:
        raise UsageError(
            "`train_segmenter`: no real pairs to learn from. Name a run that was trained on pairs"
        )
    sides = find_sides(subject.learnt, palette)
    labels, photos = subject.learnt if sides.source else subject.learnt[::-1]
    labels = replace(labels, resample="nearest")
    classes = sides.source or sides.target
    if classes is None:
        raise UsageError("`train_segmenter`: neither side has label maps. Give `palette` FILE")
    if photos.channels != 3:
        raise UsageError(
            f"`train_segmenter`: the photos have {counted(photos.channels, 'channel')}, not 3. "
            "Train the run on colour pictures"
        )
    return train_segmenter(
        lambda number: (photos.read(number), classes.classes(labels.read(number))),
        count=len(photos),
        palette=classes,
        steps=steps,
        seed=seed,
        tell=tell,
    )


def _some(gallery: Gallery) -> Gallery:
    """Choose a few pictures without resizing, which would mix the colours."""
    return replace(gallery.only(evenly_spaced(range(len(gallery)), _LOOKED_AT)), side=0)


def _gap(gallery: Gallery, palette: Palette) -> float:
    """Measure the mean distance of pixels from the nearest colours of a palette, in levels."""
    colours = np.asarray(palette.colours, dtype=np.float64)
    gaps = [
        float(np.abs(pixels - colours[palette.classes(pixels)]).mean())
        for pixels in _some(gallery).pictures()
    ]
    return float(np.mean(gaps))
