"""Reading of a file as pictures: upright, in sRGB, with the requested number of channels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from imgtranslate.errors import ImageError, TooManyPixelsError, counted
from imgtranslate.images.arrays import ARRAY_MAGIC, read_array
from imgtranslate.images.colour import is_foreign, to_srgb
from imgtranslate.images.metadata import exif_of, orientation_of, srgb_exif
from imgtranslate.images.opening import Source, decoding, opened, pixel_limit, refuse_bomb
from imgtranslate.images.picture import Alpha, AnyPixels, Picture, rounded, white_of, with_alpha
from imgtranslate.images.pil import open_image, picture_of, read_by_pillow
from imgtranslate.images.tiff import TIFF_HEADS, read_tiff
from imgtranslate.images.writing import WRITERS

_FRAMES_LIMIT = 8  # pixels of all frames together, as a multiple of the limit of one picture


def read_image(
    source: Source, *, channels: int, alpha: Alpha = "keep", allow_huge: bool = False
) -> Picture:
    """Read the first frame of ``source``, upright, in sRGB, in the depth of the file.

    1 and 3 channels give grey and colour of any picture, with alpha apart. 2 and 4 channels include
    alpha, which the picture must have; more channels come from TIFF and ``.npy`` files. Raises
    ``ImageError`` if the file is missing, damaged, too large or not a picture.
    """
    return next(read_frames(source, channels=channels, alpha=alpha, allow_huge=allow_huge))


def read_frames(
    source: Source, *, channels: int, alpha: Alpha = "keep", allow_huge: bool = False
) -> Iterator[Picture]:
    """Read all frames or pages, each like ``read_image``.

    ``source``: the path of a file or of a member of a tar archive, or a binary stream, which
    messages call ``-``.
    """
    name, pixels = str(source) if isinstance(source, Path) else "-", 0
    with opened(source) as file:
        frames = _decoded(file, channels=channels, allow_huge=allow_huge)
        while True:
            # global state is changed while Pillow decodes, not while the caller uses a frame
            with decoding(name, allow_huge=allow_huge):
                picture = next(frames, None)
                if picture is None:
                    break
                picture = _with_channels(_in_srgb(picture), channels)
                pixels += picture.pixels.shape[0] * picture.pixels.shape[1]
                if pixels > (limit := _FRAMES_LIMIT * pixel_limit()) and not allow_huge:
                    raise TooManyPixelsError(
                        f"its frames have more than {limit:,} pixels together. Shorten it"
                    )
            yield with_alpha(picture, alpha)
    if not pixels:
        raise ImageError(f"{name}: damaged: contains no picture. Replace or remove it")


def picture_from_pil(image: Image.Image, *, channels: int, alpha: Alpha = "keep") -> Picture:
    """Convert a PIL image of any mode to an upright picture with this number of channels.

    The depth is that of its mode. Raises ``ImageError`` if decoding the image fails.
    """
    with decoding("image"):
        refuse_bomb(image.size)
        return with_alpha(_with_channels(_in_srgb(picture_of(image)), channels), alpha)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The properties of a file that reading corrects, but other viewers may not."""

    misnamed: str = ""  # the format, if the suffix names another
    cmyk: bool = False
    turned: bool = False  # rotated by its EXIF orientation
    foreign: bool = False  # has a colour profile other than sRGB


def read_stored(path: Path) -> Stored:
    """Read the properties from the header; defaults for a file that Pillow does not know."""
    try:
        with opened(path) as file, decoding(str(path)), open_image(file, allow_huge=True) as image:
            found, writer = image.format or "", WRITERS.get(path.suffix.lower())
            named = found if writer is None else writer.file_format
            fits = found == named or (named, found) == ("JPEG", "MPO")  # as phones write
            return Stored(
                misnamed="" if fits else found,
                cmyk=image.mode == "CMYK",
                turned=orientation_of(exif_of(image)) != 1,
                foreign=is_foreign(image.info.get("icc_profile")),
            )
    except ImageError:
        return Stored()


def _decoded(file: BinaryIO, *, channels: int, allow_huge: bool) -> Iterator[Picture]:
    """Decode by the format of the first bytes, upright, in the colour space of the file."""
    head = file.read(len(ARRAY_MAGIC))
    file.seek(0)
    if not head:
        raise ImageError("the file is empty. Replace or remove it")
    if head == ARRAY_MAGIC:
        pixels = read_array(file, channels=channels, allow_huge=allow_huge)
        yield Picture(pixels=pixels, white=white_of(pixels))
    elif head.startswith(TIFF_HEADS):
        yield from read_tiff(file, allow_huge=allow_huge)
    else:
        yield from read_by_pillow(file, allow_huge=allow_huge)


def _in_srgb(picture: Picture) -> Picture:
    if picture.icc_profile is None:
        return picture
    pixels, profile = to_srgb(picture.pixels, picture.icc_profile, white=picture.white)
    exif = picture.exif if profile is None else srgb_exif(picture.exif)
    return replace(picture, pixels=pixels, icc_profile=profile, exif=exif)


def _with_channels(picture: Picture, channels: int) -> Picture:
    """Convert to grey or colour; with 2 or 4 channels, alpha is the last channel."""
    pixels, alpha = picture.pixels, picture.alpha
    found = pixels.shape[2] + (alpha is not None)
    if found == channels and alpha is None:
        return picture
    if channels > 4 or (channels in (2, 4) and alpha is None) or pixels.shape[2] not in (1, 3):
        raise ImageError(
            f"{counted(found, 'channel')}, not {channels}. Give "
            + ("pictures with alpha" if channels in (2, 4) else f"TIFF or .npy with {channels}")
        )
    if channels <= 2:
        pixels = _grey(pixels, white=picture.white)
    elif pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if channels in (2, 4) and alpha is not None:
        pixels, alpha = np.concatenate([pixels, alpha[..., None]], axis=2), None
    return replace(picture, pixels=pixels, alpha=alpha)


def _grey(pixels: AnyPixels, *, white: float) -> AnyPixels:
    """Convert colour to grey by ITU-R 601; 8 bits are rounded exactly as in Pillow."""
    if pixels.shape[2] == 1:
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    levels = pixels.astype(np.float64) @ (0.299, 0.587, 0.114)
    return rounded(levels[..., None], white=white, dtype=pixels.dtype)
