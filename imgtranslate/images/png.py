"""PNG with 16 bits in each channel, which Pillow reads but does not write in colour."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels, alpha among them
_PIECE = 2**20  # bytes of an IDAT chunk, at most
_SUB = 1  # the filter: each byte less that of the pixel to the left


def write_png(
    file: BinaryIO,
    samples: NDArray[np.uint16],
    *,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> None:
    """Write uint16 (h, w, 1 to 4); of 2 and 4 channels the last is alpha."""
    height, width, channels = samples.shape
    file.write(SIGNATURE)
    _chunk(
        file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    )
    if icc_profile:
        _chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if exif:
        _chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if xmp:
        _chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    for piece in _compressed(samples):
        _chunk(file, b"IDAT", piece)
    _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + name + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


def _compressed(samples: NDArray[np.uint16]) -> Iterator[bytes]:
    packer = zlib.compressobj()
    waiting = bytearray()
    for row in samples:
        waiting += packer.compress(_filtered(row))
        while len(waiting) >= _PIECE:
            yield bytes(waiting[:_PIECE])
            del waiting[:_PIECE]
    yield bytes(waiting) + packer.flush()


def _filtered(row: NDArray[np.uint16]) -> bytes:
    stored = row.astype(">u2").view(np.uint8).reshape(len(row), -1)
    less = stored.copy()
    less[1:] -= stored[:-1]
    return bytes([_SUB]) + less.tobytes()
