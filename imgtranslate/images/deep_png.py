"""PNG with 16 bits per channel; Pillow reads and writes only grey of 16 bits."""

import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from PIL.PngImagePlugin import putchunk

from imgtranslate.images.picture import Picture, with_alpha_channel

_BESIDE = 2**26  # most bytes of a PNG besides its pixels

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels, including alpha
_PIECE = 2**20  # largest size of an IDAT chunk, in bytes
_SUB = 1  # the filter that stores the difference to the pixel on the left


def read_deep_png(file: BinaryIO, size: tuple[int, int]) -> Picture:
    """Read 16-bit colour, or grey with alpha; one colour may be marked as transparent."""
    import imagecodecs

    file.seek(0)
    samples = imagecodecs.png_decode(file.read(8 * size[0] * size[1] + _BESIDE))
    if samples.shape[2] == 3:
        return Picture(pixels=samples, white=65_535.0)
    return Picture(pixels=samples[..., :-1], white=65_535.0, alpha=samples[..., -1])


def write_deep_png(file: BinaryIO, picture: Picture, metadata: Mapping[str, bytes]) -> None:
    """Write 16 bits per channel with the profile, EXIF and XMP in ``metadata``."""
    samples = with_alpha_channel(picture)
    height, width, channels = samples.shape
    colour_type = _COLOUR_TYPES[channels]
    file.write(b"\x89PNG\r\n\x1a\n")
    putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if "icc_profile" in metadata:
        putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(metadata["icc_profile"]))
    if "exif" in metadata:
        putchunk(file, b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0"))
    if "xmp" in metadata:
        putchunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0", metadata["xmp"])
    packer, waiting = zlib.compressobj(), bytearray()
    for row in samples:
        stored = row.astype(">u2").view(np.uint8).reshape(width, -1)
        less = stored.copy()
        less[1:] -= stored[:-1]
        waiting += packer.compress(bytes([_SUB]) + less.tobytes())
        while len(waiting) >= _PIECE:
            putchunk(file, b"IDAT", bytes(waiting[:_PIECE]))
            del waiting[:_PIECE]
    putchunk(file, b"IDAT", bytes(waiting) + packer.flush())
    putchunk(file, b"IEND")
