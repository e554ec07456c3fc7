"""What a decoder gives, in the depth of the file: 8 bits, 16, integers of 32, floats."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imgtranslate.errors import ImageError
from imgtranslate.images.opening import Source, has_frames, opened
from imgtranslate.images.profiles import inks_to_srgb, srgb_profile
from imgtranslate.images.values import AnyPixels, Pixels

_BITS = 258
_PHOTOMETRIC = 262  # of a TIFF: 0 where white is the smallest value


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Pixels as stored, not yet upright: grey or colour, and alpha."""

    pixels: AnyPixels  # (h, w, 1 | 3)
    white: float
    alpha: AnyPixels | None = None  # (h, w)
    profile: object = None  # bytes, unless the file is damaged


@dataclass(frozen=True, kw_only=True)
class Again:
    """Where an image was opened and how it can be opened once more."""

    source: Source
    frame: int
    allow_huge: bool


def levels_of(image: Image.Image, again: Again | None = None) -> Levels:
    """Decode an image of any mode; with ``again`` also the lower bytes that Pillow leaves out."""
    rawmode = _deep_rawmode(image) if again and isinstance(image, ImageFile) else None
    _load(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey(image)
    if again and rawmode:
        return _deep_colour(image, rawmode, again)
    return _eight_bits(image)


def _load(image: Image.Image) -> None:
    """Decode, without mapping the file into memory.

    Pillow 13 maps a TIFF that stands on its side with its sides exchanged, and whoever shortens a
    mapped file ends the process.
    """
    if not isinstance(image, ImageFile):
        image.load()
        return
    name, image.filename = image.filename, ""
    try:
        image.load()
    finally:
        image.filename = name


def white_of(values: NDArray[Any]) -> float:
    """The value that means white: 255 or 65,535 of integers, and of floats 1, 255 or 65,535.

    Files of floats do not say; some overshoot their white, none by twice.
    """
    if values.dtype == np.uint8:
        return 255.0
    brightest = float(np.nanmax(values, initial=0))
    darkest = float(np.nanmin(values, initial=0))
    scales = (1.0, 255.0, 65_535.0) if values.dtype.kind == "f" else (65_535.0,)
    for white in scales:
        room = white if values.dtype.kind == "f" else 0.0
        if -room <= darkest and brightest <= white + room:
            return white
    raise ImageError(
        f"its values go from {darkest:g} to {brightest:g}, an unknown range. "
        "Convert it to 8 or 16 bits"
    )


def _eight_bits(image: Image.Image) -> Levels:
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK":
        inks = inks_to_srgb(image)
        plain, profile = (inks or image.convert("RGB")), (srgb_profile() if inks else None)
    elif image.has_transparency_data:
        plain = _in_mode(image, "RGBA")
    else:
        plain = _in_mode(image, "L" if image.mode in ("1", "L") else "RGB")
    if image.mode in _OTHER_SPACES or not isinstance(profile, bytes):
        profile = None
    grey = image.mode in ("1", "L", "LA", "La")
    colour = np.array(_in_mode(plain, "L" if grey else "RGB"))
    alpha = np.array(plain.getchannel("A")) if plain.mode == "RGBA" else None
    return Levels(pixels=_with_bands(colour), white=255.0, alpha=alpha, profile=profile)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Converted without a copy of what is so already."""
    return image if image.mode == mode else image.convert(mode)


_OTHER_SPACES = ("LAB", "HSV", "YCbCr")  # Pillow converts them; what a profile says is lost


def _deep_grey(image: Image.Image) -> Levels:
    """16 bits, integers or floats; one value may be marked as transparent."""
    values: AnyPixels = np.array(image)
    if values.dtype.kind == "i" and not _keeps_32_bits(image):
        white_of(values)
        values = values.astype(np.uint16)
    if _has_12_bits(image):
        values = np.rint(values * (65_535 / 4_095)).astype(np.uint16)
    if values.dtype.kind != "f" and _is_inverted(image):
        values = (65_535 - values.astype(np.int32)).astype(values.dtype)
    values = values.astype(values.dtype.newbyteorder("="))
    white, key = white_of(values), image.info.get("transparency")
    alpha = _key_alpha(values != key, white, values.dtype) if isinstance(key, int) else None
    profile = image.info.get("icc_profile")
    return Levels(pixels=values[..., None], white=white, alpha=alpha, profile=profile)


def _keeps_32_bits(image: Image.Image) -> bool:
    """Pillow reads grey of 16 bits as 32 in some formats; TIFF alone stores so many."""
    return image.format in ("TIFF", None)


def _has_12_bits(image: Image.Image) -> bool:
    """Pillow reads 12 bits of a TIFF as 16 without making them brighter."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_BITS) == (12,)


def _is_inverted(image: Image.Image) -> bool:
    """Pillow turns 8 bits of a TIFF whose white is 0, but not 16."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == 0


def _deep_rawmode(image: ImageFile) -> str | None:
    """How colours of 16 bits are stored; None for what has other depths or several layers."""
    found = {
        (tile.args if isinstance(tile.args, tuple) else (tile.args,))[0] for tile in image.tile
    }
    rawmode = found.pop() if len(found) == 1 else None
    return (
        rawmode if rawmode in _LOWER and (image.format == "TIFF" or not has_frames(image)) else None
    )


# Pillow keeps the upper byte of each 16 bits. Told that the bytes are swapped, it keeps the lower.
_NATIVE_SWAPPED = "B" if sys.byteorder == "little" else "L"
_LOWER = {
    **{f"{bands};16B": f"{bands};16L" for bands in ("RGB", "RGBX", "RGBA")},
    **{f"{bands};16L": f"{bands};16B" for bands in ("RGB", "RGBX", "RGBA")},
    **{f"{bands};16N": f"{bands};16{_NATIVE_SWAPPED}" for bands in ("RGB", "RGBX", "RGBA")},
    "LA;16B": "RGBA",  # four bytes a pixel: both of grey, then both of alpha
}


def _deep_colour(image: Image.Image, rawmode: str, again: Again) -> Levels:
    lower = _decoded_as(_LOWER[rawmode], again)
    if rawmode == "LA;16B":
        values = lower[..., 0::2].astype(np.uint16) << 8 | lower[..., 1::2]
    else:
        values = np.asarray(image).astype(np.uint16) << 8 | lower
    pixels, alpha = (values[..., :-1], values[..., -1]) if values.shape[2] != 3 else (values, None)
    key = image.info.get("transparency")
    if alpha is None and isinstance(key, tuple):
        alpha = _key_alpha((values != key).any(axis=2), 65_535, values.dtype)
    profile = image.info.get("icc_profile")
    return Levels(pixels=pixels, white=65_535.0, alpha=alpha, profile=profile)


def _decoded_as(rawmode: str, again: Again) -> Pixels:
    """Decode the file once more, its bytes taken as another raw mode."""
    with opened(again.source, allow_huge=again.allow_huge) as image:
        image.seek(again.frame)
        image.tile = [
            tile._replace(
                args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode
            )
            for tile in image.tile
        ]
        return np.asarray(image)


def _key_alpha(shown: NDArray[np.bool_], opaque: float, dtype: np.dtype[Any]) -> AnyPixels:
    alpha: AnyPixels = np.where(shown, opaque, 0).astype(dtype)
    return alpha


def _with_bands(pixels: Pixels) -> Pixels:
    return pixels[..., None] if pixels.ndim == 2 else pixels
