"""Opening files that may be anything: every fault of a decoder becomes one line."""

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from imgtranslate.errors import ImageError
from imgtranslate.images.limits import quiet, refuse_bomb, too_big, unlimited

Source = Path | BinaryIO

# Formats whose further images are frames or pages. Others hold layers, sizes, maps of depth.
FRAMED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")

STREAM_LIMIT = 2**33  # bytes; nothing larger is read from a pipe

# What Pillow's plugins raise on damaged and hostile files, found by mutating files of every kind.
DECODER_ERRORS = (
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


def name_of(source: Source) -> str:
    """What messages call it: its path, or ``-`` for a stream."""
    return str(source) if isinstance(source, Path) else "-"


def rereadable(source: Source) -> Source:
    """The source itself if it can be read twice, else all that the stream holds."""
    if isinstance(source, Path) or source.seekable():
        return source
    content = source.read(STREAM_LIMIT + 1)
    if len(content) > STREAM_LIMIT:
        raise ImageError(f"more than {STREAM_LIMIT:,} bytes. Cut it first")
    return io.BytesIO(content)


def beginning(source: Source, count: int) -> bytes:
    """The first bytes of a source that can be read twice."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(count)
    source.seek(0)
    content = source.read(count)
    source.seek(0)
    return content


@contextlib.contextmanager
def opened(source: Source, *, allow_huge: bool) -> Iterator[ImageFile]:
    """Open a picture without reading its pixels; what must not be read is refused."""
    refuse_special_file(source)
    if not isinstance(source, Path):
        source.seek(0)
    _learn_heif(source)
    with Image.open(source) as image:
        _refuse_foreign_program(image)
        refuse_bomb(image.size, allow_huge=allow_huge)
        yield image


@runtime_checkable
class _Animated(Protocol):
    is_animated: bool


def has_frames(image: Image.Image) -> bool:
    """Whether more frames or pages follow the first."""
    return image.format in FRAMED and isinstance(image, _Animated) and image.is_animated


@contextlib.contextmanager
def decoding(source: Source | str, *, allow_huge: bool = False) -> Iterator[None]:
    """Turn what Pillow raises into one line about ``source``, and keep its warnings to itself."""
    name = source if isinstance(source, str) else name_of(source)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(quiet())
            stack.enter_context(np.errstate(all="ignore"))  # files of floats hold any numbers
            if allow_huge:
                stack.enter_context(unlimited())
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"{name}: {_reason(source, error)}") from error


def one_line(error: BaseException) -> str:
    """What an exception says, on one line; its name if it says nothing."""
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def refuse_special_file(source: Source) -> None:
    """Raise ``ImageError`` for a folder, a device or a named pipe."""
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise ImageError("not a file. Name a picture")


def _reason(source: Source | str, error: BaseException) -> str:
    match error:
        case Image.DecompressionBombError():
            return too_big(int((re.findall(r"\d+", str(error)) or ["0"])[0]))
        case UnidentifiedImageError() if _is_empty(source):
            return "an empty file. Replace or remove it"
        case UnidentifiedImageError():
            return "not a picture of a known format. Replace or remove it"
        case MemoryError():
            return "too big for the memory. Shrink or cut it first"
        case OSError(errno=int()):
            return f"cannot be read: {error.strerror}. Check the name and its permissions"
        case _:
            return f"damaged: {one_line(error)}. Replace or remove it"


def _is_empty(source: Source | str) -> bool:
    if isinstance(source, str):
        return False
    return not beginning(source, 1)


def _refuse_foreign_program(image: Image.Image) -> None:
    """Pillow draws EPS with Ghostscript; IPTC may hold one. A picture must not start programs."""
    if image.format in ("EPS", "IPTC", "WMF"):
        raise ImageError(f"{image.format} is not read. Convert it to PNG first")


def _learn_heif(source: Source) -> None:
    """Let Pillow know HEIC, whose decoder is an extra; it is imported for such a file alone."""
    if not _is_heif(source):
        return
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError("HEIC needs pillow-heif. Run pip install 'imgtranslate[heif]'") from error
    pillow_heif.register_heif_opener(thumbnails=False)


def _is_heif(source: Source) -> bool:
    """Whether the first box of the file names a brand of HEIF, whatever its name."""
    head = beginning(source, 64)
    brands = head[8 : min(int.from_bytes(head[:4]), 64)]
    return head[4:8] == b"ftyp" and brands[:4] in _HEIF_BRANDS and b"avif" not in brands


_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
