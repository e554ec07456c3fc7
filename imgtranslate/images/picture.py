"""One picture, and what is done to it as a whole: its depth, its size, its transparency."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images.limits import refuse_bomb
from imgtranslate.images.values import AnyPixels, rounded

Alpha = Literal["keep", "drop", "matte"]

WHITES = {"uint8": 255.0, "uint16": 65_535.0, "int32": 65_535.0, "float16": 1.0, "float32": 1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One upright picture in sRGB or grey, and what its file said beside the pixels."""

    pixels: AnyPixels  # (h, w, c); grey and colour have 1 and 3, others hold alpha and more in c
    white: float = 255.0  # the value in pixels that means white
    alpha: AnyPixels | None = None  # (h, w)
    icc_profile: bytes | None = None  # of sRGB, where the file had a profile
    exif: bytes | None = None  # without orientation and thumbnail
    xmp: bytes | None = None
    duration: float | None = None  # ms, of an animation's frame
    loop: int | None = None  # as its file counts; 0 is for ever, None once
    file_format: str | None = None  # Pillow's name


def eight_bits(picture: Picture) -> Picture:
    """The same picture as uint8, rounded; itself if it is so already."""
    return in_depth(picture, np.uint8)


def in_depth(picture: Picture, dtype: DTypeLike) -> Picture:
    """The same picture in ``dtype``, rounded where it is coarser; itself if it is so already."""
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
    """The value in its alpha that lets nothing through."""
    if picture.alpha is None or picture.alpha.dtype.kind == "f":
        return picture.white
    return WHITES[picture.alpha.dtype.name]


def over_white(picture: Picture) -> Picture:
    """The picture as it looks on white paper, without alpha; itself if it has none."""
    if picture.alpha is None:
        return picture
    share = picture.alpha[..., None] / opaque(picture)
    blended = picture.pixels * share + picture.white * (1 - share)
    pixels = rounded(blended, white=picture.white, dtype=picture.pixels.dtype)
    return replace(picture, pixels=pixels, alpha=None)


def with_alpha(picture: Picture, alpha: Alpha) -> Picture:
    """Keep its transparency, drop it, or lay the picture over white."""
    match alpha:
        case "keep":
            return picture
        case "drop":
            return replace(picture, alpha=None)
        case "matte":
            return over_white(picture)


def resized(picture: Picture, shorter_side: int, *, allow_huge: bool = False) -> Picture:
    """Resize (Lanczos) so that the shorter side is so many px; aspect and depth are kept.

    Raises ``UsageError`` for less than 1 px, ``ImageError`` if the result is too big.
    """
    if shorter_side < 1:
        raise UsageError(f"--resize {shorter_side}: less than 1 px. Give the shorter side in px")
    height, width = picture.pixels.shape[:2]
    scale = shorter_side / min(height, width)
    size = (max(round(width * scale), shorter_side), max(round(height * scale), shorter_side))
    if size == (width, height):
        return picture
    refuse_bomb(size, allow_huge=allow_huge)
    alpha = picture.alpha
    return replace(
        picture,
        pixels=_resampled(picture.pixels, size, white=picture.white),
        alpha=None if alpha is None else _resampled_plane(alpha, size, white=opaque(picture)),
    )


def refuse_white(picture: Picture) -> None:
    """Raise ``ImageError`` for pixels of a type that no picture has."""
    if picture.pixels.dtype.name not in WHITES:
        raise ImageError(f"pixels of {picture.pixels.dtype}. Give {', '.join(WHITES)}")


def _rescaled(values: AnyPixels, old: float, new: float, dtype: np.dtype[Any]) -> Any:
    with np.errstate(invalid="ignore", over="ignore"):  # files hold any numbers, and none
        numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=old, neginf=0.0)
        return rounded(numbers * (new / old), white=new, dtype=dtype)


def _resampled(pixels: AnyPixels, size: tuple[int, int], *, white: float) -> Any:
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    planes = [_resampled_plane(pixels[..., c], size, white=white) for c in range(pixels.shape[2])]
    return np.stack(planes, axis=2)


def _resampled_plane(plane: AnyPixels, size: tuple[int, int], *, white: float) -> Any:
    source = np.ascontiguousarray(plane if plane.dtype == np.uint8 else plane.astype(np.float32))
    levels = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.LANCZOS))
    return rounded(levels, white=white, dtype=plane.dtype)
