"""Places of one size for bytes: in memory, or in a file. Whoever reads checks what he gets.

The file is read and written, not mapped: it comes from the same pages of memory, but a full disk
or a file that somebody cuts short then is an error, where a map would kill the process.
"""

import contextlib
import mmap
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol, final

from imgtranslate.errors import DataError, ImgTranslateError
from imgtranslate.files import explained

SUFFIX = ".pictures"
_OURS = re.compile(rf"[0-9a-f]{{32}}{re.escape(SUFFIX)}")


class Slots(Protocol):
    """Some slots; what is beyond them, or was never written, reads as less or as zeros."""

    count: int

    def read(self, number: int, *, start: int, length: int) -> bytes:
        """At most ``length`` bytes of slot ``number`` from ``start`` on."""

    def write(self, number: int, content: bytes) -> None:
        """Put ``content``, no longer than a slot, at its start, if that can be done."""


@final
class MemorySlots:
    """Slots that processes forked from this one share; memory is taken as they are written.

    Processes that are started otherwise get none: each would take as much again.
    """

    def __init__(self, *, count: int, size: int) -> None:
        self.count, self.size = count, size
        self._memory = mmap.mmap(-1, max(1, count * size))

    def read(self, number: int, *, start: int, length: int) -> bytes:
        """See ``Slots``."""
        begin = number * self.size + start
        return self._memory[begin : begin + length]

    def write(self, number: int, content: bytes) -> None:
        """See ``Slots``."""
        begin = number * self.size
        if number < self.count:
            self._memory[begin : begin + len(content)] = content

    def __reduce__(self) -> tuple[object, ...]:
        return _no_memory, (self.size,)


@final
class FileSlots:
    """Slots in a file, which is opened anew each time: nothing is held across a fork."""

    def __init__(self, path: Path, *, count: int, size: int) -> None:
        self.path, self.count, self.size = path, count, size

    def read(self, number: int, *, start: int, length: int) -> bytes:
        """See ``Slots``."""
        if number >= self.count:
            return b""
        with contextlib.suppress(OSError), self.path.open("rb", buffering=0) as file:
            file.seek(number * self.size + start)
            return file.read(length) or b""
        return b""

    def write(self, number: int, content: bytes) -> None:
        """See ``Slots``; on a full disk nothing is kept."""
        if number >= self.count:
            return
        with contextlib.suppress(OSError), self.path.open("r+b", buffering=0) as file:
            file.seek(number * self.size)
            file.write(content)


def open_slots(path: Path, *, count: int, size: int) -> FileSlots:
    """Slots in ``path``, which is made, or cut to their number if it is longer.

    Raises ``DataError`` if that cannot be, or if something else than a file is there.
    """
    refuse_foreign(path)
    with _refused(path):
        path.touch()
        if path.stat().st_size > count * size:
            os.truncate(path, count * size)
    return FileSlots(path, count=count, size=size)


def refuse_foreign(path: Path) -> None:
    """Raise ``DataError`` for a link, a folder or a device where slots are to be.

    Also for a file that may not be written, as one of another user.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: not a file, but pictures are to be kept there. Remove it")
    with _refused(path), contextlib.suppress(FileNotFoundError), path.open("r+b"):
        pass


def prepare_folder(folder: Path) -> None:
    """Make the folder if need be; raises ``DataError`` if files cannot be made in it."""
    with _refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def make_room(folder: Path, *, own: Collection[str], wanted: int, limit: int) -> int:
    """Remove files of slots, the oldest first, until ``wanted`` bytes more fit below ``limit``.

    Those named ``own`` stay and do not count. Half of what is free on the disk is left to others.
    Returns how many bytes there is room for.
    """
    taken = _files(folder)
    limit = min(limit, shutil.disk_usage(folder).free // 2 + sum(taken.values()))
    others = {file: size for file, size in taken.items() if file.name not in own}
    for file in list(others):
        if wanted + sum(others.values()) <= limit:
            break
        with contextlib.suppress(OSError):  # another user's, or open where that matters: it stays
            file.unlink(missing_ok=True)
            del others[file]
    return max(0, limit - sum(others.values()))


def _files(folder: Path) -> dict[Path, int]:
    """Files of slots, the oldest first, and the bytes they take; nothing else that may be there."""
    found: dict[Path, os.stat_result] = {}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):  # another run makes room too
                found[path] = path.lstat()
    regular = {path: how for path, how in found.items() if stat.S_ISREG(how.st_mode)}
    oldest_first = sorted(regular, key=lambda path: regular[path].st_mtime)
    return {path: _taken(regular[path]) for path in oldest_first}


def _taken(found: os.stat_result) -> int:
    """Bytes on the disk: holes take none, where the system tells."""
    return found.st_size if sys.platform == "win32" else found.st_blocks * 512


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    """What cannot be written is wrong use here: nothing was started."""
    try:
        with explained(path):
            yield
    except ImgTranslateError as error:
        raise DataError(f"{error} with --cache") from error


def _no_memory(size: int) -> MemorySlots:
    return MemorySlots(count=0, size=size)
