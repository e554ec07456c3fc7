"""Degradations of a saved picture, JPEG, noise and blur, so slight that people hardly see them."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from imgtranslate.errors import ImageError
from imgtranslate.images import Pixels

DEGRADATIONS = ("jpeg", "noise", "blur")
JPEG_QUALITY = 90
NOISE = 2.0  # levels of 255, one standard deviation
BLUR = 0.7  # px, one standard deviation
_BLUR = ImageFilter.GaussianBlur(BLUR)
_LONGEST_JPEG = 65_500  # px, of a side


def degrade(pixels: Pixels, kind: str, *, seed: int) -> Pixels:
    """Degrade uint8 (h, w, c) slightly, as a function of pixels and seed.

    ``kind`` is one of ``DEGRADATIONS``; only noise uses the seed. Raises ``ImageError`` for a
    picture that is too large for JPEG.
    """
    match kind:
        case "jpeg":
            return _through_jpeg(pixels)
        case "noise":
            return _with_noise(pixels, seed=seed)
        case "blur":
            return _for_each_plane(pixels, lambda plane: plane.filter(_BLUR))
        case _:
            raise ValueError(f"{kind}: must be one of {', '.join(DEGRADATIONS)}")


def seed_of(pixels: Pixels) -> int:
    """Derive a seed from the content of a picture only."""
    content = str(pixels.shape).encode() + pixels.tobytes()
    return int.from_bytes(hashlib.sha256(content).digest())


def _through_jpeg(pixels: Pixels) -> Pixels:
    """Save grey and colour as JPEG; with other channels, save each channel as grey."""
    if max(pixels.shape[:2]) > _LONGEST_JPEG:
        raise ImageError(f"longer than {_LONGEST_JPEG:,} px, the limit of JPEG. Crop it first")
    if pixels.shape[2] == 3:
        return np.array(_saved_as_jpeg(Image.fromarray(pixels)))
    return _for_each_plane(pixels, _saved_as_jpeg)


def _saved_as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=JPEG_QUALITY)
    return Image.open(file)


def _with_noise(pixels: Pixels, *, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
    noisy: Pixels = np.rint(np.clip(pixels + NOISE * noise, 0, 255)).astype(np.uint8)
    return noisy


def _for_each_plane(pixels: Pixels, harm: Callable[[Image.Image], Image.Image]) -> Pixels:
    planes = (np.ascontiguousarray(pixels[..., i]) for i in range(pixels.shape[2]))
    return np.stack([np.asarray(harm(Image.fromarray(plane))) for plane in planes], axis=-1)
