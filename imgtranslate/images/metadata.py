"""What a file says beside its pixels: the way up, EXIF, XMP."""

import re

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from imgtranslate.images.opening import DECODER_ERRORS
from imgtranslate.images.values import AnyPixels

ORIENTATION, EXIF_IFD, GPS_IFD = 0x0112, 0x8769, 0x8825

# The tags of a TIFF that speak of the picture, not of how the file is laid out.
DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432, EXIF_IFD, GPS_IFD)

_COLOUR_SPACE, _SRGB = 0xA001, 1
_LIMIT = 2**24  # bytes of EXIF or XMP; nobody writes more in earnest
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:=["\']|>)\s*)[0-9]')


def orientation_of(image: Image.Image) -> int:
    """How the stored pixels are turned, 1 to 8 as in EXIF; 1 where that is damaged or absent."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except DECODER_ERRORS:  # the EXIF block is damaged, the picture is not
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned(pixels: AnyPixels, orientation: int) -> AnyPixels:
    """Turn (h, w, ...) upright."""
    swapped = np.swapaxes(pixels, 0, 1) if orientation >= 5 else pixels
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(swapped[::rows, ::columns])


def exif_of(image: Image.Image) -> bytes | None:
    """The EXIF block without what no longer holds: the orientation and the thumbnail."""
    try:
        exif = _described(image)
        exif.pop(ORIENTATION, None)
        block = exif.tobytes() if exif else b""
    except DECODER_ERRORS:
        return None
    return block if 0 < len(block) <= _LIMIT else None


def srgb_exif(block: bytes | None) -> bytes | None:
    """The EXIF block of pixels that are sRGB now, which must not name another space."""
    if block is None:
        return None
    try:
        exif = Image.Exif()
        exif.load(block)
        if EXIF_IFD not in exif or _COLOUR_SPACE not in exif.get_ifd(EXIF_IFD):
            return block
        exif.get_ifd(EXIF_IFD)[_COLOUR_SPACE] = _SRGB
        return exif.tobytes()
    except DECODER_ERRORS:
        return block


def xmp_of(image: Image.Image) -> bytes | None:
    """The XMP packet, in which the orientation is reset."""
    return cleaned_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def cleaned_xmp(found: object) -> bytes | None:
    """XMP as bytes, the orientation reset; None for what is none."""
    packet = found.encode(errors="replace") if isinstance(found, str) else found
    if not isinstance(packet, bytes) or not 0 < len(packet) <= _LIMIT:
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _described(image: Image.Image) -> Image.Exif:
    """The EXIF of a file; of a TIFF without the layout of its pixels."""
    exif = image.getexif()
    if not isinstance(image, TiffImageFile):
        return exif
    described = Image.Exif()
    for tag in DESCRIPTIVE:
        if tag in exif:
            described[tag] = exif.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else exif[tag]
    return described
