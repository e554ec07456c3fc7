"""Colours of other spaces, as sRGB."""

import functools
import io
import struct

import numpy as np
from PIL import Image, ImageCms

from imgtranslate.images.matrices import Floats, shares_of_srgb
from imgtranslate.images.values import AnyPixels, Pixels, rounded

_DATE = slice(24, 36)  # of the header of a profile: when it was made
_GRID = 33  # nodes a channel, between which colours of more than 8 bits are interpolated
_ROWS = 64  # converted at a time
_BANDS = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def to_srgb(pixels: AnyPixels, profile: object, *, white: float) -> tuple[AnyPixels, bytes | None]:
    """Convert grey or colour (h, w, 1 | 3) to sRGB; with it goes the profile that now holds.

    A profile that is damaged, or of another number of channels, is left out of account. Pixels
    that are sRGB already are not touched and keep their own profile.
    """
    bands = "L" if pixels.shape[2] == 1 else "RGB"
    if not isinstance(profile, bytes) or pixels.shape[2] not in (1, 3):
        return pixels, None
    if _space(profile) != bands:
        return pixels, None
    if _means_srgb(profile):
        return pixels, profile
    if pixels.dtype == np.uint8:
        converted: AnyPixels = _converted(pixels, profile, bands)
    else:
        converted = _in_rows(pixels, profile, bands, white=white)
    return converted, srgb_profile()


def is_foreign(profile: object) -> bool:
    """Whether it speaks of grey or colour that is not sRGB; damaged ones speak of nothing."""
    if not isinstance(profile, bytes) or _space(profile) not in ("L", "RGB"):
        return False
    return not _means_srgb(profile)


def inks_to_srgb(image: Image.Image) -> Image.Image | None:
    """A CMYK image as RGB by its profile; None where it has none that holds."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or _space(profile) != "CMYK":
        return None
    return ImageCms.applyTransform(image, _transform(profile, "CMYK"))


@functools.cache
def srgb_profile() -> bytes:
    """The same bytes each time: without the date of today."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = np.array([2000, 1, 1, 0, 0, 0], dtype=">u2").tobytes()
    return bytes(profile)


@functools.lru_cache(maxsize=32)
def _space(profile: bytes) -> str | None:
    """Pillow's mode of the colours that it speaks of; None if it cannot be used."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        bands = _BANDS.get(opened.profile.xcolor_space.strip())
        if bands is not None:
            _transform(profile, bands)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return bands


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, bands: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    return ImageCms.buildTransform(source, target, bands, "RGB")


@functools.lru_cache(maxsize=32)
def _means_srgb(profile: bytes) -> bool:
    """Whether it changes no colour by more than the rounding of 8 bits, whatever its name."""
    bands = _space(profile)
    probe = _nodes(17, 3 if bands == "RGB" else 1)
    changed = _converted(probe, profile, bands or "RGB")
    return bool(np.abs(changed.astype(int) - probe).max() <= 1)


def _nodes(count: int, channels: int) -> Pixels:
    """All combinations of evenly spread levels: (count ** channels, 1, channels)."""
    levels = np.rint(np.linspace(0, 255, count)).astype(np.uint8)
    grid = np.meshgrid(*[levels] * channels, indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 1, channels)


def _converted(pixels: Pixels, profile: bytes, bands: str) -> Pixels:
    image = Image.fromarray(pixels if bands == "RGB" else pixels[..., 0])
    changed = np.asarray(ImageCms.applyTransform(image, _transform(profile, bands)))
    return changed if bands == "RGB" else np.ascontiguousarray(changed[..., :1])


def _in_rows(pixels: AnyPixels, profile: bytes, bands: str, *, white: float) -> AnyPixels:
    """Convert more than 8 bits, which lcms is not given; row by row, to spare the memory."""
    shares = functools.partial(_shares, profile=profile, bands=bands)
    levels = np.empty(pixels.shape, pixels.dtype)
    for row in range(0, pixels.shape[0], _ROWS):
        part = pixels[row : row + _ROWS] / white
        overshoot = part - np.clip(part, 0, 1)
        converted = np.where(np.isfinite(part), white * (shares(part) + overshoot), part)
        levels[row : row + _ROWS] = rounded(converted, white=white, dtype=pixels.dtype)
    return levels


def _shares(part: Floats, *, profile: bytes, bands: str) -> Floats:
    """Exactly where the profile is curves and a matrix, else between nodes of its tables."""
    try:
        exact = shares_of_srgb(part, profile)
    except (ValueError, KeyError, IndexError, struct.error, np.linalg.LinAlgError):
        exact = None
    return _between_nodes(part, profile, bands) if exact is None else exact


def _between_nodes(part: Floats, profile: bytes, bands: str) -> Floats:
    """Shares (..., c), shifted as the nodes around them are."""
    channels = part.shape[-1]
    nodes = _nodes(_GRID, channels)
    shift = (_converted(nodes, profile, bands).astype(np.float64) - nodes) / 255
    flat = part.reshape(-1, channels)
    return (flat + _between(shift.reshape(*[_GRID] * channels, channels), flat)).reshape(part.shape)


def _between(shifts: Floats, shares: Floats) -> Floats:
    """Interpolate linearly in each channel: shares (n, c) in 0 to 1 find shifts (n, c)."""
    places = np.clip(np.nan_to_num(shares), 0, 1) * (_GRID - 1)
    lower = np.minimum(places.astype(np.intp), _GRID - 2)
    upper_share = places - lower
    total = np.zeros(shares.shape)
    for corner in np.ndindex(*[2] * shares.shape[1]):
        weight = np.where(corner, upper_share, 1 - upper_share).prod(axis=1)
        total += weight[:, None] * shifts[tuple((lower + corner).T)]
    return total
