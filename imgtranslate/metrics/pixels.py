"""How far two pictures are from each other: mean absolute error, PSNR, SSIM.

Pictures are (h, w, c) arrays, uint8 or float, whose values span ``data_range`` (255 for 8 bits,
2 for [-1, 1]). Pictures of different shapes are a mistake of the caller: ``ValueError``.
"""

import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.floating]
Values = NDArray[np.float64]

_WINDOW = 7  # px
_K1, _K2 = 0.01, 0.03  # Wang et al. 2004, equations 7 and 9


def mean_absolute_error(x: Pixels, y: Pixels, *, data_range: float = 255) -> float:
    """The mean of |x - y| as a fraction of the full range: 0 for equal, 1 for black to white."""
    x64, y64 = _same_shape(x, y)
    return float(np.abs(x64 - y64).mean()) / data_range


def psnr(x: Pixels, y: Pixels, *, data_range: float = 255) -> float:
    """The peak signal-to-noise ratio in dB; ``inf`` for equal pictures, which JSON cannot hold."""
    x64, y64 = _same_shape(x, y)
    mean_squared_error = float(np.square(x64 - y64).mean())
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(data_range**2 / mean_squared_error)


def ssim(x: Pixels, y: Pixels, *, data_range: float = 255) -> float:
    """The mean structural similarity over all 7 x 7 px windows and channels: 1 for equal.

    Equal to scikit-image's ``structural_similarity(x, y, channel_axis=-1, data_range=255)``, with
    its defaults (uniform window, sample covariance). Where a side is shorter than the window,
    the window shrinks to the longest odd length that fits. A window of 1 px has no variance:
    then only the brightness is compared.
    """
    x64, y64 = _same_shape(x, y)
    side = _fitting_window(x64)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_x, mean_y = _window_means(x64, side), _window_means(y64, side)
    variance_x = _covariance(x64, x64, mean_x, mean_x, side)
    variance_y = _covariance(y64, y64, mean_y, mean_y, side)
    covariance = _covariance(x64, y64, mean_x, mean_y, side)
    brightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((brightness * structure).mean())


def _same_shape(x: Pixels, y: Pixels) -> tuple[Values, Values]:
    if x.shape != y.shape or x.size == 0:
        raise ValueError(f"shapes {x.shape} and {y.shape}: equal and not empty is needed")
    return x.astype(np.float64), y.astype(np.float64)


def _fitting_window(x: Values) -> int:
    shortest = int(min(x.shape[:2]))
    return min(_WINDOW, shortest - (shortest + 1) % 2)


def _covariance(x: Values, y: Values, mean_x: Values, mean_y: Values, side: int) -> Values:
    """The sample covariance of every window, divided by n - 1."""
    count = side * side
    return (_window_means(x * y, side) - mean_x * mean_y) * (count / max(count - 1, 1))


def _window_means(x: Values, side: int) -> Values:
    """The mean of every window that lies wholly inside: (h, w, c) to (h-side+1, w-side+1, c)."""
    return _sliding_sums(_sliding_sums(x, side, axis=0), side, axis=1) / (side * side)


def _sliding_sums(x: Values, side: int, *, axis: int) -> Values:
    sums = np.insert(np.cumsum(x, axis=axis), 0, 0, axis=axis)
    length = x.shape[axis] + 1
    upper = np.take(sums, np.arange(side, length), axis=axis)
    return np.asarray(upper - np.take(sums, np.arange(length - side), axis=axis))
