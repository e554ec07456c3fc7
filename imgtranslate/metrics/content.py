"""Agreement of two pictures about the edges in them, whatever their colours and brightness.

The directions of slopes are compared on a grid of cell means, modulo 180 degrees: a negative, or
inverted brightness in a part of the picture, has the same edges.
"""

import numpy as np
from numpy.typing import NDArray

from imgtranslate.images import Pixels
from imgtranslate.metrics.brightness import grid_means

Values = NDArray[np.float64]

SIDE = 32  # cells along each side, of any aspect
WEAK = 13.0  # levels of 255 over two cells; below it, weaker slopes count less
_FLAT = 1.0  # likewise; if no slope is stronger, the picture is flat


def edge_directions(pixels: Pixels) -> Values | None:
    """Describe the edges of uint8 (h, w, c) by a vector of length 1; None if it is flat.

    Each cell has the cosine and sine of twice the angle of its slope, over all channels.
    """
    planes = [grid_means(pixels[..., i], side=SIDE) for i in range(pixels.shape[2])]
    grid = np.stack(planes)  # (c, SIDE, SIDE)
    down = grid[:, 2:, 1:-1] - grid[:, :-2, 1:-1]
    right = grid[:, 1:-1, 2:] - grid[:, 1:-1, :-2]
    doubled = np.stack([(right**2 - down**2).sum(axis=0), (2 * right * down).sum(axis=0)])
    strength = np.hypot(*doubled)  # (SIDE - 2, SIDE - 2), squares of levels
    if strength.max() < _FLAT**2:
        return None
    edges: Values = (doubled / (strength + WEAK**2)).ravel()
    return edges / np.linalg.norm(edges)


def content_agreement(real: Values | None, fake: Values | None) -> float | None:
    """Return the agreement of ``edge_directions``: 1 if equal, about 0 if unrelated.

    None if ``real`` is flat, so that it has no content to keep; 0 if only ``fake`` is flat.
    """
    if real is None:
        return None
    return 0.0 if fake is None else float(real @ fake)
