"""Pictures with more channels than picture formats hold, as ``.npy`` files of uint8 (h, w, c)."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtranslate.atomic import replacing
from imgtranslate.errors import ImageError

Pixels = NDArray[np.uint8]
ARRAY_SUFFIX = ".npy"
LARGEST_ARRAY = 2**33  # bytes


def is_array(path: Path) -> bool:
    """Whether the name is an array's."""
    return path.suffix.lower() == ARRAY_SUFFIX


def read_array(path: Path, *, channels: int) -> Pixels:
    """Read uint8 (h, w, channels), or (h, w) where there is one channel.

    The header is judged before anything of its size is read. Raises ``ImageError``, whose text
    begins without the file's name, and ``OSError``.
    """
    if path.stat().st_size > LARGEST_ARRAY:
        raise ImageError(f"more than {LARGEST_ARRAY:,} bytes. Cut it first")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, TypeError, SyntaxError) as error:
        raise ImageError("not an array that numpy saved. Replace or remove it") from error
    if stored.dtype != np.uint8 or stored.ndim not in (2, 3) or 0 in stored.shape:
        raise ImageError(
            f"an array of {stored.dtype} {stored.shape}. Save pictures as uint8 (h, w, channels)"
        )
    pixels = np.array(stored if stored.ndim == 3 else stored[..., None])
    if pixels.shape[2] != channels:
        raise ImageError(
            f"{pixels.shape[2]} channels, not {channels}. Give arrays of {channels} channels"
        )
    return pixels


def write_array(path: Path, pixels: Pixels) -> None:
    """Write uint8 (h, w, channels) whole or not at all."""
    content = io.BytesIO()
    np.save(content, pixels, allow_pickle=False)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
