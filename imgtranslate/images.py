"""Where files become pixels and back; nothing else opens or writes a picture.

A picture on disk is 8-bit sRGB or grey, perhaps with alpha; a network sees float32 (c, h, w) in
[-1, 1]. Both directions round, so that all 256 values survive the way there and back.
"""

import contextlib
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from imgtranslate.arrays import ARRAY_SUFFIX, is_array, read_array, write_array
from imgtranslate.atomic import replacing
from imgtranslate.errors import DataError, ImageError, UsageError

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to stderr

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]
Codes = NDArray[np.float32]  # (n, latent_dim): what a generator with a code takes beside a picture

# What Pillow decodes by itself. A list of our own, so that a folder holds the same pictures on
# every machine and no plugin is imported to read it; a test holds it against Pillow's registry.
# Left out: what Pillow hands to other programs (.eps, .ps, .wmf) or only names (.hdf, .grib).
# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit",
    ".fits", ".flc", ".fli", ".ftc", ".ftu", ".gbr", ".gif", ".icb", ".icns", ".ico", ".im",
    ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo",
    ".msp", ".pbm", ".pcd", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".pxr",
    ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda", ".vst", ".webp",
    ".xbm", ".xpm",
})
# fmt: on


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One upright picture, and what its file said beside the pixels."""

    pixels: Pixels  # (h, w, c); grey and colour have 1 and 3, others hold alpha and more in c
    alpha: Pixels | None = None  # (h, w)
    icc_profile: bytes | None = None
    exif: bytes | None = None  # without orientation and thumbnail
    file_format: str | None = None  # Pillow's name


def read_image(path: Path, *, channels: int) -> Picture:
    """Read the first frame of ``path``, upright, as so many channels of 8 bits.

    1 and 3 are grey and colour of any picture, alpha beside them. 2 and 4 take alpha as a channel
    and refuse pictures without; more stand in ``.npy`` files. Raises
    ``ImageError`` if it is missing, damaged, too big or not a picture.
    """
    with _decoding(path):
        _refuse_special_file(path)
        if is_array(path):
            return Picture(pixels=read_array(path, channels=channels))
        with Image.open(path) as image:
            _refuse_foreign_program(image)
            _refuse_bomb(image)
            return _picture(image, channels=channels)


def picture_from_pil(image: Image.Image, *, channels: int) -> Picture:
    """Turn a PIL image of any mode upright and into so many channels of 8 bits.

    Raises ``ImageError`` if it was opened lazily and turns out to be damaged.
    """
    with _decoding("image"):
        return _picture(image, channels=channels)


def to_pil(picture: Picture) -> Image.Image:
    """The picture in mode L, LA, RGB or RGBA; a profile that fits its channels in ``info``."""
    image = Image.fromarray(picture.pixels.squeeze(2) if _is_grey(picture) else picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    profile = _fitting_profile(picture)
    if profile is not None:
        image.info["icc_profile"] = profile
    return image


def write_image(path: Path, picture: Picture) -> None:
    """Write ``picture`` in the format of the suffix, whole or not at all.

    The profile and EXIF are kept; alpha is laid over white where the format has none. Raises
    ``UsageError`` for a suffix that cannot be written, ``ImgTranslateError`` if the disk refuses,
    ``ImageError`` if the format cannot hold such a picture (a JPEG of 70,000 px).
    """
    if is_array(path):
        write_array(path, picture.pixels)
        return
    writer = _writer(path.suffix)
    _refuse_channels(path, writer, picture)
    image = to_pil(picture if writer.has_alpha else _over_white(picture))
    with replacing(path) as temporary, _encoding(path):
        image.save(temporary, format=writer.file_format, **_options(writer, picture))


def writable_suffixes() -> list[str]:
    """The suffixes that ``write_image`` takes, in lower case."""
    return sorted([*_WRITERS, ARRAY_SUFFIX])


def holds(suffix: str, *, channels: int) -> bool:
    """Whether a format can be written with so many channels."""
    if suffix.lower() == ARRAY_SUFFIX:
        return True
    writer = _WRITERS.get(suffix.lower())
    if writer is None or channels > len(_BANDS):
        return False
    return channels in (1, 3) or writer.has_alpha


def to_network(pixels: Pixels) -> Values:
    """Turn uint8 (h, w, c) into float32 (c, h, w) in [-1, 1]."""
    values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    values /= 127.5
    values -= 1
    return values


def to_pixels(values: Values) -> Pixels:
    """Turn float (c, h, w) in [-1, 1] into uint8 (h, w, c): clamped, then rounded to nearest.

    What is not a number becomes black.
    """
    scaled = np.nan_to_num((values + 1) * 127.5, nan=0.0, posinf=255.0, neginf=0.0)
    rounded = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0))


def mirror_indices(size: int, padded: int) -> NDArray[np.intp]:
    """Which of ``size`` places stands at each of ``padded``: mirrored at the end, without limit.

    The edge is not repeated, so the walk to and fro has the period 2 (size - 1).
    """
    period = max(2 * (size - 1), 1)
    walk = np.arange(padded) % period
    return np.minimum(walk, period - walk) if size > 1 else walk


def fitting_side(side: int, *, multiple: int, least: int) -> int:
    """The next side that is a multiple of ``multiple`` and no shorter than ``least``."""
    return -(-max(side, least) // multiple) * multiple


def pad_to(values: Values, *, multiple: int, least: int) -> Values:
    """Mirror (..., h, w) to the right and below, up to the next fitting sides.

    Sides that fit already (a multiple of ``multiple``, no shorter than ``least``) stay as they
    are, and then the array is returned itself.
    """
    height, width = values.shape[-2:]
    rows = mirror_indices(height, fitting_side(height, multiple=multiple, least=least))
    columns = mirror_indices(width, fitting_side(width, multiple=multiple, least=least))
    if (len(rows), len(columns)) == (height, width):
        return values
    padded: Values = values[..., rows[:, None], columns]
    return padded


def list_images(folder: Path, *, channels: int = 3) -> list[Path]:
    """All pictures in ``folder`` and below, by suffix, in the order of their names.

    Arrays (``.npy``) are among them where pictures have more channels than formats hold.

    Hidden files and folders are left out; links are followed, but not in circles. Raises
    ``DataError`` if the folder, or one below it, cannot be listed.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder. Name a folder of pictures")
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, not a folder. Name a folder of pictures")
    suffixes = IMAGE_SUFFIXES if channels <= len(_BANDS) else {*IMAGE_SUFFIXES, ARRAY_SUFFIX}
    found = (path for path in _walk(folder) if path.suffix.lower() in suffixes)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """How a format is written: without loss where it can be."""

    file_format: str
    has_alpha: bool = False
    has_exif: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_JPEG = _Writer(file_format="JPEG", has_exif=True, options={"quality": 95, "subsampling": "4:4:4"})
_JPEG_2000 = _Writer(file_format="JPEG2000", has_alpha=True)
_PNG = _Writer(file_format="PNG", has_alpha=True, has_exif=True)
_PPM = _Writer(file_format="PPM")
_SGI = _Writer(file_format="SGI", has_alpha=True)
_TIFF = _Writer(file_format="TIFF", has_alpha=True, options={"compression": "tiff_lzw"})
_WRITERS: Mapping[str, _Writer] = {
    ".apng": _PNG,
    ".avif": _Writer(
        file_format="AVIF",
        has_alpha=True,
        has_exif=True,
        options={"quality": 95, "subsampling": "4:4:4"},
    ),
    ".bmp": _Writer(file_format="BMP"),
    ".gif": _Writer(file_format="GIF", has_alpha=True),
    ".j2k": _JPEG_2000,
    ".jfif": _JPEG,
    ".jp2": _JPEG_2000,
    ".jpe": _JPEG,
    ".jpeg": _JPEG,
    ".jpg": _JPEG,
    ".pcx": _Writer(file_format="PCX"),
    ".pgm": _PPM,
    ".png": _PNG,
    ".pnm": _PPM,
    ".ppm": _PPM,
    ".rgb": _SGI,
    ".rgba": _SGI,
    ".sgi": _SGI,
    ".tga": _Writer(file_format="TGA", has_alpha=True),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": _Writer(
        file_format="WEBP",
        has_alpha=True,
        has_exif=True,
        options={"lossless": True, "exact": True},
    ),
}

# What Pillow's plugins raise on damaged and hostile files, found by mutating files of every kind.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@contextlib.contextmanager
def _decoding(name: Path | str) -> Iterator[None]:
    """Turn what Pillow raises into one line about ``name``, and keep its warnings to itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except _DECODER_ERRORS as error:
        raise ImageError(f"{name}: {_decoding_reason(name, error)}") from error


@contextlib.contextmanager
def _encoding(path: Path) -> Iterator[None]:
    """Turn what Pillow raises, other than about the disk, into one line about ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unfit(path, error) from error
    except (ValueError, KeyError, struct.error) as error:
        raise _unfit(path, error) from error


def _unfit(path: Path, error: Exception) -> ImageError:
    return ImageError(
        f"{path}: cannot be written as {path.suffix}: {_one_line(error)}. Use --format png"
    )


def _decoding_reason(name: Path | str, error: BaseException) -> str:
    match error:
        case Image.DecompressionBombError():
            return _too_big(int((re.findall(r"\d+", str(error)) or ["0"])[0]))
        case UnidentifiedImageError() if isinstance(name, Path) and name.stat().st_size == 0:
            return "an empty file. Replace or remove it"
        case UnidentifiedImageError():
            return "not a picture of a known format. Replace or remove it"
        case OSError(errno=int()):
            return f"cannot be read: {error.strerror}. Check the name and its permissions"
        case _:
            return f"damaged: {_one_line(error)}. Replace or remove it"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def _refuse_special_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise ImageError("not a file. Name a picture")


def _refuse_foreign_program(image: Image.Image) -> None:
    """Pillow draws EPS with Ghostscript; IPTC may hold one. A picture must not start programs."""
    if image.format in ("EPS", "IPTC", "WMF"):
        raise ImageError(f"{image.format} is not read. Convert it to PNG first")


def _refuse_bomb(image: Image.Image) -> None:
    if image.width * image.height > _pixel_limit():
        raise ImageError(_too_big(image.width * image.height))


def _too_big(pixels: int) -> str:
    return f"{pixels:,} pixels, more than the limit of {_pixel_limit():,}. Shrink or cut it first"


def _pixel_limit() -> int:
    return Image.MAX_IMAGE_PIXELS or 2**62


def _picture(image: Image.Image, *, channels: int) -> Picture:
    image.load()
    plain = _plain(_upright(image))
    if channels > len(_BANDS) or (channels in (2, 4) and plain.mode != "RGBA"):
        count = {"L": 1, "RGB": 3, "RGBA": 4}[plain.mode]
        raise ImageError(
            f"{count} channels, not {channels}. Give "
            + ("pictures with transparency" if channels in (2, 4) else ".npy arrays of uint8")
        )
    pixels = np.array(plain.convert(_BANDS[channels - 1]))
    return Picture(
        pixels=pixels.reshape(*pixels.shape[:2], channels),
        alpha=np.array(plain.getchannel("A"))
        if plain.mode == "RGBA" and channels in (1, 3)
        else None,
        icc_profile=image.info.get("icc_profile") if image.mode in _KEEPS_PROFILE else None,
        exif=_exif(image),
        file_format=image.format,
    )


_BANDS = ("L", "LA", "RGB", "RGBA")  # Pillow's modes by the number of channels
_KEEPS_PROFILE = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa")
_EXIF_LIMIT = 60_000  # bytes; a JPEG holds little more
_ORIENTATION = 0x0112


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:  # the EXIF block is damaged, the picture is not
        return image


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF block without what no longer holds: the orientation and the thumbnail."""
    if "exif" not in image.info:  # of a TIFF, `getexif` gives the layout of the file
        return None
    try:
        exif = image.getexif()
        exif.pop(_ORIENTATION, None)
        block = exif.tobytes()
    except _DECODER_ERRORS:
        return None
    return block if exif and len(block) <= _EXIF_LIMIT else None


def _plain(image: Image.Image) -> Image.Image:
    """The same picture in mode L, RGB or RGBA."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _plain_of_deep(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _plain_of_deep(image: Image.Image) -> Image.Image:
    """8 bits of 16 or of floats, rounded; one value may be marked as transparent."""
    values = np.asarray(image)
    grey = Image.fromarray(_eight_bits(values, white=_white(values)))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    plain = grey.convert("RGBA")
    plain.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return plain


def _eight_bits(values: NDArray[Any], *, white: float) -> Pixels:
    scaled = np.nan_to_num(values.astype(np.float64), nan=0.0) * (255 / white)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _white(values: NDArray[Any]) -> float:
    """The value that means white: 65,535 of integers, and of floats 1, 255 or 65,535.

    Files of floats do not say; some overshoot their white, none by twice.
    """
    brightest = float(np.nanmax(values, initial=0))
    scales = (1.0, 255.0, 65_535.0) if values.dtype.kind == "f" else (65_535.0,)
    for white in scales:
        if brightest <= (2 * white if values.dtype.kind == "f" else white):
            return white
    raise ImageError(
        f"its brightest value is {brightest:g}, of an unknown range. Convert it to 8 or 16 bits"
    )


def _is_grey(picture: Picture) -> bool:
    return bool(picture.pixels.shape[2] == 1)


def _fitting_profile(picture: Picture) -> bytes | None:
    """The profile, where it speaks of as many channels as the pixels have."""
    space = b"GRAY" if picture.pixels.shape[2] <= 2 else b"RGB "
    profile = picture.icc_profile
    return profile if profile is not None and profile[16:20] == space else None


def _over_white(picture: Picture) -> Picture:
    if picture.alpha is None:
        return picture
    share = picture.alpha[..., None] / 255.0
    blended = np.rint(picture.pixels * share + 255.0 * (1 - share)).astype(np.uint8)
    return replace(picture, pixels=blended, alpha=None)


def _refuse_channels(path: Path, writer: _Writer, picture: Picture) -> None:
    channels = picture.pixels.shape[2]
    if not holds(path.suffix, channels=channels):
        other = ".npy" if channels > len(_BANDS) else ".png"
        raise ImageError(
            f"{path}: {writer.file_format} cannot hold {channels} channels. Use {other}"
        )


def _options(writer: _Writer, picture: Picture) -> dict[str, Any]:
    options = {**writer.options, "icc_profile": _fitting_profile(picture)}
    return {**options, "exif": picture.exif} if writer.has_exif and picture.exif else options


def _writer(suffix: str) -> _Writer:
    if suffix.lower() not in _WRITERS:
        raise UsageError(
            f"{suffix or 'no suffix'}: pictures cannot be written in this format. "
            f"Choose from {', '.join(writable_suffixes())}"
        )
    return _WRITERS[suffix.lower()]


def _walk(folder: Path) -> Iterator[Path]:
    """All files below, hidden ones left out; a link back to a folder above is not followed."""
    stack = [(folder, frozenset({folder.resolve()}))]
    while stack:
        current, above = stack.pop()
        for entry in _entries(current):
            path = current / entry.name
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                yield path
            elif (real := path.resolve()) not in above:
                stack.append((path, above | {real}))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be listed: {error.strerror}. Mend its permissions or leave it out"
        ) from error
