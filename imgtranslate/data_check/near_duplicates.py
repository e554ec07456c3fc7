"""Near duplicates among pictures: resized, recompressed, mirrored or slightly cropped copies.

All comparisons use grey thumbnails. The correlation of their lowest frequencies selects candidate
pairs; the correlation of their local detail, after one is aligned as a crop of the other, decides.
Both thresholds were chosen on photos with known copies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imgtranslate.images import Pixels

SIDE: Final = 32  # px, side of a thumbnail
FLAT: Final = 2.0  # standard deviation, in levels of 255, below which a picture has no features

_WAVES = 6  # number of lowest frequencies on each axis
_CANDIDATE, _DUPLICATE = 0.85, 0.65  # least correlation of frequencies, and of detail
_SOFT = 4.0  # local variation, in levels of 255, below which detail is damped
_CUTS = (0.0, 0.03, 0.06, 0.1)  # shares of a side that a crop may remove at each end
_PER_PICTURE, _AT_LEAST = 8, 1000  # candidates of one picture at most; in all at least allowed
_ROWS, _COLUMNS, _BATCH = 128, 4096, 64

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Match:
    """The indices of two near duplicates, the lower index first."""

    first: int
    second: int
    mirrored: bool


def find_matches(thumbnails: Pixels) -> list[Match]:
    """Compare all grey thumbnails (n, 32, 32) with each other; flat ones match nothing.

    The time grows with n² as matrix products: 100,000 pictures take about a minute.
    """
    vivid = np.flatnonzero([small.std() >= FLAT for small in thumbnails])
    pictures = thumbnails if len(vivid) == len(thumbnails) else thumbnails[vivid]
    spectra = _spectra(pictures)
    first, second = _candidates(spectra, most=max(_AT_LEAST, len(vivid) // 2))
    mirrored = (spectra.odd[first] * spectra.odd[second]).sum(axis=1) < 0
    found: list[Match] = []
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        x, y = pictures[first[part]], pictures[second[part]]
        turned = np.where(mirrored[part, None, None], y[..., ::-1], y)
        alike = np.flatnonzero(_likeness(x, turned) >= _DUPLICATE) + start
        found += [
            Match(
                first=int(vivid[first[n]]),
                second=int(vivid[second[n]]),
                mirrored=bool(mirrored[n]),
            )
            for n in alike
        ]
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Spectra:
    """The lowest frequencies of each picture; mirroring flips the signs of the odd ones."""

    even: Floats  # (n, 17), without the constant term
    odd: Floats  # (n, 18)

    def correlation(self, rows: slice, columns: slice) -> Floats:
        """Compute the larger of the plain and the mirrored correlation: (rows, columns)."""
        even: Floats = self.even[rows] @ self.even[columns].T
        odd = self.odd[rows] @ self.odd[columns].T
        np.abs(odd, out=odd)
        even += odd
        return even


def _spectra(thumbnails: Pixels) -> _Spectra:
    """Compute cosine transforms, weighted by frequency so that large areas do not dominate."""
    waves = np.arange(_WAVES)[:, None] * (np.arange(SIDE) + 0.5) * np.pi / SIDE
    basis = np.cos(waves).astype(np.float32)
    height = np.hypot(*np.mgrid[:_WAVES, :_WAVES]).astype(np.float32)
    found = np.empty((len(thumbnails), _WAVES, _WAVES), np.float32)
    for start in range(0, len(thumbnails), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        found[part] = (basis @ thumbnails[part].astype(np.float32) @ basis.T) * height
    found /= np.maximum(np.linalg.norm(found, axis=(1, 2), keepdims=True), 1e-6)
    half = (len(found), _WAVES * _WAVES // 2)
    even, odd = found[:, :, 0::2].reshape(half), found[:, :, 1::2].reshape(half)
    return _Spectra(even=even[:, 1:], odd=odd)


def _candidates(spectra: _Spectra, *, most: int) -> tuple[Indices, Indices]:
    """Find candidate pairs of indices, lower first: the best of each picture, at most ``most``.

    The limits bound time and memory if all pictures are similar, like the frames of a film.
    """
    blocks = [_of_block(spectra, row) for row in range(0, len(spectra.even), _ROWS)]
    if not blocks:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    first, second = (np.concatenate([block[n] for block in blocks]).astype(np.intp) for n in (0, 1))
    best = np.sort(np.argsort(-np.concatenate([block[2] for block in blocks]))[:most])
    return first[best], second[best]


def _of_block(spectra: _Spectra, row: int) -> tuple[Indices, Indices, Floats]:
    """Find the best candidates of each picture in a block of rows."""
    parts = list(_above(spectra, row))
    first, second, score = (np.concatenate([part[n] for part in parts]) for n in range(3))
    order = np.lexsort((-score, first))
    first, second, score = first[order], second[order], score[order]
    rank = np.arange(len(first)) - np.searchsorted(
        first, first
    )  # rank among the candidates of one picture
    few = rank < _PER_PICTURE
    return first[few], second[few], score[few]


def _above(spectra: _Spectra, row: int) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Find candidates of a block of rows among later pictures, block by block of columns."""
    for column in range(row, len(spectra.even), _COLUMNS):
        found = spectra.correlation(slice(row, row + _ROWS), slice(column, column + _COLUMNS))
        if column == row:
            found = np.triu(found, 1)  # each picture with later ones only
        x, y = _highest(found)
        yield x + row, y + column, found[x, y]


def _highest(found: Floats) -> tuple[Indices, Indices]:
    """Locate candidates; if there are too many, only the highest of each row."""
    x, y = np.nonzero(found > _CANDIDATE)
    if len(x) <= _PER_PICTURE * len(found):
        return x, y
    y = np.argpartition(found, -_PER_PICTURE, axis=1)[:, -_PER_PICTURE:].ravel()
    x = np.repeat(np.arange(len(found)), _PER_PICTURE)
    high = found[x, y] > _CANDIDATE
    return x[high], y[high]


def _likeness(x: Pixels, y: Pixels) -> Floats:
    """Correlate the detail of thumbnails (n, 32, 32), aligned as crops of each other: (n,)."""
    one, other = x.astype(np.float32), y.astype(np.float32)
    likeness: Floats = (_detail(one) * _detail(other)).sum(axis=(1, 2))
    rest = likeness < _DUPLICATE  # the search over crops is slow
    one, other = one[rest], other[rest]
    likeness[rest] = np.maximum(_as_crop(one, other), _as_crop(other, one))
    return likeness


def _as_crop(crop: Floats, whole: Floats) -> Floats:
    """Search for the position of a crop with the best correlation, first rows, then columns."""
    wanted, identity = _detail(crop), np.zeros(len(crop), np.intp)
    best: Floats = (wanted * _detail(whole)).sum(axis=(1, 2))
    rows = identity
    for n, cut in enumerate(_CROPS):
        found: Floats = (wanted * _detail(cut @ whole)).sum(axis=(1, 2))
        rows = np.where(found > best, n, rows)
        best = np.maximum(found, best)
    stretched = _CROPS[rows] @ whole
    for cut in _CROPS:
        best = np.maximum(best, (wanted * _detail(stretched @ cut.T)).sum(axis=(1, 2)))
    return best


def _detail(grey: Floats) -> Floats:
    """Extract local contrast, normalised locally so that no frame or strong edge dominates."""
    fine = grey - _BLUR @ grey @ _BLUR.T
    strength = np.sqrt(np.maximum(_BLUR @ (fine * fine) @ _BLUR.T, 0))
    even = fine / (strength + _SOFT)
    norm = np.linalg.norm(even, axis=(1, 2), keepdims=True)
    detail: Floats = even / np.maximum(norm, 1e-6)
    return detail


def _blur() -> Floats:
    """Build the matrix of a five-pixel mean along one axis with repeated edges: (32, 32)."""
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for shift in range(-2, 3):
        places = np.clip(np.arange(SIDE) + shift, 0, SIDE - 1)
        np.add.at(matrix, (np.arange(SIDE), places), 0.2)
    return matrix


def _crop(before: float, after: float) -> Floats:
    """Build the matrix (32, 32) that enlarges a crop along one axis, given the removed shares."""
    places = (before + (1 - before - after) * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5
    places = np.clip(places, 0, SIDE - 1)
    lower = np.minimum(places.astype(np.intp), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), lower] = 1 - (places - lower)
    matrix[np.arange(SIDE), lower + 1] = places - lower
    return matrix


_BLUR = _blur()
_CROPS = np.stack([_crop(before, after) for before in _CUTS for after in _CUTS])
