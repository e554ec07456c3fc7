"""Agreement of two pictures about bright and dark places."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtranslate.images import Pixels

Values = NDArray[np.float64]

INVERTED = -0.3  # mean agreement or correlation below which translations count as negatives

_SIDE = 16  # side of the grid on which brightness is compared, coarser than texture
_FLAT = 1.0  # levels of 255; with less variation a picture has no bright and dark places


def brightness_agreement(x: Pixels, y: Pixels) -> float | None:
    """Return the agreement of bright and dark places: 1 if equal, -1 for the negative.

    It is the larger of two correlations, of the brightness and of its slopes: a picture turned
    upside down has its sky below, but its slopes are not those of the negative. The channels are
    averaged, so that swapped colours count as equal. None if either picture is flat.
    """
    grey_x, grey_y = (grid_means(p.mean(axis=2), side=_SIDE) for p in (x, y))
    if min(grey_x.std(), grey_y.std()) < _FLAT:
        return None
    return max(
        _cosine(grey_x - grey_x.mean(), grey_y - grey_y.mean()),
        _cosine(_slopes(grey_x), _slopes(grey_y)),
    )


def grid_means(plane: NDArray[np.uint8] | Values, *, side: int) -> Values:
    """Average (h, w) of any size over a grid of ``side`` x ``side`` cells."""
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float64)


def _slopes(grey: Values) -> Values:
    return np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()])


def _cosine(x: Values, y: Values) -> float:
    product = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float((x * y).sum()) / product if product > 0 else 0.0
