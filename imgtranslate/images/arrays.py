"""Pictures of any number of channels and any depth, as ``.npy`` files of (h, w, c)."""

import io
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from imgtranslate.errors import ImageError

ARRAY_SUFFIX = ".npy"
LARGEST_ARRAY = 2**33  # bytes
ARRAY_DEPTHS = ("uint8", "uint16", "int32", "float16", "float32")

_HEADER_ERRORS = (ValueError, EOFError, TypeError, SyntaxError, OverflowError, TokenError)
_MAGIC = b"\x93NUMPY"


def is_array(source: Path | BinaryIO) -> bool:
    """Whether the name is an array's, or the first bytes of a stream are."""
    if isinstance(source, Path):
        return source.suffix.lower() == ARRAY_SUFFIX
    source.seek(0)
    head = source.read(len(_MAGIC))
    source.seek(0)
    return head == _MAGIC


def read_array(source: Path | BinaryIO, *, channels: int) -> NDArray[Any]:
    """Read (h, w, channels), or (h, w) where there is one channel, in its own depth.

    The header is judged before anything of its size is read. Raises ``ImageError``, whose text
    begins without the file's name, and ``OSError``.
    """
    try:
        stored = _mapped(source) if isinstance(source, Path) else _unpacked(source)
    except _HEADER_ERRORS as error:
        raise ImageError("not an array that numpy saved. Replace or remove it") from error
    if stored.dtype.name not in ARRAY_DEPTHS or stored.ndim not in (2, 3) or 0 in stored.shape:
        raise ImageError(
            f"an array of {stored.dtype} {stored.shape}. "
            f"Save pictures as {', '.join(ARRAY_DEPTHS)} (h, w, channels)"
        )
    if stored.ndim == 2:
        stored = stored[..., None]
    if stored.shape[2] != channels:
        raise ImageError(
            f"{stored.shape[2]} channels, not {channels}. Give arrays of {channels} channels"
        )
    return np.array(stored, dtype=stored.dtype.newbyteorder("="), order="C")


def write_array(file: BinaryIO, pixels: NDArray[Any]) -> None:
    """Write (h, w, channels)."""
    np.save(file, pixels, allow_pickle=False)


def _mapped(path: Path) -> NDArray[Any]:
    if path.stat().st_size > LARGEST_ARRAY:
        raise ImageError(f"more than {LARGEST_ARRAY:,} bytes. Cut it first")
    stored: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return stored


def _unpacked(stream: BinaryIO) -> NDArray[Any]:
    """The array of a stream, which is read whole before its header is believed."""
    content = io.BytesIO(stream.read(LARGEST_ARRAY + 1))
    version = np.lib.format.read_magic(content)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError("another version of the format")
    shape, fortran, dtype = read_header(content)
    if dtype.hasobject:
        raise ValueError("objects")
    values = np.frombuffer(content.getbuffer()[content.tell() :], dtype=dtype)
    return values.reshape(shape, order="F" if fortran else "C")
