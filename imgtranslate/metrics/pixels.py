"""Mean absolute error and PSNR of two pictures.

Pictures are (h, w, c) arrays, uint8 or float, whose values have the range ``data_range`` (255 for
8 bits, 2 for [-1, 1]). Different shapes raise ``ValueError``.
"""

import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.floating]

SMALL_CHANGE = 0.03  # of the full range, over whole pictures, up to which nothing has changed


def mean_absolute_error(x: Pixels, y: Pixels, *, data_range: float = 255) -> float:
    """Return the mean of |x - y| as a fraction of the full range: 1 for black against white."""
    return float(np.abs(_difference(x, y)).mean()) / data_range


def psnr(x: Pixels, y: Pixels, *, data_range: float = 255) -> float:
    """Return the peak signal-to-noise ratio in dB; ``inf`` for equal pictures."""
    mean_squared_error = float(np.square(_difference(x, y)).mean())
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(data_range**2 / mean_squared_error)


def _difference(x: Pixels, y: Pixels) -> NDArray[np.float64]:
    if x.shape != y.shape or x.size == 0:
        raise ValueError(f"shapes {x.shape} and {y.shape}: must be equal and not empty")
    return x.astype(np.float64) - y.astype(np.float64)
