"""TIFF that Pillow does not decode: colours of floats, many channels, channel after channel."""

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from imgtranslate.errors import ImageError
from imgtranslate.images.depth import white_of
from imgtranslate.images.limits import refuse_bomb
from imgtranslate.images.metadata import DESCRIPTIVE, EXIF_IFD, GPS_IFD
from imgtranslate.images.values import rounded

_HEADS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16}  # and their sizes; the last is BigTIFF
_KINDS = {1: "u", 2: "i", 3: "f"}
_DEPTHS = ("uint8", "uint16", "int16", "int32", "uint32", "float16", "float32", "float64")
_WIDER = {"float64": np.float32, "int16": np.int32, "uint32": np.int32}  # what they are read as
_PLAIN, _DEFLATES = 1, (8, 32946)
_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3  # predictors
_SEPARATE = 2  # of planar configuration: channel after channel
_PREMULTIPLIED, _STRAIGHT = 1, 2  # what an extra channel may mean: alpha of two kinds


@dataclass(frozen=True, kw_only=True)
class Layers:
    """A page as its directory describes it."""

    tags: ImageFileDirectory_v2
    dtype: np.dtype[Any]  # as stored
    shape: tuple[int, int, int]  # h, w, c

    @property
    def colours(self) -> int:
        """How many channels come before alpha and others."""
        return 3 if self.tags.get(262) == 2 else 1

    @property
    def has_alpha(self) -> bool:
        """Whether there is alpha, and nothing else, beside grey or colour."""
        extra = self.tags.get(338, ())
        known = extra in ((_PREMULTIPLIED,), (_STRAIGHT,))
        return known and self.shape[2] == self.colours + 1

    @property
    def exif(self) -> bytes | None:
        """What it says of the picture in plain tags, as an EXIF block."""
        exif = Image.Exif()
        for tag in (tag for tag in DESCRIPTIVE if tag not in (EXIF_IFD, GPS_IFD)):
            if tag in self.tags:
                exif[tag] = self.tags[tag]
        return exif.tobytes() if exif else None


def find_layers(file: BinaryIO, *, allow_huge: bool) -> Layers | None:
    """The first page if it is one that Pillow does not decode; None for any other file."""
    head = _head(file)
    return next(_pages(file, head, allow_huge=allow_huge), None) if head else None


def read_layers(file: BinaryIO, *, allow_huge: bool) -> Iterator[tuple[Layers, NDArray[Any]]]:
    """All pages of such a file one after the other, each with its samples (h, w, c)."""
    for layers in _pages(file, _head(file), allow_huge=allow_huge):
        samples = _narrowed(_samples(file, layers))
        premultiplied = layers.has_alpha and _is_premultiplied(layers.tags)
        yield layers, _straight(samples) if premultiplied else samples


def _head(file: BinaryIO) -> bytes:
    """The beginning of a TIFF; nothing of any other file."""
    kind = file.read(4)
    size = _HEADS.get(kind, 0)
    head = kind + file.read(max(size - 4, 0))
    return head if size == len(head) else b""


def _narrowed(samples: NDArray[Any]) -> NDArray[Any]:
    """Depths that pictures do not have, as the next that they have."""
    if samples.dtype.name not in _WIDER:
        return samples
    if samples.dtype == np.uint32:
        white_of(samples.astype(np.int64))
    return samples.astype(_WIDER[samples.dtype.name])


def _straight(samples: NDArray[Any]) -> NDArray[Any]:
    """Undo the multiplication of the colours by alpha; what is clear becomes black.

    Colours above alpha, which light has, are not raised beyond white.
    """
    white = white_of(samples)
    colours, alpha = samples[..., :-1].astype(np.float64), samples[..., -1:] / white
    divided = np.divide(colours, alpha, out=np.zeros_like(colours), where=alpha > 0)
    most = np.maximum(colours, white)
    straight = rounded(np.minimum(divided, most), white=white, dtype=samples.dtype)
    return np.concatenate([straight, samples[..., -1:]], axis=2)


def _is_premultiplied(tags: ImageFileDirectory_v2) -> bool:
    return bool(tags.get(338) == (_PREMULTIPLIED,))


def _pages(file: BinaryIO, head: bytes, *, allow_huge: bool) -> Iterator[Layers]:
    """As long as the pages are of this kind; a chain that comes back to a page ends."""
    tags, seen = ImageFileDirectory_v2(head), set[int]()
    offset = tags.next
    while offset and offset not in seen:
        seen.add(offset)
        tags = ImageFileDirectory_v2(head)
        file.seek(offset)
        tags.load(file)
        offset = tags.next
        layers = _described(tags)
        if layers is None:
            if len(seen) > 1:
                raise ImageError("pages of kinds that do not go together. Split it first")
            return
        height, width, channels = layers.shape
        refuse_bomb((width, height * -(-channels // 4)), allow_huge=allow_huge)
        yield layers


def _described(tags: ImageFileDirectory_v2) -> Layers | None:
    channels = tags.get(277, 1)
    bits, formats = set(tags.get(258, (1,))), set(tags.get(339, (1,)))
    if len(bits) != 1 or len(formats) != 1 or tags.get(262) not in (1, 2):
        return None
    name = f"{_KINDS.get(min(formats), 'V')}{min(bits) // 8}"
    if not _is_foreign(tags, bits=min(bits), sample_format=min(formats), channels=channels):
        return None
    order = "<" if tags.prefix == b"II" else ">"
    shape = (tags.get(257, 0), tags.get(256, 0), channels)
    try:
        dtype = np.dtype(order + name)
    except TypeError:
        return None
    if dtype.name not in _DEPTHS or min(shape) < 1:
        return None
    return Layers(tags=tags, dtype=dtype, shape=shape)


def _is_foreign(
    tags: ImageFileDirectory_v2, *, bits: int, sample_format: int, channels: int
) -> bool:
    """Whether Pillow does not know it, or reads it wrong."""
    if channels == 1:
        swapped = tags.prefix == b"MM" and tags.get(259, _PLAIN) != _PLAIN
        if swapped and (bits == 32 or (bits == 16 and sample_format == 2)):
            return True
        return sample_format == 3 and bits != 32
    if sample_format != 1 or channels > 4 or bits > 16:
        return True
    if _is_premultiplied(tags) and (channels == 2 or bits == 16):
        return tags.get(259, _PLAIN) in (_PLAIN, *_DEFLATES)
    if tags.get(284, 1) == _SEPARATE:
        return bits > 8 or channels == 2
    return channels == 2 and bits > 8


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """How a page is cut into strips or tiles."""

    tall: int
    wide: int
    planes: int  # 1, or as many as there are channels
    offsets: tuple[int, ...]
    counts: tuple[int, ...]


def _parts(layers: Layers) -> _Parts:
    tags, (height, width, channels) = layers.tags, layers.shape
    tiled = 324 in tags
    parts = _Parts(
        tall=int((tags[323] if tiled else tags.get(278, height)) or 0),
        wide=int((tags[322] if tiled else width) or 0),
        planes=channels if tags.get(284, 1) == _SEPARATE else 1,
        offsets=tags[324 if tiled else 273],
        counts=tags[325 if tiled else 279],
    )
    if not (1 <= parts.tall < 2**32 and 1 <= parts.wide < 2**31):
        raise ImageError("damaged: strips of no size. Replace or remove it")
    return parts if tiled else replace(parts, tall=min(parts.tall, height))


def _samples(file: BinaryIO, layers: Layers) -> NDArray[Any]:
    height, width, channels = layers.shape
    parts, tiled = _parts(layers), 324 in layers.tags
    samples = np.zeros(layers.shape, layers.dtype.newbyteorder("="))
    rows, columns = range(0, height, parts.tall), range(0, width, parts.wide)
    places = itertools.product(range(parts.planes), rows, columns)
    for (plane, y, x), offset, count in zip(places, parts.offsets, parts.counts, strict=True):
        tall = parts.tall if tiled else min(parts.tall, height - y)
        file.seek(offset)
        shape = (tall, parts.wide, channels // parts.planes)
        part = _unpacked(file.read(count), layers, shape)[: height - y, : width - x]
        bands = slice(plane, plane + 1) if parts.planes > 1 else slice(None)
        samples[y : y + part.shape[0], x : x + part.shape[1], bands] = part
    return samples


def _unpacked(data: bytes, layers: Layers, shape: tuple[int, int, int]) -> NDArray[Any]:
    """The samples of one strip or tile."""
    size = shape[0] * shape[1] * shape[2] * layers.dtype.itemsize
    compression = layers.tags.get(259, _PLAIN)
    if compression in _DEFLATES:
        data = zlib.decompressobj().decompress(data, size)
    elif compression != _PLAIN:
        raise ImageError(
            f"TIFF of {shape[2]} channels of {layers.dtype.name}, in a packing that is not read. "
            "Save it without compression or with deflate"
        )
    if len(data) < size:
        raise ImageError("damaged: a strip is cut short. Replace or remove it")
    predictor = layers.tags.get(317, 1)
    if predictor == _FLOAT_DIFFERENCES:
        return _from_float_differences(data[:size], layers.dtype, shape)
    samples = np.frombuffer(data, layers.dtype, count=size // layers.dtype.itemsize).reshape(shape)
    if predictor != _DIFFERENCES:
        return samples
    return np.add.accumulate(samples.astype(samples.dtype.newbyteorder("=")), axis=1)


def _from_float_differences(
    data: bytes, dtype: np.dtype[Any], shape: tuple[int, int, int]
) -> NDArray[Any]:
    """Undo Adobe's predictor for floats: bytes of one weight side by side, then differences."""
    rows, columns, channels = shape
    steps = np.frombuffer(data, np.uint8).reshape(rows, -1, channels)
    planes = np.add.accumulate(steps, axis=1, dtype=np.uint8)
    weights = planes.reshape(rows, dtype.itemsize, columns * channels)
    values = np.ascontiguousarray(weights.transpose(0, 2, 1)).view(dtype.newbyteorder(">"))
    return values.reshape(shape)
