"""TIFF files with pages of any depth and number of channels, by tifffile.

Pillow decodes palettes, CMYK, YCbCr, fax, and up to 8 bits. tifffile decodes the pages that Pillow
does not know or reduces to 8 bits: more bits, floats and more channels.
"""

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, ImagePalette, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from imgtranslate.errors import ImageError, counted
from imgtranslate.images.metadata import (
    EXIF_IFD,
    GPS_IFD,
    ORIENTATION,
    clean_xmp,
    descriptive_tags,
    exif_block,
    upright,
    valid_orientation,
)
from imgtranslate.images.opening import DECODER_ERRORS, refuse_bomb
from imgtranslate.images.picture import AnyPixels, Picture, rounded, white_of, with_alpha_channel
from imgtranslate.images.pil import fitting_profile, picture_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffWriter

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of BigTIFF

# The EXIF and GPS directories, and the tags that reserve their places until they are written
_DIRECTORIES = {EXIF_IFD: EXIF_IFD - 1, GPS_IFD: GPS_IFD - 1}
_DEPTHS = ("uint8", "uint16", "int16", "int32", "uint32", "float16", "float32", "float64")
# The depth to which each is converted
_WIDER = {"float64": np.float32, "int16": np.int32, "uint32": np.int32}
# Uncompressed, LZW, deflate (twice), PackBits, LZMA, Zstandard. These decompress to at most the
# requested size; only its decoder knows the size of an embedded JPEG and similar formats.
_COMPRESSIONS = (1, 5, 8, 32946, 32773, 34925, 50000)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3  # photometric interpretations
_CMYK, _YCBCR = 5, 6
_OTHER_COLOURS = {_CMYK: "CMYK", _YCBCR: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "raw"}
_UNSPECIFIED, _PREMULTIPLIED, _STRAIGHT = 0, 1, 2  # of extra samples
_SIGNED = 2  # of the sample format
_SEPARATE = 2  # of the planar configuration: channel after channel
_UNCOMPRESSED = 1
_COLOUR_MAP, _SUBSAMPLING, _XMP = 320, 530, 700
_STRIP = 2**18  # approximate bytes of a strip before compression


def read_tiff(file: BinaryIO, *, allow_huge: bool) -> Iterator[Picture]:
    """Read all pages, upright and in their own colour space."""
    from tifffile import TiffFile

    with TiffFile(file) as tiff, contextlib.ExitStack() as stack:
        image = None
        with contextlib.suppress(UnidentifiedImageError):  # Pillow does not know the first page
            image = stack.enter_context(Image.open(file, formats=["TIFF"]))
        for number, page in enumerate(_pages(tiff)):
            _refuse_large_tile(page, allow_huge=allow_huge)
            _refuse_subsampling(page)
            if image is None or _is_deep(page):
                yield _read_page(file, tiff, page, allow_huge=allow_huge)
            else:
                image.seek(number)
                refuse_bomb(image.size, allow_huge=allow_huge)
                _mend_palette(image)
                try:
                    picture = picture_of(image)
                except DECODER_ERRORS:
                    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
                        raise
                    picture = _read_page(file, tiff, page, allow_huge=allow_huge)
                yield picture


def write_tiff(file: BinaryIO, pictures: Iterable[Picture]) -> None:
    """Write pages, compressed by deflate. Raises ``ValueError`` above 4 GB."""
    from tifffile import TiffWriter

    exifs = []
    with TiffWriter(file, byteorder="<") as writer:
        for picture in pictures:
            exif = Image.Exif()
            if picture.exif:
                exif.load(picture.exif)
            exifs.append(dict(descriptive_tags(exif)))
            _write_page(writer, picture, exifs[-1])
    if any(tag in tags for tags in exifs for tag in _DIRECTORIES):
        _write_directories(file, exifs)


# Reading


def _pages(tiff: "TiffFile") -> Iterator["TiffPage"]:
    """List the pages; a circular chain of pages ends at the first repeated one."""
    from tifffile import TiffPage

    seen = set[int]()
    for page in tiff.pages:
        if not isinstance(page, TiffPage) or page.offset in seen:
            return
        seen.add(page.offset)
        yield page


def _is_deep(page: "TiffPage") -> bool:
    """Return whether Pillow does not know this grey or colour page, or reduces it to 8 bits."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 0
    channels = page.samplesperpixel
    if page.photometric == _CMYK and page.planarconfig == _SEPARATE and bits > 8:
        return True  # Pillow mixes its channels up
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        return False
    if page.sampleformat == _SIGNED:
        return True
    odd = page.planarconfig == _SEPARATE or page.extrasamples == (_PREMULTIPLIED,)
    return bits > 8 or channels > 4 or (channels == 2 and odd)


def _mend_palette(image: Image.Image) -> None:
    """Treat a colour map with values below 256 as 8 bits like libtiff; Pillow would read black."""
    colours = image.tag_v2.get(_COLOUR_MAP, ()) if isinstance(image, TiffImageFile) else ()
    if image.mode == "P" and colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def _read_page(file: BinaryIO, tiff: "TiffFile", page: "TiffPage", *, allow_huge: bool) -> Picture:
    _refuse_claims(file, page, allow_huge=allow_huge)
    samples = _samples(page)
    white = white_of(samples)
    pixels, alpha = _split(samples, page)
    if alpha is not None and page.extrasamples == (_PREMULTIPLIED,):
        pixels = _straight(pixels, alpha, white=white)
    if page.photometric == _PALETTE:
        pixels, white = _coloured(pixels, page), 65_535.0
    if page.photometric == _WHITE_IS_ZERO and samples.dtype.kind != "f":
        pixels = (int(white) - pixels.astype(np.int32)).astype(pixels.dtype)
    picture = Picture(
        pixels=pixels,
        white=white,
        alpha=alpha,
        icc_profile=page.iccprofile,
        exif=exif_block(_exif(file, tiff, page), of_tiff=True),
        xmp=clean_xmp(page.tags.valueof(_XMP)),
        file_format="TIFF",
    )
    return upright(picture, valid_orientation(page.tags.valueof(ORIENTATION)))


def _refuse_large_tile(page: "TiffPage", *, allow_huge: bool) -> None:
    """Refuse a tile with more pixels than a picture may have; a tile is decoded as a whole."""
    if page.is_tiled:
        layers = -(-page.samplesperpixel // 4)
        tile = (page.tilewidth, page.tilelength * page.tiledepth * layers)
        refuse_bomb(tile, allow_huge=allow_huge)


def _refuse_subsampling(page: "TiffPage") -> None:
    """Refuse subsampled colours without compression, which Pillow reads as if they were whole."""
    ycbcr = page.photometric == _YCBCR and page.compression == _UNCOMPRESSED
    if ycbcr and page.tags.valueof(_SUBSAMPLING, default=(2, 2)) != (1, 1):
        raise ImageError("a TIFF with subsampled YCbCr colours is not supported. Save it as RGB")


def _refuse_claims(file: BinaryIO, page: "TiffPage", *, allow_huge: bool) -> None:
    """Raise ``ImageError`` for unsupported pages, or sizes beyond the memory or the file."""
    planes, depth, height, width, contiguous = page.shaped
    channels, kind = planes * contiguous, str(page.dtype or f"{page.bitspersample} bits")
    if kind not in _DEPTHS or depth != 1:
        raise ImageError(
            f"a TIFF with {counted(channels, 'channel')} of {kind} is not supported. "
            "Save it with 8 or 16 bits"
        )
    known = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
    if page.photometric not in known and channels <= 4:
        colours = _OTHER_COLOURS.get(int(page.photometric), "unknown")
        raise ImageError(
            f"a TIFF with {counted(channels, 'channel')} of {kind} in {colours} colours is not "
            "supported. Save it as RGB"
        )
    if page.compression not in _COMPRESSIONS:
        raise ImageError(
            f"a TIFF with {counted(channels, 'channel')} of {kind} in this compression is not "
            "supported. Save it uncompressed or with deflate"
        )
    refuse_bomb((width, height * -(-channels // 4)), allow_huge=allow_huge)
    end = file.seek(0, 2)
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    inside = all(0 < offset < end and 0 < size <= end for offset, size in parts)
    if len(parts) < math.prod(page.chunked) or not inside:
        raise ImageError("damaged: a strip is incomplete. Replace or remove it")


def _samples(page: "TiffPage") -> AnyPixels:
    """Read (h, w, c) in the nearest depth that pictures have."""
    stored = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, h, w, channels of each)
    samples: AnyPixels = np.moveaxis(stored[..., 0], 0, -1) if len(stored) > 1 else stored[0]
    if samples.dtype == np.uint32:
        white_of(samples.astype(np.int64))  # refuses more than 16 bits
    most = {"uint8": 255, "uint16": 65_535}.get(samples.dtype.name, 0)
    used = 2**page.bitspersample - 1
    if used < most and page.photometric != _PALETTE:
        samples = np.rint(samples * (most / used)).astype(samples.dtype)
    depth = _WIDER.get(samples.dtype.name, samples.dtype.newbyteorder("="))
    return samples.astype(depth, copy=False)


def _coloured(indices: AnyPixels, page: "TiffPage") -> AnyPixels:
    """Look up the colours (h, w, 3) in 16 bits of a palette, whose map may have 8 bits."""
    colours = page.colormap
    if colours is None or indices.shape[2] != 1:
        raise ImageError("a TIFF with a palette but without its colours. Save it as RGB")
    if indices.max() >= colours.shape[1]:
        raise ImageError("damaged: an index outside of its palette. Replace or remove it")
    looked_up = np.moveaxis(colours[:, indices[..., 0]], 0, -1).astype(np.uint16)
    return looked_up * np.uint16(257) if colours.max() < 256 else looked_up


def _split(samples: AnyPixels, page: "TiffPage") -> tuple[AnyPixels, AnyPixels | None]:
    """Split off the alpha; RGB of 8 and 16 bits follows the rules of Pillow."""
    colours, extra = 3 if page.photometric == _RGB else 1, page.extrasamples
    if samples.shape[2] != colours + 1:
        return samples, None
    as_pillow = colours == 3 and samples.dtype in (np.uint8, np.uint16)
    if extra in ((_PREMULTIPLIED,), (_STRAIGHT,)) or (as_pillow and extra == ()):
        return samples[..., :-1], samples[..., -1]
    if as_pillow and extra == (_UNSPECIFIED,):
        return samples[..., :-1], None
    return samples, None


def _straight(pixels: AnyPixels, alpha: AnyPixels, *, white: float) -> AnyPixels:
    """Divide premultiplied colours by alpha; transparent pixels become black.

    Results above white are limited to white, or to the stored value if it is larger.
    """
    colours, shares = pixels.astype(np.float64), alpha[..., None] / white
    divided = np.divide(colours, shares, out=np.zeros_like(colours), where=shares > 0)
    most = np.maximum(colours, white)
    return rounded(np.minimum(divided, most), white=white, dtype=pixels.dtype)


def _exif(file: BinaryIO, tiff: "TiffFile", page: "TiffPage") -> Image.Exif:
    """Read the tags of a page and its EXIF and GPS directories with Pillow."""
    exif = Image.Exif()
    exif.endian, exif.bigtiff = tiff.byteorder, tiff.is_bigtiff
    try:
        exif.load_from_fp(file, page.offset)
    except DECODER_ERRORS:  # such as big-endian BigTIFF, which Pillow does not know
        return Image.Exif()
    return exif


# Writing


def _write_page(writer: "TiffWriter", picture: Picture, tags: dict[int, Any]) -> None:
    samples = with_alpha_channel(picture)
    channels = samples.shape[2]
    has_alpha = picture.alpha is not None or channels in (2, 4)
    colours = 3 if channels - has_alpha >= 3 else 1
    extra = [_STRAIGHT] * has_alpha + [_UNSPECIFIED] * (channels - colours - has_alpha)
    extratags: list[Any] = [
        (tag, 2, 0, text.encode("ascii", "replace") if isinstance(text, str) else text, True)
        for tag, text in tags.items()
        if isinstance(text, str | bytes)
    ]
    extratags += [(held, 4, 1, 0, True) for tag, held in _DIRECTORIES.items() if tag in tags]
    if picture.xmp:
        extratags.append((_XMP, 1, len(picture.xmp), picture.xmp, True))
    writer.write(
        samples if channels > 1 else samples[..., 0],
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=extra or None,
        compression="zlib",
        compressionargs={"level": 6},
        predictor=samples.dtype.kind != "f",
        rowsperstrip=max(1, _STRIP // max(1, samples[0].nbytes)),
        iccprofile=fitting_profile(picture),
        extratags=extratags,
        metadata=None,
        software=False,
        maxworkers=1,
    )


def _write_directories(file: BinaryIO, exifs: list[dict[int, Any]]) -> None:
    """Append the EXIF and GPS directories, for which tifffile has no tag, and link them."""
    from tifffile import TiffFile

    file.seek(0)
    with TiffFile(file) as tiff:
        for page, tags in zip(_pages(tiff), exifs, strict=True):
            for tag in (tag for tag in _DIRECTORIES if tag in tags):
                directory = ImageFileDirectory_v2()
                directory.update(tags[tag])
                offset = file.seek(0, 2)
                offset += file.write(bytes(offset % 2))  # directories begin at even offsets
                file.write(directory.tobytes(offset))
                file.seek(page.tags[_DIRECTORIES[tag]].offset)
                file.write(struct.pack("<HHII", tag, 4, 1, offset))
