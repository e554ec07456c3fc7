"""TIFF of any depth and number of channels, in pages; Pillow does not write most of these."""

import itertools
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from imgtranslate.images.metadata import DESCRIPTIVE, EXIF_IFD, GPS_IFD

_STRIP = 2**18  # bytes of a strip before it is packed, about
_DEFLATE, _HORIZONTAL, _NO_PREDICTOR = 8, 2, 1
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
_UNASSOCIATED, _UNSPECIFIED = 2, 0  # what an extra channel means: alpha, or anything
_LARGEST = 2**32  # bytes; offsets have 32 bits


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """One page: (h, w, c) of 8, 16 or 32 bits, of which the last may be alpha."""

    samples: NDArray[Any]
    has_alpha: bool
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None


def write_tiff(file: BinaryIO, pages: Iterable[Page]) -> None:
    """Write pages one after the other, packed by deflate.

    Raises ``ValueError`` beyond 4 GB.
    """
    file.write(b"II*\0\0\0\0\0")
    link = 4  # where the offset of the next directory goes
    for page in pages:
        strips = _strips(page.samples)
        tags, offset = _tags(page, strips), file.tell()
        directory = tags.tobytes(offset)
        if offset + len(directory) + sum(map(len, strips)) >= _LARGEST:
            raise ValueError("more than 4 GB, which TIFF cannot hold")
        file.writelines([directory, *strips, b"\0" * (sum(map(len, strips)) % 2)])
        file.seek(link)
        file.write(struct.pack("<I", offset))
        file.seek(0, 2)
        link = offset + 2 + 12 * len(tags)


def _tags(page: Page, strips: Sequence[bytes]) -> ImageFileDirectory_v2:
    """The directory of a page; its strips follow it, and Pillow counts their places from there."""
    height, width, channels = page.samples.shape
    colours = 3 if channels - page.has_alpha >= 3 else 1
    tags = ImageFileDirectory_v2()
    for tag in _LONG:
        tags.tagtype[tag] = 4
    tags[256], tags[257], tags[277] = width, height, channels
    tags[258] = (page.samples.dtype.itemsize * 8,) * channels
    tags[259], tags[262], tags[284] = _DEFLATE, 2 if colours == 3 else 1, 1
    tags[273] = tuple(itertools.accumulate(map(len, strips[:-1]), initial=0))
    tags[278], tags[279] = _rows(page.samples), tuple(map(len, strips))
    tags[317] = _HORIZONTAL if _is_integer(page.samples) else _NO_PREDICTOR
    tags[339] = (_SAMPLE_FORMATS[page.samples.dtype.kind],) * channels
    if channels > colours:
        others = (_UNSPECIFIED,) * (channels - colours - page.has_alpha)
        tags[338] = (*((_UNASSOCIATED,) if page.has_alpha else ()), *others)
    _describe(tags, page)
    return tags


_LONG = (273, 278, 279)


def _describe(tags: ImageFileDirectory_v2, page: Page) -> None:
    if page.icc_profile:
        tags.tagtype[34675], tags[34675] = 7, page.icc_profile
    if page.xmp:
        tags.tagtype[700], tags[700] = 1, page.xmp
    if page.exif:
        exif = Image.Exif()
        exif.load(page.exif)
        for tag in (tag for tag in DESCRIPTIVE if tag in exif):
            tags[tag] = exif.get_ifd(tag) if tag in (EXIF_IFD, GPS_IFD) else exif[tag]


def _strips(samples: NDArray[Any]) -> list[bytes]:
    rows = _rows(samples)
    parts = (samples[top : top + rows] for top in range(0, len(samples), rows))
    return [zlib.compress(_little(_predicted(part))) for part in parts]


def _rows(samples: NDArray[Any]) -> int:
    return max(1, _STRIP // max(1, int(samples[0].nbytes)))


def _is_integer(samples: NDArray[Any]) -> bool:
    return samples.dtype.kind != "f"


def _predicted(part: NDArray[Any]) -> NDArray[Any]:
    """Each integer less that of the pixel to the left, which packs better."""
    if not _is_integer(part):
        return part
    less = part.copy()
    less[:, 1:] -= part[:, :-1]
    return less


def _little(part: NDArray[Any]) -> bytes:
    return part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes()
