"""From a picture to a training sample: resize, crop, flip, rotate, colour. uint8 (h, w, c) each."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from imgtranslate.images import Pixels
from imgtranslate.settings.config import Resample

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The crop, flip and rotation of one sample."""

    top: int
    left: int
    mirrored: bool
    quarters: int  # rotations by 90 degrees, counter-clockwise


def draw_geometry(
    size: tuple[int, int], *, crop_size: int, flip: bool, rotate: bool, rng: np.random.Generator
) -> Geometry:
    """Draw from ``rng`` for a picture of (height, width) px, always the same count of numbers."""
    height, width = size
    return Geometry(
        top=int(rng.integers(height - crop_size + 1)),
        left=int(rng.integers(width - crop_size + 1)),
        mirrored=bool(rng.integers(2)) and flip,
        quarters=int(rng.integers(4)) * rotate,
    )


def cut(pixels: Pixels, geometry: Geometry, *, crop_size: int) -> Pixels:
    """Cut a sample: uint8 (crop_size, crop_size, channels)."""
    top, left = geometry.top, geometry.left
    sample = pixels[top : top + crop_size, left : left + crop_size]
    if geometry.mirrored:  # a copy of sample[:, ::-1] takes longer
        sample = sample.take(np.arange(crop_size)[::-1], axis=1)
    return np.ascontiguousarray(np.rot90(sample, geometry.quarters))


def change_tone(pixels: Pixels, *, strength: float, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast and saturation, each by a factor of 1 ± ``strength`` at most."""
    factors = 1 + strength * (2 * rng.random(3) - 1)
    if strength == 0 or pixels.shape[2] not in (1, 3):
        return pixels
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    for enhance, factor in zip(_ENHANCERS, factors, strict=True):
        image = enhance(image).enhance(float(factor))
    return np.asarray(image).reshape(pixels.shape)


_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def centre_sample(pixels: Pixels, *, crop_size: int, resample: Resample) -> Pixels:
    """Resize and crop the largest centred square: uint8 (crop_size, crop_size, channels)."""
    pixels = resize_shorter(pixels, crop_size, resample=resample)
    top, left = ((side - crop_size) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + crop_size, left : left + crop_size])


def resize_shorter(pixels: Pixels, size: int, *, resample: Resample) -> Pixels:
    """Resize the shorter side to ``size`` px and keep the aspect ratio."""
    height, width, channels = pixels.shape
    shorter = min(height, width)
    if shorter == size:
        return pixels
    target = (max(size, round(width * size / shorter)), max(size, round(height * size / shorter)))
    if channels == 3:
        return np.asarray(Image.fromarray(pixels).resize(target, _FILTERS[resample]))
    planes = [
        np.asarray(Image.fromarray(pixels[:, :, c]).resize(target, _FILTERS[resample]))
        for c in range(channels)
    ]
    return np.stack(planes, axis=2)
