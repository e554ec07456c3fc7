"""Small pictures that tell whether two pictures look alike, and which is bright where."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

_SIDE = 8  # px, of a thumbnail
_BRIGHTNESS_SIDE = 16  # px, where brightness is compared: coarser than texture
_FLAT = 1.0  # levels of 255: what varies less has no bright and dark places


def thumbnail(pixels: Pixels) -> Pixels:
    """Average uint8 (h, w, c) over a grid, whatever its sides: (8, 8, c)."""
    planes = [_averaged(pixels[..., i], side=_SIDE) for i in range(pixels.shape[2])]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def brightness_agreement(x: Pixels, y: Pixels) -> float | None:
    """How well bright and dark places of two pictures agree: 1 fully, -1 where one inverts.

    The larger of two correlations, of the brightness and of its slopes: a picture turned upside
    down has its sky below, but its slopes are not those of the negative. The channels are
    averaged, so that swapped colours count as equal. None where either picture is flat.
    """
    grey_x, grey_y = (_averaged(p.mean(axis=2), side=_BRIGHTNESS_SIDE) for p in (x, y))
    if min(grey_x.std(), grey_y.std()) < _FLAT:
        return None
    return max(
        _cosine(grey_x - grey_x.mean(), grey_y - grey_y.mean()),
        _cosine(_slopes(grey_x), _slopes(grey_y)),
    )


def _averaged(plane: NDArray[np.uint8] | NDArray[np.float64], *, side: int) -> Values:
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float64)


def _slopes(grey: Values) -> Values:
    return np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()])


def _cosine(x: Values, y: Values) -> float:
    product = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float((x * y).sum()) / product if product > 0 else 0.0
