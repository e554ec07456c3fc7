"""Structural similarity (Wang et al. 2004), with one formula for arrays and tensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]
Array = TypeVar("Array", Values, "Tensor")

WINDOW = 7  # px
K1, K2 = 0.01, 0.03


def ssim(
    x: NDArray[np.uint8] | NDArray[np.floating],
    y: NDArray[np.uint8] | NDArray[np.floating],
    *,
    data_range: float = 255,
) -> float:
    """Return the mean similarity (1 if equal) of (h, w, c) over all 7 x 7 windows and channels.

    Values have the range ``data_range``. The result equals scikit-image's
    ``structural_similarity(x, y, channel_axis=-1, data_range=255)`` with its defaults (uniform
    window, sample covariance). Raises ``ValueError`` for pictures of different shapes.
    """
    if x.shape != y.shape or x.size == 0:
        raise ValueError(f"shapes {x.shape} and {y.shape}: must be equal and not empty")
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    side = fitting_window(x.shape[:2])
    similarity = similarity_map(
        x64, y64, lambda values: _window_means(values, side), side=side, data_range=data_range
    )
    return float(similarity.mean())


def similarity_map(
    x: Array, y: Array, window_means: Callable[[Array], Array], *, side: int, data_range: float
) -> Array:
    """Return the similarity of each window of ``side`` px (equation 13).

    ``window_means`` averages over every window that is completely inside. A window of 1 px has no
    variance, so only the brightness is compared.
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    sample = side * side / max(side * side - 1, 1)  # correction for the sample covariance
    mean_x, mean_y, xx, yy, xy = (window_means(v) for v in (x, y, x * x, y * y, x * y))
    covariance = (xy - mean_x * mean_y) * sample
    variances = (xx - mean_x**2 + yy - mean_y**2) * sample
    brightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return brightness * (2 * covariance + c2) / (variances + c2)


def fitting_window(size: tuple[int, ...]) -> int:
    """Return the side of the window: 7 px, or the longest odd length that fits (height, width)."""
    side = min(WINDOW, *size)
    return side - (1 - side % 2)


def _window_means(x: Values, side: int) -> Values:
    """Average every window that is completely inside: (h, w, c) to (h-side+1, w-side+1, c)."""
    return _sliding_sums(_sliding_sums(x, side, axis=0), side, axis=1) / (side * side)


def _sliding_sums(x: Values, side: int, *, axis: int) -> Values:
    sums = np.insert(np.cumsum(x, axis=axis), 0, 0, axis=axis)
    length = x.shape[axis] + 1
    upper = np.take(sums, np.arange(side, length), axis=axis)
    return np.asarray(upper - np.take(sums, np.arange(length - side), axis=axis))
