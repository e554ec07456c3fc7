"""Palettes, the colours that stand for the classes in label pictures.

Label pictures are often JPEG files, in which the few true colours are surrounded by many similar
ones, with mixtures and ringing at edges. Colours are therefore searched for in flat areas.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from imgtranslate.errors import UsageError, counted
from imgtranslate.images import Pixels
from imgtranslate.metrics.estimate import Values
from imgtranslate.metrics.segmentation import Classes

MOST_COLOURS = 64
_FLAT = 16  # levels; the largest range within 3 x 3 px
_REACH = 40.0  # levels; nearer pixels have the same colour
_NEAR = 12.0  # levels by which JPEG may change a flat colour
_LEAST_SHARE = 0.0005  # least share of the flat pixels for a colour
_FLAT_SHARE, _NEAR_SHARE = 0.5, 0.95  # least share of flat pixels in label pictures
_SAMPLED = 4000  # most flat pixels used of one picture
_ROWS = 65_536  # pixels compared at once


@dataclass(frozen=True)
class Palette:
    """The colours of the classes in order, with ``channels`` numbers from 0 to 255 each."""

    colours: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.colours)

    def classes(self, pixels: Pixels) -> Classes:
        """Return the class with the nearest colour for each pixel: (h, w, channels) to (h, w)."""
        flat = pixels.reshape(-1, pixels.shape[-1])
        parts = np.split(flat, range(_ROWS, len(flat), _ROWS))
        nearest = [_distances(part, self.colours).argmin(1) for part in parts]
        return np.concatenate(nearest).reshape(pixels.shape[:-1])


def find_palette(pictures: Iterable[Pixels]) -> Palette | None:
    """Find the colours of label pictures, most frequent first; None if they are not label maps."""
    samples = [_flat_pixels(pixels) for pixels in pictures]
    if not samples or np.mean([share for _, share in samples]) < _FLAT_SHARE:
        return None
    pixels = np.concatenate([flat for flat, _ in samples])
    colours = _frequent_colours(pixels)
    if not 2 <= len(colours) <= MOST_COLOURS:
        return None
    near = np.sqrt(_distances(pixels, colours).min(1)) <= _NEAR
    return Palette(colours) if near.mean() >= _NEAR_SHARE else None


def read_palette(path: Path, *, channels: int) -> Palette:
    """Read one colour per line, such as ``0 0 255 window``. Raises ``UsageError``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"`palette` {path}: cannot be read as text. Write a colour in each line, as in 0 0 255"
        ) from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    colours = tuple(_colour(path, number, line, channels) for number, line in rows)
    if len(colours) < 2 or len(set(colours)) < len(colours):
        raise UsageError(
            f"`palette` {path}: {counted(len(set(colours)), 'different colour')} in "
            f"{counted(len(colours), 'line')}. Write two or more, each once"
        )
    return Palette(colours)


def _colour(path: Path, number: int, line: str, channels: int) -> tuple[int, ...]:
    words = line.replace(",", " ").split()[:channels]
    values = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 4]
    if len(values) != channels or max(values) > 255:
        raise UsageError(
            f"`palette` {path}: line {number}: not {counted(channels, 'number')} from 0 to 255. "
            "Write a colour in each line, as in 0 0 255"
        )
    return tuple(values)


def _flat_pixels(pixels: Pixels) -> tuple[Pixels, float]:
    """Select pixels in flat areas, (n, channels), and return the share of such pixels."""
    if min(pixels.shape[:2]) < 3:
        return pixels.reshape(-1, pixels.shape[2])[:0], 0.0
    windows = sliding_window_view(pixels, (3, 3), axis=(0, 1))
    flat = (np.ptp(windows, axis=(-2, -1)) <= _FLAT).all(-1)
    found = pixels[1:-1, 1:-1][flat]
    return found[:: len(found) // _SAMPLED + 1], float(flat.mean())


def _frequent_colours(pixels: Pixels) -> tuple[tuple[int, ...], ...]:
    """Repeatedly take the most frequent colour and remove its pixels, until few are left."""
    least = max(_LEAST_SHARE * len(pixels), 1)
    colours: list[tuple[int, ...]] = []
    left = pixels
    while len(left) >= least and len(colours) <= MOST_COLOURS:
        colour = _fullest_spot(left)
        near = _distances(left, (colour,))[:, 0] <= _REACH**2
        if near.sum() >= least:
            colours.append(colour)
        left = left[~near]
    return tuple(colours)


def _fullest_spot(pixels: Pixels) -> tuple[int, ...]:
    """Return the median of the pixels in the fullest cell of the colour cube, 8 levels wide."""
    cells = (pixels >> 3).astype(np.int64) @ (32 ** np.arange(pixels.shape[1]))
    names, counts = np.unique(cells, return_counts=True)
    inside = pixels[cells == names[counts.argmax()]]
    return tuple(int(value) for value in np.median(inside, axis=0))


def _distances(pixels: Pixels, colours: tuple[tuple[int, ...], ...]) -> Values:
    """Compute squared distances: (n, channels) to (n, colours)."""
    centres = np.asarray(colours, dtype=np.float64)
    values = pixels.astype(np.float64)
    squares = (values**2).sum(1, keepdims=True) + (centres**2).sum(1)
    distances: Values = np.maximum(squares - 2 * values @ centres.T, 0)
    return distances
