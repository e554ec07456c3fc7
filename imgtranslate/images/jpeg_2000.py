"""JPEG 2000 that Pillow decodes to wrong colours, by imagecodecs."""

from typing import BinaryIO

import numpy as np
from PIL import Image

from imgtranslate.errors import ImageError
from imgtranslate.images.picture import WHITES, Picture

_START = b"\xff\x4f\xff\x51"  # of the codestream, and of its segment with the sizes
_BITS = 42  # the place of the bits of the first channel, from the start


def is_wrong_in_pillow(image: Image.Image, head: bytes) -> bool:
    """Return whether Pillow decodes this file wrongly, by its first bytes.

    Pillow wraps white of more than 8 bits around to black, ignores the order of channels
    (``cdef``), and mixes up the colours of a palette.
    """
    if image.format != "JPEG2000" or image.mode not in ("P", "RGB", "RGBA"):
        return False
    bits = _bits(head)
    return bits > 8 or (bits == 8 and (image.mode == "P" or b"cdef" in head))


def read_jpeg_2000(file: BinaryIO, head: bytes) -> Picture:
    """Read colours of 8 or more bits, optionally with alpha."""
    import imagecodecs

    file.seek(0)
    samples = imagecodecs.jpeg2k_decode(file.read())
    bits = _bits(head)
    depth = np.dtype(np.uint8 if bits == 8 else np.uint16)
    if samples.dtype != depth or samples.ndim != 3 or samples.shape[2] not in (3, 4):
        raise ImageError(f"JPEG 2000 of {samples.dtype} is not supported. Convert it to PNG first")
    white = WHITES[depth.name]
    if bits not in (8, 16):
        samples = np.rint(samples * (white / (2**bits - 1))).astype(depth)
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    return Picture(pixels=samples[..., :3], white=white, alpha=alpha)


def _bits(head: bytes) -> int:
    """Return the bits of the first channel; 8 if they are not found."""
    start = head.find(_START)
    if not 0 <= start < len(head) - _BITS:
        return 8
    return (head[start + _BITS] & 127) + 1
