"""Pictures as data addresses, small enough to embed in a page."""

import base64
import io
import math

import numpy as np
from PIL import Image

from imgtranslate.images import Pixels

QUALITY = 82
_SHRINK = 0.95  # at most, a try
_SMALLEST = 16  # px


def embed(pixels: Pixels, *, side: int, most_bytes: int) -> str:
    """Turn (h, w, c) into a ``data:`` address of a WebP; see ``to_webp``."""
    return to_address(to_webp(pixels, side=side, most_bytes=most_bytes))


def to_webp(pixels: Pixels, *, side: int, most_bytes: int, quality: int = QUALITY) -> bytes:
    """Encode (h, w, c) with a longest side of ``side`` px, smaller until it fits ``most_bytes``.

    Three channels are shown, or one. A picture of 16 px is not made smaller.
    """
    picture = displayed(pixels)
    while True:
        fitted = picture.copy()
        fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        fitted.save(content, format="WEBP", quality=quality, method=2)
        size = content.tell()
        if size <= most_bytes or side <= _SMALLEST:
            return content.getvalue()
        scale = min(_SHRINK, math.sqrt(most_bytes / size))  # bytes go about with the area
        side = max(_SMALLEST, int(max(fitted.size) * scale))


def to_address(content: bytes) -> str:
    """Return the ``data:`` address of a WebP; bytes after the picture's own are ignored."""
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def displayed(pixels: Pixels) -> Image.Image:
    """Convert a picture of any channels for a screen: the first three, or one as grey."""
    seen = pixels[..., :3] if pixels.shape[-1] > 2 else pixels[..., 0]
    return Image.fromarray(np.ascontiguousarray(seen)).convert("RGB")
