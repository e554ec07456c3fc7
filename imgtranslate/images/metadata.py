"""Metadata beside the pixels: orientation, EXIF, XMP."""

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image

from imgtranslate.images.opening import DECODER_ERRORS
from imgtranslate.images.picture import AnyPixels, Picture

ORIENTATION, EXIF_IFD, GPS_IFD = 0x0112, 0x8769, 0x8825

# The TIFF tags that describe the picture rather than the layout of the file
DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432, EXIF_IFD, GPS_IFD)

_COLOUR_SPACE, _SRGB = 0xA001, 1
_LIMIT = 2**24  # bytes of EXIF or XMP; real files have fewer
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:=["\']|>)\s*)[0-9]')


def exif_of(image: Image.Image) -> Image.Exif:
    """Return the EXIF tags of an image; no tags if the block is damaged."""
    try:
        return image.getexif()
    except DECODER_ERRORS:  # the picture itself may be intact
        return Image.Exif()


def orientation_of(exif: Image.Exif) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) if it is damaged or absent."""
    try:
        return valid_orientation(exif.get(ORIENTATION))
    except DECODER_ERRORS:
        return 1


def valid_orientation(found: object) -> int:
    """Return an orientation from 1 to 8 unchanged, and 1 for anything else."""
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(picture: Picture, orientation: int) -> Picture:
    """Rotate or mirror the pixels and alpha to upright."""
    alpha = None if picture.alpha is None else _turned(picture.alpha, orientation)
    return replace(picture, pixels=_turned(picture.pixels, orientation), alpha=alpha)


def descriptive_tags(exif: Image.Exif) -> Iterable[tuple[int, object]]:
    """Yield the tags that a TIFF keeps; directories are dicts."""
    for tag in DESCRIPTIVE:
        if tag in exif:
            yield tag, exif.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else exif[tag]


def exif_block(exif: Image.Exif, *, of_tiff: bool) -> bytes | None:
    """Return the EXIF block without orientation and thumbnail, which are no longer valid.

    ``of_tiff``: leave out the tags that describe the layout of a TIFF file.
    """
    try:
        if of_tiff:
            kept = Image.Exif()
            kept.update(descriptive_tags(exif))
            block = kept.tobytes() if kept else b""
        else:
            orientation = exif.pop(ORIENTATION, None)
            block = exif.tobytes() if exif else b""
            if orientation is not None:
                exif[ORIENTATION] = orientation  # the image may belong to the user
    except DECODER_ERRORS:
        return None
    return block if 0 < len(block) <= _LIMIT else None


def srgb_exif(block: bytes | None) -> bytes | None:
    """Set the colour space of an EXIF block to sRGB, if it names one."""
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


def clean_xmp(found: object) -> bytes | None:
    """Return XMP as bytes with the orientation reset; None if it is not XMP."""
    packet = found.encode(errors="replace") if isinstance(found, str) else found
    if not isinstance(packet, bytes) or not 0 < len(packet) <= _LIMIT:
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _turned(pixels: AnyPixels, orientation: int) -> AnyPixels:
    """Rotate or mirror an array (h, w, ...) to upright."""
    swapped = np.swapaxes(pixels, 0, 1) if orientation >= 5 else pixels
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(swapped[::rows, ::columns])
