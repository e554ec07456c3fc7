"""Which pictures are almost copies of others: resized, recompressed, mirrored, slightly cropped.

Every picture is a grey thumbnail. A code of its lowest frequencies finds candidates; the local
detail of the thumbnails, laid over each other as if one were cut from the other, decides. Both
thresholds were set on photos with known copies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imgtranslate.images import Pixels

SIDE: Final = 32  # px, of a thumbnail
FLAT: Final = 2.0  # levels of 255: what varies less has nothing to be known again by

_WAVES = 6  # lowest frequencies of each axis in a code
_CANDIDATE, _TWIN = 0.85, 0.65  # correlations: of codes, of detail
_SOFT = 4.0  # levels of 255: what varies less around a pixel is no detail
_CUTS = (0.0, 0.03, 0.06, 0.1)  # of a side, that a crop may have lost at either end
_PER_PICTURE, _AT_LEAST = 8, 1000  # candidates of a picture; of all that are laid over each other
_ROWS, _COLUMNS, _BATCH = 128, 4096, 64

Floats = NDArray[np.float32]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Twins:
    """Two pictures by their numbers, the lower first, of which one is almost a copy."""

    first: int
    second: int
    mirrored: bool


def find_twins(thumbnails: Pixels) -> list[Twins]:
    """Compare grey thumbnails (n, 32, 32), each with each; flat ones are like nothing.

    The time grows with n², but as a product of matrices: 100,000 pictures take a minute or so.
    """
    vivid = np.flatnonzero([small.std() >= FLAT for small in thumbnails])
    codes = _codes(thumbnails[vivid])
    first, second = _candidates(codes, most=max(_AT_LEAST, len(vivid) // 2))
    mirrored = (codes.odd[first] * codes.odd[second]).sum(axis=1) < 0
    pictures = thumbnails[vivid]
    found: list[Twins] = []
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        x, y = pictures[first[part]], pictures[second[part]]
        turned = np.where(mirrored[part, None, None], y[..., ::-1], y)
        alike = np.flatnonzero(_likeness(x, turned) >= _TWIN) + start
        found += [
            Twins(
                first=int(vivid[first[n]]),
                second=int(vivid[second[n]]),
                mirrored=bool(mirrored[n]),
            )
            for n in alike
        ]
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Codes:
    """Frequencies of each picture; mirrored, the odd ones change their signs."""

    even: Floats  # (n, 17), the constant left out
    odd: Floats  # (n, 18)

    def agreement(self, rows: slice, columns: slice) -> Floats:
        """The larger correlation of two codes, as they are and mirrored: (rows, columns)."""
        even: Floats = self.even[rows] @ self.even[columns].T
        odd = self.odd[rows] @ self.odd[columns].T
        np.abs(odd, out=odd)
        even += odd
        return even


def _codes(thumbnails: Pixels) -> _Codes:
    """Cosine transforms; each frequency counts as much as its slope, lest the sky decides."""
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
    return _Codes(even=even[:, 1:], odd=odd)


def _candidates(codes: _Codes, *, most: int) -> tuple[Numbers, Numbers]:
    """Pairs of numbers, the lower first: of each picture the likest few, of all ``most``.

    Where all pictures are alike, as in a film, this keeps the time and the memory in bounds.
    """
    blocks = [_of_block(codes, row) for row in range(0, len(codes.even), _ROWS)]
    if not blocks:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    first, second = (np.concatenate([block[n] for block in blocks]).astype(np.intp) for n in (0, 1))
    likest = np.sort(np.argsort(-np.concatenate([block[2] for block in blocks]))[:most])
    return first[likest], second[likest]


def _of_block(codes: _Codes, row: int) -> tuple[Numbers, Numbers, Floats]:
    parts = list(_above(codes, row))
    first, second, score = (np.concatenate([part[n] for part in parts]) for n in range(3))
    order = np.lexsort((-score, first))
    first, second, score = first[order], second[order], score[order]
    place = np.arange(len(first)) - np.searchsorted(first, first)  # among those of one picture
    few = place < _PER_PICTURE
    return first[few], second[few], score[few]


def _above(codes: _Codes, row: int) -> Iterator[tuple[Numbers, Numbers, Floats]]:
    for column in range(row, len(codes.even), _COLUMNS):
        found = codes.agreement(slice(row, row + _ROWS), slice(column, column + _COLUMNS))
        if column == row:
            found = np.triu(found, 1)  # each with the later ones
        x, y = _highest(found)
        yield x + row, y + column, found[x, y]


def _highest(found: Floats) -> tuple[Numbers, Numbers]:
    """Where candidates stand, of a row the highest few if there are very many."""
    x, y = np.nonzero(found > _CANDIDATE)
    if len(x) <= _PER_PICTURE * len(found):
        return x, y
    y = np.argpartition(found, -_PER_PICTURE, axis=1)[:, -_PER_PICTURE:].ravel()
    x = np.repeat(np.arange(len(found)), _PER_PICTURE)
    high = found[x, y] > _CANDIDATE
    return x[high], y[high]


def _likeness(x: Pixels, y: Pixels) -> Floats:
    """How well the detail of thumbnails (n, 32, 32) agrees, if one is cut from the other: (n,)."""
    one, other = x.astype(np.float32), y.astype(np.float32)
    likeness: Floats = (_detail(one) * _detail(other)).sum(axis=(1, 2))
    rest = likeness < _TWIN  # the search takes time
    one, other = one[rest], other[rest]
    likeness[rest] = np.maximum(_as_crop(one, other), _as_crop(other, one))
    return likeness


def _as_crop(crop: Floats, whole: Floats) -> Floats:
    """The best agreement over places of a crop: first its rows are sought, then its columns."""
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
    """What differs from its surroundings, as strong everywhere, so that no frame decides."""
    fine = grey - _BLUR @ grey @ _BLUR.T
    strength = np.sqrt(np.maximum(_BLUR @ (fine * fine) @ _BLUR.T, 0))
    even = fine / (strength + _SOFT)
    norm = np.linalg.norm(even, axis=(1, 2), keepdims=True)
    detail: Floats = even / np.maximum(norm, 1e-6)
    return detail


def _blur() -> Floats:
    """The mean of five along one axis: (32, 32); the edge is repeated."""
    matrix = np.zeros((SIDE, SIDE), np.float32)
    for shift in range(-2, 3):
        places = np.clip(np.arange(SIDE) + shift, 0, SIDE - 1)
        np.add.at(matrix, (np.arange(SIDE), places), 0.2)
    return matrix


def _crop(before: float, after: float) -> Floats:
    """Enlarge what remains when so much of a side is cut off, along one axis: (32, 32)."""
    places = (before + (1 - before - after) * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5
    places = np.clip(places, 0, SIDE - 1)
    lower = np.minimum(places.astype(np.intp), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), lower] = 1 - (places - lower)
    matrix[np.arange(SIDE), lower + 1] = places - lower
    return matrix


_BLUR = _blur()
_CROPS = np.stack([_crop(before, after) for before in _CUTS for after in _CUTS])
