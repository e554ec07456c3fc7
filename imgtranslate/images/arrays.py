"""Pictures with any number of channels in any depth, as ``.npy`` files (h, w, c)."""

import math
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from imgtranslate.errors import ImageError, counted
from imgtranslate.images.opening import DECODER_ERRORS, refuse_bomb

ARRAY_SUFFIX = ".npy"
ARRAY_MAGIC = b"\x93NUMPY"  # the first bytes of a file
ARRAY_DEPTHS = ("uint8", "uint16", "int32", "float16", "float32")
LARGEST_ARRAY = 2**33  # bytes

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_array(file: BinaryIO, *, channels: int, allow_huge: bool) -> NDArray[Any]:
    """Read an array (h, w, channels), or (h, w) for one channel, in its own depth.

    The header and the pixel limit are checked before any sample is read. Raises ``OSError``, or
    ``ImageError`` without the name of the file.
    """
    try:
        read_header = _HEADERS[np.lib.format.read_magic(file)]
        shape, fortran, dtype = read_header(file)
    except DECODER_ERRORS as error:
        raise _no_array() from error
    if dtype.name not in ARRAY_DEPTHS or len(shape) not in (2, 3) or min(shape) < 1:
        raise ImageError(
            f"an array of {dtype} {shape}. "
            f"Save pictures as {', '.join(ARRAY_DEPTHS)} (h, w, channels)"
        )
    found = shape[2] if len(shape) == 3 else 1
    if found != channels:
        raise ImageError(
            f"{counted(found, 'channel')}, not {channels}. Save an array with {channels}"
        )
    refuse_bomb((shape[1], shape[0] * -(-found // 4)), allow_huge=allow_huge)
    size = math.prod(shape) * dtype.itemsize
    start = file.tell()
    if file.seek(0, 2) - start < size:
        raise _no_array()
    if size > LARGEST_ARRAY:
        raise ImageError(f"more than {LARGEST_ARRAY:,} bytes. Split it into smaller pictures")
    file.seek(start)
    samples = np.frombuffer(file.read(size), dtype).reshape(shape, order="F" if fortran else "C")
    return np.array(samples.reshape(*shape[:2], channels), dtype=dtype.newbyteorder("="), order="C")


def _no_array() -> ImageError:
    return ImageError("not a numpy array. Replace or remove it")
