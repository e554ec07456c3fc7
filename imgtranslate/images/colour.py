"""Colour profiles: conversion of other colour spaces to sRGB."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from imgtranslate.images.picture import AnyPixels, Pixels, rounded

_DATE = slice(24, 36)  # the creation date in the header of a profile
_ROWS = 64  # converted at a time, to save memory
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's mode by the colour space


def to_srgb(pixels: AnyPixels, profile: bytes, *, white: float) -> tuple[AnyPixels, bytes | None]:
    """Convert grey or colour (h, w, 1 | 3) to sRGB; return the pixels with their new profile.

    A profile that is damaged or has another number of channels is ignored. Pixels that are already
    sRGB are returned unchanged with their profile.
    """
    channels = pixels.shape[2]
    if _mode_of(profile) != {1: "L", 3: "RGB"}.get(channels):
        return pixels, None
    if _means_srgb(profile):
        return pixels, profile
    if pixels.dtype == np.uint8:
        return _converted(pixels, profile), srgb_profile()
    return _converted_deep(pixels, profile, white=white), srgb_profile()


def is_foreign(profile: object) -> bool:
    """Return whether a profile is valid, of grey or colour, and not sRGB."""
    if not isinstance(profile, bytes) or _mode_of(profile) not in ("L", "RGB"):
        return False
    return not _means_srgb(profile)


def cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """Convert a CMYK image to RGB, to sRGB by a usable profile; return its new profile, too."""
    if profile is None or _mode_of(profile) != "CMYK":
        return image.convert("RGB"), None
    return _transform(profile, "CMYK").apply(image), srgb_profile()


@functools.cache
def srgb_profile() -> bytes:
    """Build an sRGB profile with a fixed date, so that its bytes are always the same."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = np.array([2000, 1, 1, 0, 0, 0], dtype=">u2").tobytes()
    return bytes(profile)


@functools.lru_cache(maxsize=32)
def _mode_of(profile: bytes) -> str | None:
    """Return Pillow's mode for the colours of a profile; None if the profile cannot be used."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(opened.profile.xcolor_space.strip())
        if mode is not None:
            _transform(profile, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return mode


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    return ImageCms.buildTransform(source, target, mode, "RGB")


@functools.lru_cache(maxsize=32)
def _means_srgb(profile: bytes) -> bool:
    """Return whether a profile changes no colour by more than one level of 255."""
    levels = np.rint(np.linspace(0, 255, 17)).astype(np.uint8)
    channels = 3 if _mode_of(profile) == "RGB" else 1
    grid = np.meshgrid(*[levels] * channels, indexing="ij")
    probe = np.stack(grid, axis=-1).reshape(-1, 1, channels)
    return bool(np.abs(_converted(probe, profile).astype(int) - probe).max() <= 1)


def _converted(pixels: Pixels, profile: bytes) -> Pixels:
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[..., 0] if grey else pixels)
    changed = np.asarray(ImageCms.applyTransform(image, _transform(profile, image.mode)))
    return np.ascontiguousarray(changed[..., :1]) if grey else changed


def _converted_deep(pixels: AnyPixels, profile: bytes, *, white: float) -> AnyPixels:
    """Convert more than 8 bits in float precision; the transforms of Pillow take 8 bits only."""
    import imagecodecs

    grey = pixels.shape[2] == 1
    convert = functools.partial(
        imagecodecs.cms_transform,
        profile=profile,
        outprofile=srgb_profile(),
        colorspace="gray" if grey else "rgb",
        outcolorspace="rgb",
    )
    levels = np.empty_like(pixels)
    for row in range(0, pixels.shape[0], _ROWS):
        part = pixels[row : row + _ROWS] / white
        inside = np.clip(np.nan_to_num(part), 0, 1)
        shares = convert((inside[..., 0] if grey else inside).astype(np.float32))
        shares = np.clip(shares[..., : pixels.shape[2]], 0, 1)
        overshoot = part - np.clip(part, 0, 1)  # floats beyond [0, 1] keep their excess
        converted = np.where(np.isfinite(part), white * (shares + overshoot), part)
        levels[row : row + _ROWS] = rounded(converted, white=white, dtype=pixels.dtype)
    return levels
