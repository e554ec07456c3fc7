"""A cache of decoded and resized training pictures, so that each file is decoded once.

Picture n of a side has slot n: in memory that is shared with forked readers, or in a file in
``data.cache`` that any process may open. A slot contains a checksum of its content and a digest of
the path, size and time of the picture's file. If either differs, the picture is read again and its
slot overwritten. So no process waits for a lock, and neither a killed process nor a foreign file
can change a sample.
"""

import contextlib
import hashlib
import mmap
import multiprocessing
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import PIL

from imgtranslate._version import __version__
from imgtranslate.data.folders import Domain
from imgtranslate.errors import DataError, ImgTranslateError
from imgtranslate.files import explained
from imgtranslate.images import Pixels
from imgtranslate.images.tar_archive import archive_of
from imgtranslate.memory import available_memory
from imgtranslate.settings.config import DataSettings

LONGEST = 2  # largest ratio of the sides of a stored picture
MEMORY_SHARE = 0.25  # share of the available memory

_HEAD = struct.Struct("<I16sII")  # checksum of the rest of the slot, source, height, width
_PAGE = 4096  # bytes
_MEBIBYTE = 2**20  # bytes


@final
class SharedMemory:
    """Memory for ``count`` slots, shared with forks; a page is allocated when it is written."""

    def __init__(self, count: int, slot_size: int) -> None:
        self._memory = mmap.mmap(-1, max(1, count * slot_size))

    def read(self, start: int, length: int) -> bytes:
        """Read ``length`` bytes at offset ``start``; bytes never written are zero."""
        return self._memory[start : start + length]

    def write(self, start: int, content: bytes) -> None:
        """Write ``content`` at offset ``start``."""
        self._memory[start : start + len(content)] = content


@final
class CacheFile:
    """A file of ``count`` slots, opened for each access so that no descriptor is forked.

    The file is not mapped: a full disk, or a file truncated by another program, would kill the
    process.
    """

    def __init__(self, path: Path, count: int, slot_size: int) -> None:
        self.path = path
        if path.stat().st_size > count * slot_size:
            os.truncate(path, count * slot_size)

    def read(self, start: int, length: int) -> bytes:
        """Read up to ``length`` bytes at offset ``start``; fewer if reading fails."""
        with contextlib.suppress(OSError), self.path.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(length) or b""
        return b""

    def write(self, start: int, content: bytes) -> None:
        """Write ``content`` at offset ``start``; a failure is ignored."""
        with contextlib.suppress(OSError), self.path.open("r+b", buffering=0) as file:
            file.seek(start)
            file.write(content)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The stored pictures of one side: uint8 (h, w, channels), shorter side ``load_size`` px."""

    storage: SharedMemory | CacheFile
    count: int  # of slots
    load_size: int
    channels: int

    def find(self, number: int, source: bytes) -> Pixels | None:
        """Return picture ``number`` if it is stored and was read from ``source``, else None."""
        if number >= self.count:
            return None
        start = number * _slot_size(self.load_size, self.channels)
        head = self.storage.read(start, _HEAD.size)
        if len(head) < _HEAD.size:
            return None
        checksum, stored_source, height, width = _HEAD.unpack(head)
        if stored_source != source or not self._fits(height, width):
            return None
        length = height * width * self.channels
        body = self.storage.read(start + _HEAD.size, length)
        if len(body) < length or zlib.crc32(body, zlib.crc32(head[4:])) != checksum:
            return None
        return np.frombuffer(body, np.uint8).reshape(height, width, self.channels)

    def store(self, number: int, source: bytes, pixels: Pixels) -> None:
        """Store picture ``number``, read from ``source``, unless it is too large for a slot."""
        height, width = pixels.shape[:2]
        if number >= self.count or not self._fits(height, width):
            return
        body = pixels.tobytes()
        head = _HEAD.pack(0, source, height, width)[4:]
        checksum = zlib.crc32(body, zlib.crc32(head))
        start = number * _slot_size(self.load_size, self.channels)
        self.storage.write(start, checksum.to_bytes(4, "little") + head + body)

    def _fits(self, height: int, width: int) -> bool:
        shorter, longer = sorted((height, width))
        return shorter == self.load_size and longer <= LONGEST * shorter


Caches = tuple[Cache, Cache]  # of A, of B


def open_caches(
    domains: tuple[Domain, Domain], settings: DataSettings, *, workers: int
) -> Caches | None:
    """Open the caches of both sides: files in ``data.cache`` if it is set, else memory.

    ``workers``: the number of reader processes. Unless the system forks them, they cannot share
    memory, and there is no cache without ``data.cache``. Raises ``DataError`` if that folder cannot
    be written.
    """
    channels = (settings.channels_a, settings.channels_b)
    sizes = [_slot_size(settings.load_size, each) for each in channels]
    wanted = [len(domain.files) for domain in domains]
    storages: Sequence[SharedMemory | CacheFile]
    if settings.cache:
        refuse_cache(domains, settings)
        paths = _paths(domains, settings)
        with _refused(Path(settings.cache)):
            counts = _fitting(wanted, sizes, limit=_disk_limit(paths, settings))
            storages = [CacheFile(*each) for each in zip(paths, counts, sizes, strict=True)]
    elif workers == 0 or multiprocessing.get_start_method() == "fork":
        counts = _fitting(wanted, sizes, limit=_memory_limit(settings))
        storages = [SharedMemory(*each) for each in zip(counts, sizes, strict=True)]
    else:
        return None
    a, b = (
        Cache(storage=storage, count=count, load_size=settings.load_size, channels=each)
        for storage, count, each in zip(storages, counts, channels, strict=True)
    )
    return a, b


def refuse_cache(domains: tuple[Domain, Domain], settings: DataSettings) -> None:
    """Raise ``DataError`` if ``data.cache`` is set and cannot store pictures."""
    if not settings.cache:
        return
    folder = Path(settings.cache)
    with _refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path in _paths(domains, settings):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise DataError(f"{path}: not a file, but the cache must be one. Remove it")
        with _refused(path), path.open("a+b"):
            pass


def source_of(path: Path) -> bytes | None:
    """Return a digest of a picture's path, size and time, or None if its file is missing."""
    try:
        found = (archive_of(path) or path).stat()
    except OSError:
        return None
    text = b"%d %d %s" % (found.st_size, found.st_mtime_ns, os.fsencode(path))
    return hashlib.blake2b(text, digest_size=16).digest()


def local_processes() -> int:
    """Return the number of training processes on this machine, as torchrun sets it."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(said)) if said.isdecimal() and len(said) < 6 else 1


def _paths(domains: tuple[Domain, Domain], settings: DataSettings) -> list[Path]:
    """Name a file for each side after everything that determines the pixels of its pictures."""
    channels = (settings.channels_a, settings.channels_b)
    resamples = (settings.resample_a, settings.resample_b)
    shared = (settings.load_size, PIL.__version__, __version__)
    paths = []
    for domain, *reading in zip(domains, channels, resamples, strict=True):
        place = os.path.realpath(domain.folder)
        parts = (domain.letter, domain.name, place, domain.half, *reading, *shared)
        text = "\0".join(map(str, parts)).encode(errors="surrogateescape")
        digest = hashlib.blake2b(text, digest_size=16).hexdigest()
        paths.append(Path(settings.cache) / f"{digest}.pictures")
    return paths


def _slot_size(load_size: int, channels: int) -> int:
    """Return the bytes of the largest picture, rounded up to pages, so that slots share no page."""
    content = _HEAD.size + LONGEST * load_size**2 * channels
    return -(-content // _PAGE) * _PAGE


def _fitting(wanted: Sequence[int], sizes: Sequence[int], *, limit: int) -> list[int]:
    """Count the slots of each side that fit into ``limit`` bytes: all, or equal shares of both."""
    need = sum(count * size for count, size in zip(wanted, sizes, strict=True))
    share = min(1.0, limit / need) if need else 0.0
    return [int(count * share) for count in wanted]


def _memory_limit(settings: DataSettings) -> int:
    """Return the bytes for this process: its share of the memory limit on this machine."""
    if settings.cache_memory != "auto":
        return settings.cache_memory * _MEBIBYTE
    return int(available_memory() * MEMORY_SHARE) // local_processes()


def _disk_limit(paths: Sequence[Path], settings: DataSettings) -> int:
    """Return the bytes for both files, at most half of the free space on the disk."""
    free = shutil.disk_usage(paths[0].parent).free
    return min(settings.cache_disk * _MEBIBYTE, free // 2 + sum(map(_allocated, paths)))


def _allocated(path: Path) -> int:
    """Return the bytes that a file occupies on the disk, without holes, except on Windows."""
    found = path.stat()
    return found.st_size if sys.platform == "win32" else found.st_blocks * 512


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Convert a failed write before the training to a ``DataError`` that names ``data.cache``."""
    try:
        with explained(path):
            yield
    except ImgTranslateError as error:
        raise DataError(f"{error} with data.cache") from error
