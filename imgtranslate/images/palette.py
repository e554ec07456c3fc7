"""Pictures with a palette of 256 colours, for GIF."""

import numpy as np
from PIL import Image

from imgtranslate.images.values import Pixels

CLEAR = 255  # the entry that shows nothing
_HALF = 128  # alpha from which a pixel is shown; GIF knows nothing between


def with_palette(image: Image.Image, *, clear: bool) -> Image.Image:
    """The image in mode P: exactly where its colours are few enough, else the nearest 255.

    ``clear``: leave entry ``CLEAR`` to what is transparent.
    """
    colours = np.asarray(image.convert("RGB"))
    most = CLEAR if clear else CLEAR + 1
    exact = image.convert("RGB").getcolors(most) is not None
    indexed = _exact(colours) if exact else image.convert("RGB").quantize(most)
    if clear:
        indexed = _without_hidden(indexed, image)
    return indexed


def _exact(colours: Pixels) -> Image.Image:
    numbers = colours.astype(np.uint32) @ np.array([65_536, 256, 1], np.uint32)
    found, places = np.unique(numbers, return_inverse=True)
    indexed = Image.fromarray(places.reshape(numbers.shape).astype(np.uint8))
    palette = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    indexed.putpalette(palette.tobytes())
    return indexed


def _without_hidden(indexed: Image.Image, image: Image.Image) -> Image.Image:
    palette = (indexed.getpalette() or []) + [0] * 768
    shown = np.asarray(image.convert("RGBA").getchannel("A")) >= _HALF
    places = np.where(shown, np.asarray(indexed), CLEAR).astype(np.uint8)
    cut = Image.fromarray(places)
    cut.putpalette([*palette[: 3 * CLEAR], 0, 0, 0])
    cut.info["transparency"] = CLEAR
    return cut
