"""One picture: its pixels in any depth, the values for a network, its size and transparency."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images.opening import refuse_bomb

Pixels = NDArray[np.uint8]
AnyPixels = NDArray[Any]  # uint8, uint16, int32, float16 or float32
Values = NDArray[np.float32]
Codes = NDArray[np.float32]  # (n, latent_dim), the second input of a generator
Alpha = Literal["keep", "drop", "matte"]

WHITES = {"uint8": 255.0, "uint16": 65_535.0, "int32": 65_535.0, "float16": 1.0, "float32": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture and the metadata of its file; reading makes it upright, and sRGB or grey."""

    pixels: AnyPixels  # (h, w, c): c is 1 for grey, 3 for colour, or includes alpha and others
    white: float = 255.0  # the value of white in ``pixels``
    alpha: AnyPixels | None = None  # (h, w)
    icc_profile: bytes | None = None  # sRGB, if the file had a profile
    exif: bytes | None = None  # without orientation and thumbnail
    xmp: bytes | None = None
    duration: float | None = None  # ms that a frame of an animation is shown
    loop: int | None = None  # loop count as the format counts it; 0 is for ever, None once
    file_format: str | None = None  # Pillow's name of the format
    warning: str = ""  # what is faulty in the file beside the pixels


# Values


def to_network(pixels: AnyPixels, *, white: float = 255.0) -> Values:
    """Convert (h, w, c) of any depth to float32 (c, h, w): 0 becomes -1 and ``white`` 1.

    Floats may exceed this range. NaN becomes black.
    """
    with np.errstate(invalid="ignore"):  # files of floats may contain NaN and infinity
        values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    if pixels.dtype.kind == "f":
        np.nan_to_num(values, copy=False, nan=0.0, posinf=white, neginf=0.0)
    values /= white / 2
    values -= 1
    return values


def to_pixels(values: Values, *, white: float = 255.0, dtype: DTypeLike = np.uint8) -> Any:
    """Convert float (c, h, w) to (h, w, c) of ``dtype``: -1 becomes 0 and 1 ``white``.

    Integers are clamped and rounded to nearest; floats keep their value. NaN becomes black.
    """
    scaled = np.nan_to_num((values + 1) * (white / 2), nan=0.0, posinf=white, neginf=0.0)
    return np.ascontiguousarray(rounded(scaled, white=white, dtype=dtype).transpose(1, 2, 0))


def rounded(levels: NDArray[Any], *, white: float, dtype: DTypeLike) -> AnyPixels:
    """Convert to ``dtype``: clamp integers to 0 to ``white``, and floats to the finite range."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        most = float(np.finfo(kind).max)
        with np.errstate(invalid="ignore"):
            finite: AnyPixels = np.clip(levels, -most, most)
            return finite.astype(kind)
    whole: AnyPixels = np.rint(np.clip(levels, 0, white))
    return whole.astype(kind)


def white_of(values: NDArray[Any]) -> float:
    """Return the value of white: 255 or 65,535 for integers; 1, 255 or 65,535 for floats.

    A file of floats does not state its white. It is the smallest of these that no value exceeds
    more than twofold.
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
        f"its values go from {darkest:g} to {brightest:g}, which is not a known range. "
        "Convert it to 8 or 16 bits"
    )


def mirror_indices(size: int, padded: int) -> NDArray[np.intp]:
    """Return the indices (padded,) of reflection padding, all below ``size``.

    The edge is not repeated, so the period is 2 (size - 1).
    """
    period = max(2 * (size - 1), 1)
    walk = np.arange(padded) % period
    return np.minimum(walk, period - walk) if size > 1 else walk


def fitting_side(side: int, *, multiple: int, least: int) -> int:
    """Return the smallest multiple of ``multiple`` that is at least ``side`` and ``least``."""
    return -(-max(side, least) // multiple) * multiple


def pad_to(values: Values, *, multiple: int, least: int) -> Values:
    """Pad (..., h, w) by reflection to the right and below, up to the next fitting sides.

    Returns the array itself if its sides fit: multiples of ``multiple``, and at least ``least``.
    """
    height, width = values.shape[-2:]
    rows = mirror_indices(height, fitting_side(height, multiple=multiple, least=least))
    columns = mirror_indices(width, fitting_side(width, multiple=multiple, least=least))
    if (len(rows), len(columns)) == (height, width):
        return values
    padded: Values = values[..., rows[:, None], columns]
    return padded


# Depth, transparency, size


def eight_bits(picture: Picture) -> Picture:
    """Convert to uint8 with rounding; return the picture itself if it is uint8."""
    return in_depth(picture, np.uint8)


def in_depth(picture: Picture, dtype: DTypeLike) -> Picture:
    """Convert to ``dtype``, with rounding if it is coarser; return the picture itself if equal."""
    kind = np.dtype(dtype)
    if picture.pixels.dtype == kind:
        return picture
    white = picture.white if picture.pixels.dtype.kind == kind.kind == "f" else WHITES[kind.name]
    alpha = picture.alpha
    return replace(
        picture,
        pixels=_rescaled(picture.pixels, picture.white, white, kind),
        white=white,
        alpha=None if alpha is None else _rescaled(alpha, opaque(picture), white, kind),
    )


def opaque(picture: Picture) -> float:
    """Return the value of opaque in the alpha of a picture."""
    if picture.alpha is None or picture.alpha.dtype.kind == "f":
        return picture.white
    return WHITES[picture.alpha.dtype.name]


def over_white(picture: Picture) -> Picture:
    """Composite the picture over white; return the picture itself if it has no alpha."""
    if picture.alpha is None:
        return picture
    share = picture.alpha[..., None] / opaque(picture)
    blended = picture.pixels * share + picture.white * (1 - share)
    pixels = rounded(blended, white=picture.white, dtype=picture.pixels.dtype)
    return replace(picture, pixels=pixels, alpha=None)


def with_alpha_channel(picture: Picture) -> AnyPixels:
    """Return the pixels with alpha as the last channel."""
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[..., None]], axis=2)


def with_alpha(picture: Picture, alpha: Alpha) -> Picture:
    """Keep the alpha, drop it, or composite the picture over white."""
    match alpha:
        case "keep":
            return picture
        case "drop":
            return replace(picture, alpha=None)
        case "matte":
            return over_white(picture)


def resized(picture: Picture, shorter_side: int, *, allow_huge: bool = False) -> Picture:
    """Resize (Lanczos) to a shorter side in px, keeping aspect ratio and depth.

    Raises ``UsageError`` for less than 1 px, ``ImageError`` if the result is too large.
    """
    if shorter_side < 1:
        raise UsageError(f"`resize` {shorter_side}: less than 1 px. Give 1 px or more")
    height, width = picture.pixels.shape[:2]
    scale = shorter_side / min(height, width)
    size = (max(round(width * scale), shorter_side), max(round(height * scale), shorter_side))
    if size == (width, height):
        return picture
    refuse_bomb(size, allow_huge=allow_huge)
    alpha, method = picture.alpha, Image.Resampling.LANCZOS
    return replace(
        picture,
        pixels=resize_pixels(picture.pixels, size, method, white=picture.white),
        alpha=None if alpha is None else resize_pixels(alpha, size, method, white=opaque(picture)),
    )


def resize_pixels(
    pixels: AnyPixels, size: tuple[int, int], method: Image.Resampling, *, white: float = 255.0
) -> AnyPixels:
    """Resize (h, w) or (h, w, c) of any depth to ``size``, (width, height) in px."""
    if pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] == 3):
        return np.asarray(Image.fromarray(pixels).resize(size, method))
    if pixels.ndim == 3:
        planes = np.moveaxis(pixels, 2, 0)
        return np.stack(
            [resize_pixels(plane, size, method, white=white) for plane in planes], axis=2
        )
    levels = Image.fromarray(pixels.astype(np.float32)).resize(size, method)
    return rounded(np.asarray(levels), white=white, dtype=pixels.dtype)


def _rescaled(values: AnyPixels, old: float, new: float, dtype: np.dtype[Any]) -> AnyPixels:
    with np.errstate(invalid="ignore", over="ignore"):  # files may hold NaN and infinity
        numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=old, neginf=0.0)
        return rounded(numbers * (new / old), white=new, dtype=dtype)
