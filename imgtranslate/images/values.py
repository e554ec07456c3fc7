"""Pixels as the network sees them, and back."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Pixels = NDArray[np.uint8]
AnyPixels = NDArray[Any]  # uint8, uint16, int32, float16 or float32
Values = NDArray[np.float32]
Codes = NDArray[np.float32]  # (n, latent_dim): what a generator with a code takes beside a picture


def to_network(pixels: AnyPixels, *, white: float = 255.0) -> Values:
    """Turn (h, w, c) of any depth into float32 (c, h, w): 0 becomes -1 and ``white`` 1.

    Floats may overshoot; where they are not numbers the network sees black.
    """
    with np.errstate(invalid="ignore"):  # floats of files need not be numbers
        values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    if pixels.dtype.kind == "f":
        np.nan_to_num(values, copy=False, nan=0.0, posinf=white, neginf=0.0)
    values /= white / 2
    values -= 1
    return values


def to_pixels(values: Values, *, white: float = 255.0, dtype: DTypeLike = np.uint8) -> Any:
    """Turn float (c, h, w) into (h, w, c) of ``dtype``: -1 becomes 0 and 1 ``white``.

    Integers are clamped, then rounded to nearest; floats stay as they are. What is not a number
    becomes black.
    """
    scaled = np.nan_to_num((values + 1) * (white / 2), nan=0.0, posinf=white, neginf=0.0)
    return np.ascontiguousarray(rounded(scaled, white=white, dtype=dtype).transpose(1, 2, 0))


def rounded(levels: NDArray[Any], *, white: float, dtype: DTypeLike) -> Any:
    """Numbers as levels of ``dtype``: integers in 0 to ``white``, floats in what they can hold."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        most = float(np.finfo(kind).max)
        with np.errstate(invalid="ignore"):
            return np.clip(levels, -most, most).astype(kind)
    return np.rint(np.clip(levels, 0, white)).astype(kind)


def mirror_indices(size: int, padded: int) -> NDArray[np.intp]:
    """Which of ``size`` places stands at each of ``padded``: mirrored at the end, without limit.

    The edge is not repeated, so the walk to and fro has the period 2 (size - 1).
    """
    period = max(2 * (size - 1), 1)
    walk = np.arange(padded) % period
    return np.minimum(walk, period - walk) if size > 1 else walk


def fitting_side(side: int, *, multiple: int, least: int) -> int:
    """The next side that is a multiple of ``multiple`` and no shorter than ``least``."""
    return -(-max(side, least) // multiple) * multiple


def pad_to(values: Values, *, multiple: int, least: int) -> Values:
    """Mirror (..., h, w) to the right and below, up to the next fitting sides.

    Sides that fit already (a multiple of ``multiple``, no shorter than ``least``) stay as they
    are, and then the array is returned itself.
    """
    height, width = values.shape[-2:]
    rows = mirror_indices(height, fitting_side(height, multiple=multiple, least=least))
    columns = mirror_indices(width, fitting_side(width, multiple=multiple, least=least))
    if (len(rows), len(columns)) == (height, width):
        return values
    padded: Values = values[..., rows[:, None], columns]
    return padded
