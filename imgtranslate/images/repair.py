"""Repair of files whose pixels are whole: faulty metadata of a PNG, a missing end of a JPEG."""

import io
import re
import zlib
from typing import BinaryIO

import numpy as np
from PIL import Image

from imgtranslate.images.opening import DECODER_ERRORS

_LARGEST_FILE = 2**28  # bytes
_LARGEST_TEXT = 2**20  # bytes of a text or profile after decompression, as in Pillow

_PNG, _JPEG, _END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"
_PIXEL_CHUNKS = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}  # ancillary, but they change the pixels
_SCAN = re.compile(rb"\xff\xda\0.([\1-\4])", re.DOTALL)  # and its number of components


def repaired(file: BinaryIO) -> tuple[BinaryIO, str] | None:
    """Return a copy that Pillow can decode, and what it lacks; None if pixels are missing."""
    file.seek(0)
    content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        return None
    if content.startswith(_PNG):
        content, dropped = _without_faulty_chunks(content)
        return (io.BytesIO(content), f"read without its {dropped}") if dropped else None
    if content.startswith(_JPEG) and _has_all_pixels(content):
        return io.BytesIO(content + _END), "its end marker is missing, but no pixels"
    return None


def _without_faulty_chunks(content: bytes) -> tuple[bytes, str]:
    """Leave out ancillary chunks that are damaged or too large; return their names, too."""
    kept, dropped, place = [_PNG], list[str](), len(_PNG)
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        kind, data = content[place + 4 : place + 8], content[place + 8 : end - 4]
        whole = content[end - 4 : end] == zlib.crc32(kind + data).to_bytes(4)
        if kind[0] & 32 and kind not in _PIXEL_CHUNKS and not (whole and _is_usable(kind, data)):
            dropped.append(kind.decode("ascii", "replace"))
        else:
            kept.append(content[place:end])
        place = end
    names = " and ".join(dict.fromkeys(dropped))
    return b"".join([*kept, content[place:]]), f"faulty or too large {names}" if names else ""


def _is_usable(kind: bytes, data: bytes) -> bool:
    """Return whether Pillow accepts the length of an ancillary chunk and its text or profile."""
    match kind:
        case b"iCCP" | b"zTXt":
            packed = data.partition(b"\0")[2]
            method, packed = packed[:1], packed[1:]
        case b"iTXt":
            flags = data.partition(b"\0")[2]
            method = flags[1:2]
            packed = flags[2:].split(b"\0", 2)[-1] if flags[:1] == b"\1" else b""
        case _:
            shortest = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}.get(kind, 0)
            return len(data) >= shortest
    if method not in (b"\0", b""):
        return False
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, _LARGEST_TEXT)
    except zlib.error:
        return False
    return not unpacker.unconsumed_tail


def _has_all_pixels(content: bytes) -> bool:
    """Return whether the pixels of a JPEG without an end do not depend on what follows its data.

    A decoder makes missing pixels of the bytes that follow. These are tried: nothing, and several
    kinds of noise with the restart marker that is due.
    """
    restarts = re.findall(rb"\xff[\xd0-\xd7]", content)
    restart = bytes([0xFF, 0xD0 + (restarts[-1][1] + 1) % 8 if restarts else 0xD0])
    whole = content.removesuffix(b"\xff")
    try:
        with Image.open(io.BytesIO(content + _END), formats=["JPEG"]) as image:
            if "progressive" in image.info and not _has_all_bits(content):
                return False
            pixels = np.asarray(image)
        for noise in (b"\x55" * 99, b"\xaa" * 99, b"\xfe" * 99):
            other = io.BytesIO(whole + noise + restart + noise + _END)
            with Image.open(other, formats=["JPEG"]) as image:
                if not np.array_equal(pixels, np.asarray(image)):
                    return False
    except DECODER_ERRORS:
        return False
    return True


def _has_all_bits(content: bytes) -> bool:
    """Return whether the scans of a progressive JPEG hold every bit of every coefficient."""
    missing: dict[int, set[int]] = {}  # component: coefficients
    for scan in _SCAN.finditer(content, content.find(b"\xff\xc2")):
        parts = content[scan.end() : scan.end() + 2 * scan[1][0] + 3]
        if len(parts) < 5:
            return False
        first, last, bits = parts[-3:]
        for component in parts[:-3:2]:
            coefficients = missing.setdefault(component, set(range(64)))
            if bits & 15 == 0:
                coefficients -= set(range(first, last + 1))
    return bool(missing) and not any(missing.values())
