"""Pictures as PIL images."""

import numpy as np
from PIL import Image

from imgtranslate.images.picture import Picture, eight_bits, in_depth
from imgtranslate.images.profiles import srgb_profile


def to_pil(picture: Picture) -> Image.Image:
    """The picture in mode L, LA, RGB or RGBA; its profile in ``info``.

    Grey of more than 8 bits without alpha in mode I;16, I or F; PIL has none for deep colours,
    which are rounded to 8.
    """
    if picture.pixels.shape[2] == 1 and picture.alpha is None:
        plain = in_depth(picture, np.float32) if picture.pixels.dtype == np.float16 else picture
    else:
        plain = eight_bits(picture)
    pixels = plain.pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if plain.alpha is not None:
        image.putalpha(Image.fromarray(plain.alpha))
    profile = fitting_profile(picture)
    if profile is not None:
        image.info["icc_profile"] = profile
    return image


def fitting_profile(picture: Picture) -> bytes | None:
    """The profile of sRGB for as many channels as there are, where its file had one.

    Grey of sRGB goes without: that is what grey without a profile is taken for.
    """
    profile = picture.icc_profile
    if profile is None:
        return None
    space = b"GRAY" if picture.pixels.shape[2] <= 2 else b"RGB "
    if profile[16:20] == space:
        return profile
    return srgb_profile() if space == b"RGB " else None
