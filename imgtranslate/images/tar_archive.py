"""Pictures in tar archives. A member is named as if the archive were a folder: ``x.tar/1.jpg``.

Archives are not unpacked: the headers are read once, then members by their position.
"""

import functools
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from imgtranslate.errors import ImageError

SUFFIX = ".tar"
LARGEST_MEMBER = 2**30  # bytes
MOST_MEMBERS = 1_000_000

_BLOCK = 512  # bytes
_FAULTS = (tarfile.TarError, OSError, ValueError, LookupError, ArithmeticError, RecursionError)
_REMEDY = "Create it again"

Index = Mapping[str, tuple[int, int]]  # name to first byte and size


def archive_of(path: Path) -> Path | None:
    """Return the archive of a member; None for any other path."""
    if SUFFIX not in str(path):
        return None
    above = (each for each in path.parents if each.suffix == SUFFIX)
    return next((each for each in above if os.path.isfile(each)), None)  # noqa: PTH113 - never raises


def list_members(archive: Path) -> list[Path]:
    """List the members that are not hidden, sorted by name.

    Raises ``ImageError`` for an archive that is damaged or contains links or devices.
    """
    names = sorted(_index_of(archive))
    return [archive / name for name in names if not name.startswith(".") and "/." not in name]


def read_member(path: Path, archive: Path) -> bytes:
    """Read a member of an archive. Raises ``ImageError`` if it is missing."""
    first, length = _place_of(path, archive)
    try:
        with archive.open("rb") as file:
            file.seek(first)
            content = file.read(length)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}. Check {archive}") from error
    if len(content) < length:
        raise ImageError(f"{path}: the archive is cut short. {_REMEDY}")
    return content


def content_of(path: Path) -> bytes:
    """Read a file or a member. Raises ``OSError``, ``ImageError``."""
    archive = archive_of(path)
    return path.read_bytes() if archive is None else read_member(path, archive)


def size_of(path: Path) -> int:
    """Return the size of a file or a member in bytes. Raises ``OSError``, ``ImageError``."""
    archive = archive_of(path)
    return path.stat().st_size if archive is None else _place_of(path, archive)[1]


def is_there(path: Path) -> bool:
    """Return whether a path is a file, or a member of a readable archive."""
    archive = archive_of(path)
    try:
        return path.is_file() if archive is None else bool(_place_of(path, archive))
    except ImageError:
        return False


def _place_of(path: Path, archive: Path) -> tuple[int, int]:
    try:
        return _index_of(archive)[path.relative_to(archive).as_posix()]
    except KeyError as error:
        raise ImageError(f"{path}: no such file in the archive. Check {archive}") from error


def _index_of(archive: Path) -> Index:
    """Return the index of an archive, which is read again if the archive has changed."""
    try:
        found = archive.stat()
    except OSError as error:
        raise ImageError(f"{archive}: cannot be read: {error.strerror}. Check the name") from error
    return _read_index(archive, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=65_536)
def _read_index(archive: Path, size: int, changed: int) -> Index:  # noqa: ARG001 - of the cache
    if not archive.is_file():
        raise ImageError(f"{archive}: not a file. Name a tar archive")
    try:
        with tarfile.open(archive, mode="r:") as tar:
            index = dict(_members_of(tar, size=size))
            _refuse_cut(tar, size=size)
            return index
    except ImageError as error:
        raise ImageError(f"{archive}: {error}") from error
    except _FAULTS as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{archive}: not a complete tar archive: {said}. {_REMEDY}") from error


def _members_of(tar: tarfile.TarFile, *, size: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name (without ``./``), first byte and size of each member; refuse unsafe ones."""
    for number, member in enumerate(tar):
        if number >= MOST_MEMBERS:
            raise ImageError(f"more than {MOST_MEMBERS:,} files. Split it into several archives")
        if member.isdir():
            continue
        name, shown = PurePosixPath(member.name), member.name[:100]
        first, length = member.offset_data, member.size
        if not member.isreg() or member.issparse():
            raise ImageError(f"its member {shown} is a link or a device. Pack regular files only")
        if name.is_absolute() or ".." in name.parts or not name.parts:
            raise ImageError(f"its member {shown} has a path outside of the archive. {_REMEDY}")
        if length > LARGEST_MEMBER:
            raise ImageError(
                f"its member {shown} has {length:,} bytes, more than {LARGEST_MEMBER:,}. "
                "Leave it out"
            )
        if length < 0 or first + length > size:
            raise ImageError(f"cut short in its member {shown}. {_REMEDY}")
        yield str(name), (first, length)


def _refuse_cut(tar: tarfile.TarFile, *, size: int) -> None:
    """Refuse an archive with more data where tarfile stops, which ignores an incomplete header."""
    if tar.fileobj is None or tar.offset >= size:
        return
    tar.fileobj.seek(tar.offset)
    block = tar.fileobj.read(_BLOCK)
    if any(block) or len(block) < _BLOCK:
        raise ImageError(f"damaged after {tar.offset:,} bytes. {_REMEDY}")
