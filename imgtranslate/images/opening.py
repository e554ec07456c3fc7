"""Opening files that may hold anything: limits of size, and one line for every fault.

Pillow keeps its limit, and Python its warning filters, once for the whole process. Several threads
read at the same time, so a change holds as long as one of them needs it; the last one undoes it.
"""

import contextlib
import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, final

import numpy as np
from PIL import Image, UnidentifiedImageError

from imgtranslate.errors import ImageError
from imgtranslate.images.tar_archive import archive_of, read_member

Source = Path | BinaryIO

STREAM_LIMIT = 2**33  # bytes; nothing larger is read from a pipe
FRAMES_LIMIT = 8  # pixels of all frames together, in multiples of the limit of one picture

# What decoders raise for damaged and hostile files, found by mutating files of every format.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@contextlib.contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a file, a member of a tar archive or a stream as a file that can be read twice."""
    if not isinstance(source, Path):
        with decoding(name_of(source)):
            stream = _seekable(source)
        yield stream
    elif archive := archive_of(source):
        yield io.BytesIO(read_member(source, archive))
    else:
        with decoding(name_of(source)):
            if source.exists() and not source.is_file():  # a folder, a device, a named pipe
                raise ImageError("not a file. Name a picture")
            file = source.open("rb")
        with file:
            yield file


def name_of(source: Source) -> str:
    """Return the name that messages use: the path, or ``-`` for a stream."""
    return str(source) if isinstance(source, Path) else "-"


@contextlib.contextmanager
def decoding(name: str, *, allow_huge: bool = False) -> Iterator[None]:
    """Turn what decoders raise into one line about ``name``, and silence their warnings."""
    try:
        # files may hold NaN and infinity
        with quiet(), np.errstate(all="ignore"), unlimited() if allow_huge else nullcontext():
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"{name}: {_reason(error)}") from error


def one_line(error: BaseException) -> str:
    """Return the text of an exception on one line; its type if it has no text."""
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def _seekable(stream: BinaryIO) -> BinaryIO:
    """Return the stream itself at its beginning, or its content if it cannot be read twice."""
    if stream.seekable():
        stream.seek(0)
        return stream
    content = stream.read(STREAM_LIMIT + 1)
    if len(content) > STREAM_LIMIT:
        raise ImageError(f"more than {STREAM_LIMIT:,} bytes. Cut it first")
    return io.BytesIO(content)


def _reason(error: BaseException) -> str:
    match error:
        case Image.DecompressionBombError():
            return _too_big(int((re.findall(r"\d+", str(error)) or ["0"])[0]))
        case UnidentifiedImageError():
            return "not a picture of a known format. Replace or remove it"
        case MemoryError():
            return "too big for the memory. Shrink or cut it first"
        case OSError(errno=int()):
            return f"cannot be read: {error.strerror}. Check the name and its permissions"
        case _:
            return f"damaged: {one_line(error)}. Replace or remove it"


# Limits


@final
class Shared:
    """A global change, made for the first thread that needs it and undone after the last."""

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._users = 0
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep the change for the body."""
        with self._lock:
            if self._users == 0:
                self._undo.enter_context(self._change())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._undo.close()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|numpy|tifffile|imagecodecs)\b")
        yield


@contextlib.contextmanager
def _without_limit() -> Iterator[None]:
    limit = Image.MAX_IMAGE_PIXELS
    _lifted.append(limit)
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
        _lifted.clear()


_lifted: list[int | None] = []  # Pillow's limit while it is lifted
_narrowed: ContextVar[int] = ContextVar("narrowed", default=2**62)

quiet = Shared(_without_warnings)
unlimited = Shared(_without_limit)  # other threads still meet `refuse_bomb`, which knows the limit


@contextlib.contextmanager
def pixels_at_most(limit: int) -> Iterator[None]:
    """Refuse pictures of more pixels in the body, in this thread alone."""
    token = _narrowed.set(limit)
    try:
        yield
    finally:
        _narrowed.reset(token)


def pixel_limit() -> int:
    """Return the most pixels of a picture: Pillow's limit, which a program may set, or less."""
    limit = (_lifted[0] if _lifted else Image.MAX_IMAGE_PIXELS) or 2**62
    return min(limit, _narrowed.get())


def refuse_bomb(size: tuple[int, int], *, allow_huge: bool = False) -> None:
    """Raise ``ImageError`` for a picture of more pixels than the limit."""
    pixels = size[0] * size[1]
    if pixels > pixel_limit() and not allow_huge:
        raise ImageError(_too_big(pixels))


def refuse_long_bomb(pixels: int, *, allow_huge: bool) -> None:
    """Raise ``ImageError`` for an animation of more pixels than memory should hold."""
    limit = FRAMES_LIMIT * pixel_limit()
    if pixels > limit and not allow_huge:
        raise ImageError(
            f"its frames have more than {limit:,} pixels together. "
            "Cut it, or allow it with translate --allow-huge"
        )


def _too_big(pixels: int) -> str:
    return (
        f"{pixels:,} pixels, more than the limit of {pixel_limit():,}. "
        "Shrink it, or allow it with translate --allow-huge"
    )
