"""The formats that can be written, their capabilities and options, lossless where possible."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from imgtranslate.images.arrays import ARRAY_DEPTHS, ARRAY_SUFFIX
from imgtranslate.images.picture import Picture


@dataclass(frozen=True, kw_only=True)
class Writer:
    """The capabilities of a format, and the options with which Pillow writes it."""

    file_format: str  # Pillow's name of the format
    has_alpha: bool = False
    has_frames: bool = False
    once: int | None = None  # loop count that plays an animation once
    most_channels: int = 4
    longest_side: int = 2**31 - 1  # px
    depths: tuple[str, ...] = ("uint8",)
    grey_depths: tuple[str, ...] = ("uint8",)  # for grey without alpha
    exif_limit: int = 0  # bytes
    xmp_limit: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    lossy: Mapping[str, Any] | None = None  # more options if a quality is given

    def depth(self, picture: Picture) -> np.dtype[Any]:
        """Return the depth of a picture, or the nearest depth that the format can hold."""
        grey = picture.pixels.shape[2] == 1 and picture.alpha is None
        offered = {*self.depths, *(self.grey_depths if grey else ())}
        wanted = picture.pixels.dtype.name
        nearest = (wanted, *_NEAREST.get(wanted, ()), "uint8")
        return np.dtype(next(name for name in nearest if name in offered))


_NEAREST = {"float16": ("float32", "uint16"), "float32": ("uint16",), "int32": ("uint16",)}

_LARGE = 2**24
_JPEG = Writer(
    file_format="JPEG",
    longest_side=65_500,
    exif_limit=65_533,
    xmp_limit=65_504,  # and its namespace, as much again
    options={"quality": 95, "subsampling": "4:4:4"},
    lossy={},
)
_JPEG_2000 = Writer(file_format="JPEG2000", has_alpha=True)
_PNG = Writer(
    file_format="PNG",
    has_alpha=True,
    has_frames=True,
    once=1,
    depths=("uint8", "uint16"),
    exif_limit=_LARGE,
    xmp_limit=_LARGE,
)
_PPM = Writer(file_format="PPM", grey_depths=("uint8", "uint16"))
_SGI = Writer(file_format="SGI", has_alpha=True)
_TIFF = Writer(
    file_format="TIFF",
    has_alpha=True,
    has_frames=True,
    most_channels=2**16 - 1,
    depths=("uint8", "uint16", "int32", "float16", "float32"),
    exif_limit=_LARGE,
    xmp_limit=_LARGE,
)
_WEBP = Writer(
    file_format="WEBP",
    longest_side=16_383,
    has_alpha=True,
    has_frames=True,
    once=1,
    exif_limit=_LARGE,
    xmp_limit=_LARGE,
    options={"lossless": True, "exact": True},
    lossy={"lossless": False},
)
_AVIF = replace(_WEBP, file_format="AVIF", longest_side=65_535, options=_JPEG.options, lossy={})

WRITERS: Mapping[str, Writer] = {
    ARRAY_SUFFIX: Writer(
        file_format="NPY", has_alpha=True, most_channels=2**31, depths=ARRAY_DEPTHS
    ),
    ".apng": _PNG,
    ".avif": _AVIF,
    ".bmp": Writer(file_format="BMP"),
    ".gif": Writer(file_format="GIF", has_alpha=True, has_frames=True, longest_side=65_535),
    ".j2k": _JPEG_2000,
    ".jfif": _JPEG,
    ".jp2": _JPEG_2000,
    ".jpe": _JPEG,
    ".jpeg": _JPEG,
    ".jpg": _JPEG,
    ".pcx": Writer(file_format="PCX"),
    ".pgm": _PPM,
    ".png": _PNG,
    ".pnm": _PPM,
    ".ppm": _PPM,
    ".rgb": _SGI,
    ".rgba": _SGI,
    ".sgi": _SGI,
    ".tga": Writer(file_format="TGA", has_alpha=True),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _WEBP,
}
