"""Opening of untrusted files: limits of size, and one line for every fault.

The pixel limit of Pillow and the warning filters of Python are global. Several threads read at the
same time, so a change lasts as long as one thread needs it, and the last one undoes it.
"""

import contextlib
import io
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from imgtranslate.errors import ImageError, TooManyPixelsError
from imgtranslate.images.tar_archive import archive_of, read_member

Source = Path | BinaryIO

STREAM_LIMIT = 2**33  # bytes that are read from a pipe at most

# A decoder may raise anything for a damaged or hostile file, such as AssertionError, StopIteration
# or RecursionError. It is the fault of that file and must not end the work on others.
DECODER_ERRORS = (Exception,)


@contextlib.contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a file, a member of a tar archive or a stream as a seekable file."""
    if not isinstance(source, Path):
        with decoding("-"):
            if source.seekable():
                source.seek(0)
            else:
                content = source.read(STREAM_LIMIT + 1)
                if len(content) > STREAM_LIMIT:
                    raise ImageError(f"more than {STREAM_LIMIT:,} bytes. Send a smaller picture")
                source = io.BytesIO(content)
        yield source
    elif not os.path.isfile(source) and (archive := archive_of(source)):  # noqa: PTH113 - never raises
        yield io.BytesIO(read_member(source, archive))
    else:
        with decoding(str(source)):
            if source.exists() and not source.is_file():  # a folder, a device, a named pipe
                raise ImageError("not a file. Name a picture file")
            file = source.open("rb")
        with file:
            yield file


@contextlib.contextmanager
def decoding(name: str, *, allow_huge: bool = False) -> Iterator[None]:
    """Convert anything that a decoder raises to one line about ``name``; silence its warnings."""
    try:
        # Files may contain NaN and infinity.
        with quiet(), np.errstate(all="ignore"), unlimited() if allow_huge else nullcontext():
            yield
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from error
    except Image.DecompressionBombError as error:
        pixels = int((re.findall(r"\d+", str(error)) or ["0"])[0])
        raise TooManyPixelsError(f"{name}: {_too_big(pixels)}") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"{name}: {_reason(error)}") from error


def one_line(error: BaseException) -> str:
    """Return the text of an exception on one line, or its type if it has no text."""
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def _reason(error: Exception) -> str:
    match error:
        case UnidentifiedImageError():
            return "not a picture of a known format. Replace or remove it"
        case MemoryError():
            return "too large for the available memory. Resize or crop it first"
        case OSError(errno=int()):
            return f"cannot be read: {error.strerror}. Check its name and permissions"
        case _:
            text = fault_of(error)
    if re.search(r"(?i)\b(un|not )(supported|implemented|known)\b|cannot handle", text):
        return f"a kind that cannot be decoded: {text}. Convert it to PNG first"
    return f"damaged: {text}. Replace or remove it"


def fault_of(error: Exception) -> str:
    """Describe what a decoder raised; the text of some types, such as a KeyError, tells nothing."""
    told = isinstance(error, OSError | SyntaxError | ValueError | EOFError | RuntimeError)
    if told and str(error):
        return one_line(error)
    return f"the decoder failed with {type(error).__name__}"


# Limits


_lifted: list[int | None] = []  # the limit of Pillow while it is lifted
_narrowed: ContextVar[int] = ContextVar("narrowed", default=2**62)

Change = Callable[[], AbstractContextManager[None]]


def _shared(change: Change) -> Change:
    """Make a global change when the first thread needs it, and undo it after the last."""
    lock, users, undo = threading.Lock(), 0, contextlib.ExitStack()

    @contextlib.contextmanager
    def keep() -> Iterator[None]:
        nonlocal users
        with lock:
            if users == 0:
                undo.enter_context(change())
            users += 1
        try:
            yield
        finally:
            with lock:
                users -= 1
                if users == 0:
                    undo.close()

    return keep


@_shared
@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of decoders."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|numpy|tifffile|imagecodecs)\b")
        yield


@_shared
@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Lift the limit of Pillow; ``refuse_bomb`` still applies it to other threads."""
    limit = Image.MAX_IMAGE_PIXELS
    _lifted.append(limit)
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
        _lifted.clear()


@contextlib.contextmanager
def pixels_at_most(limit: int) -> Iterator[None]:
    """Refuse pictures with more pixels inside the block, in this thread only."""
    token = _narrowed.set(limit)
    try:
        yield
    finally:
        _narrowed.reset(token)


def pixel_limit() -> int:
    """Return the most pixels that a picture may have: the limit of Pillow or a lower one."""
    limit = (_lifted[0] if _lifted else Image.MAX_IMAGE_PIXELS) or 2**62
    return min(limit, _narrowed.get())


def refuse_bomb(size: tuple[int, int], *, allow_huge: bool = False) -> None:
    """Raise ``TooManyPixelsError`` for a picture with more pixels than the limit."""
    pixels = size[0] * size[1]
    if pixels > pixel_limit() and not allow_huge:
        raise TooManyPixelsError(_too_big(pixels))


def _too_big(pixels: int) -> str:
    return f"{pixels:,} pixels, more than the limit of {pixel_limit():,}. Resize it"
