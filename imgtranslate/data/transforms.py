"""From a picture to a training sample: resize, crop, flip. Pixels stay uint8 (h, w, c)."""

from pathlib import Path

import numpy as np
from PIL import Image

from imgtranslate.images import read_image


def random_sample(
    path: Path,
    *,
    channels: int,
    load_size: int,
    crop_size: int,
    flip: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Read a picture and cut a sample from it: uint8 (crop_size, crop_size, channels).

    The shorter side is resized to ``load_size`` with the aspect kept, then crop and flip are
    drawn from ``rng``, always with the same number of draws.
    """
    pixels = resize_shorter(read_image(path, channels=channels).pixels, load_size)
    height, width, _ = pixels.shape
    top = int(rng.integers(height - crop_size + 1))
    left = int(rng.integers(width - crop_size + 1))
    mirrored = bool(rng.integers(2)) and flip
    sample = pixels[top : top + crop_size, left : left + crop_size]
    return np.ascontiguousarray(sample[:, ::-1] if mirrored else sample)


def centre_sample(path: Path, *, channels: int, crop_size: int) -> np.ndarray:
    """Read a picture and take the largest centred square of it: uint8 (crop, crop, channels)."""
    pixels = resize_shorter(read_image(path, channels=channels).pixels, crop_size)
    top, left = ((side - crop_size) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + crop_size, left : left + crop_size])


def resize_shorter(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize so that the shorter side is ``size`` px, the aspect kept (bicubic)."""
    height, width, channels = pixels.shape
    shorter = min(height, width)
    if shorter == size:
        return pixels
    target = (max(size, round(width * size / shorter)), max(size, round(height * size / shorter)))
    image = Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])
    resized = np.asarray(image.resize(target, Image.Resampling.BICUBIC))
    return resized.reshape(target[1], target[0], channels)
