"""Sliced Wasserstein distance between two sets of pictures (Karras et al., arXiv 1710.10196, 5).

Patches of 7 x 7 px are drawn from each level of the Laplacian pyramids of the pictures. The
distance of two sets of patches is the mean difference between their sorted projections, averaged
over random directions. Unlike in the paper, both sets are normalised by the channel means and
deviations of the *real* patches, not each by its own, so that wrong colours count.

Training uses a faster distance; ``metrics.validation_distance`` explains the differences.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from imgtranslate.images import Pixels
from imgtranslate.metrics.estimate import Estimate, Values, distance_of, half_samples

Floats = NDArray[np.float32]
Reader = Callable[[int], Pixels]  # the n-th picture of a set

PATCH = 7  # px
SMALLEST = 16  # px, shortest side of the coarsest level
DIRECTIONS = 64
_PATCHES = 128  # of one picture and level; fewer with many pictures
_MOST_PATCHES = 4096  # of a set and level
_KERNEL = np.array([1, 4, 6, 4, 1], dtype=np.float32) / 16


@dataclass(frozen=True, kw_only=True, eq=False)
class _Projection:
    """The projections of a set of patches on each direction, sorted, with their pictures."""

    values: Floats  # (directions, patches)
    owners: NDArray[np.intp]  # index of the picture, in the same order

    def of(self, pictures: NDArray[np.bool_]) -> Floats:
        """Return the projections of some pictures, still sorted."""
        return self.values[pictures[self.owners]].reshape(len(self.values), -1)


def sliced_wasserstein(
    real: Reader, fake: Reader, *, count: int, shortest: int, seed: int = 0
) -> dict[str, Estimate]:
    """Estimate the distance at each level, and the mean over the levels.

    ``shortest``: the shortest side of any picture, in px. It determines the levels, which are named
    ``1/1``, ``1/2``, …; the last figure is ``mean``. Raises ``ValueError`` for fewer than 2
    pictures or sides below ``SMALLEST``.
    """
    if count < 2 or shortest < SMALLEST:
        raise ValueError(f"{count} pictures of {shortest} px: needs 2 pictures of {SMALLEST} px")
    levels = int(np.log2(shortest / SMALLEST)) + 1
    sets = [_patches(read, count, levels=levels, seed=seed) for read in (real, fake)]
    halves = half_samples(count, seed=seed)
    rows = [
        _distances(*_projections(sets[0][n], sets[1][n], seed=seed + n), halves)
        for n in range(levels)
    ]
    names = [f"1/{2**n}" for n in range(levels)]
    found = {name: distance_of(row, count) for name, row in zip(names, rows, strict=True)}
    return {"mean": distance_of(np.mean(rows, axis=0), count), **found}


def laplacian_pyramid(pixels: Pixels, *, levels: int) -> list[Floats]:
    """Split a picture (h, w, c) into bands of detail, fine to coarse, and the smallest picture."""
    current = pixels.astype(np.float32)
    bands = []
    for _ in range(levels - 1):
        smaller = _blurred(current)[::2, ::2]
        bands.append(current - _enlarged(smaller, current.shape[:2]))
        current = smaller
    return [*bands, current]


def _patches(read: Reader, count: int, *, levels: int, seed: int) -> list[Floats]:
    """Draw the patches of each level: (pictures, patches per picture, channels, 49)."""
    each = max(1, min(_PATCHES, _MOST_PATCHES // count))
    found: list[list[Floats]] = [[] for _ in range(levels)]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        for level, band in enumerate(laplacian_pyramid(read(number), levels=levels)):
            windows = sliding_window_view(band, (PATCH, PATCH), axis=(0, 1))
            rows, columns = (rng.integers(side, size=each) for side in windows.shape[:2])
            found[level].append(windows[rows, columns].reshape(each, band.shape[2], -1))
    return [np.stack(level) for level in found]


def _projections(real: Floats, fake: Floats, *, seed: int) -> tuple[_Projection, _Projection]:
    mean = real.mean((0, 1, 3), keepdims=True)
    spread = np.maximum(real.std((0, 1, 3), keepdims=True), 1e-3)
    rng = np.random.default_rng([seed, real.shape[1]])
    directions = rng.standard_normal((real.shape[2] * real.shape[3], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)

    def project(patches: Floats) -> _Projection:
        flat = ((patches - mean) / spread).reshape(-1, len(directions))
        values = flat @ directions.astype(np.float32)
        order = values.argsort(axis=0)
        owners = order // patches.shape[1]
        return _Projection(values=np.take_along_axis(values, order, axis=0).T, owners=owners.T)

    return project(real), project(fake)


def _distances(real: _Projection, fake: _Projection, halves: NDArray[np.bool_]) -> Values:
    """Return the distance of all pictures, followed by that of each half sample."""
    whole = np.abs(real.values - fake.values).mean(dtype=np.float64)
    parts = [
        np.abs(real.of(mine) - fake.of(theirs)).mean(dtype=np.float64) for mine, theirs in halves
    ]
    return np.array([whole, *parts])


def _blurred(values: Floats) -> Floats:
    return _along(_along(values, 0), 1)


def _along(values: Floats, axis: int) -> Floats:
    padding = [(2, 2) if n == axis else (0, 0) for n in range(3)]
    windows = sliding_window_view(np.pad(values, padding, mode="reflect"), 5, axis=axis)
    return np.asarray(windows @ _KERNEL, dtype=np.float32)


def _enlarged(values: Floats, size: tuple[int, int]) -> Floats:
    spread = np.zeros((*size, values.shape[2]), dtype=np.float32)
    spread[::2, ::2] = 4 * values
    return _blurred(spread)
