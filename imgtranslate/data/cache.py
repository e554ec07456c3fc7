"""Decoded and resized pictures, kept so that no file is decoded twice.

Picture n of a side has slot n: of memory, which readers forked from this process share, or where
that ends of a file, which any process may share; the file begins with a hole then. A slot says what
file it was read from, of which size and time, and a checksum of all that it holds; one that says
anything else is read anew and written over. So nobody waits for anybody, and neither a kill nor a
foreign file can spoil a sample.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from imgtranslate._version import __version__
from imgtranslate.data.folders import Domain
from imgtranslate.data.slots import (
    SUFFIX,
    MemorySlots,
    Slots,
    make_room,
    open_slots,
    prepare_folder,
    refuse_foreign,
)
from imgtranslate.images import Pixels
from imgtranslate.images.tar_archive import archive_of
from imgtranslate.memory import available_memory
from imgtranslate.settings.config import DataSettings

LONGEST = 2  # pictures that are more than so many times as long as wide are not kept
MEMORY_SHARE = 0.25  # of what is free

_HEAD = struct.Struct("<I16sII")  # checksum of all that follows, source, height, width
_PAGE = 4096
_MEBIBYTE = 2**20
_NOTHING = MemorySlots(count=0, size=_PAGE)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What is kept of one side: uint8 (h, w, channels), its shorter side ``load_size`` px."""

    memory: Slots
    disk: Slots  # from where the memory ends; the same slots for whoever has other memory
    load_size: int
    channels: int

    def find(self, number: int, source: bytes) -> Pixels | None:
        """Picture ``number``, if it is kept and was read from ``source``."""
        slots = self._slots(number)
        head = slots.read(number, start=0, length=_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        checksum, kept_source, height, width = _HEAD.unpack(head)
        if kept_source != source or not self._fits(height, width):
            return None
        length = height * width * self.channels
        body = slots.read(number, start=_HEAD.size, length=length)
        if len(body) < length or zlib.crc32(body, zlib.crc32(head[4:])) != checksum:
            return None
        return np.frombuffer(body, np.uint8).reshape(height, width, self.channels)

    def keep(self, number: int, source: bytes, pixels: Pixels) -> None:
        """Keep picture ``number`` as read from ``source``, if there is room for it."""
        height, width = pixels.shape[:2]
        if not self._fits(height, width):
            return
        body = pixels.tobytes()
        head = _HEAD.pack(0, source, height, width)[4:]
        checksum = zlib.crc32(body, zlib.crc32(head))
        self._slots(number).write(number, checksum.to_bytes(4, "little") + head + body)

    def _slots(self, number: int) -> Slots:
        return self.memory if number < self.memory.count else self.disk

    def _fits(self, height: int, width: int) -> bool:
        shorter, longer = sorted((height, width))
        return shorter == self.load_size and longer <= LONGEST * shorter


Caches = tuple[Cache, Cache]


def open_caches(
    domains: tuple[Domain, Domain], settings: DataSettings, *, folder: Path, forking: bool
) -> Caches:
    """What is kept of both sides: in memory and the rest in ``folder``, or all in ``data.cache``.

    ``forking``: whether all readers are this process or forked from it, and so share its memory.
    Raises ``DataError`` if the folder cannot be written.
    """
    channels = (settings.channels_a, settings.channels_b)
    sizes = [_slot_size(settings.load_size, count) for count in channels]
    wanted = [len(domain.files) for domain in domains]
    memory = 0 if settings.cache or not forking else _memory_limit(settings)
    held = _fitting(wanted, sizes, limit=memory)
    places = _places(domains, settings, folder=Path(settings.cache) if settings.cache else folder)
    disks = _on_disk(places, wanted, held, sizes, limit=settings.cache_disk * _MEBIBYTE)
    a, b = (
        Cache(
            memory=MemorySlots(count=kept, size=size),
            disk=disk,
            load_size=settings.load_size,
            channels=count,
        )
        for kept, size, disk, count in zip(held, sizes, disks, channels, strict=True)
    )
    return a, b


def refuse_cache(domains: tuple[Domain, Domain], settings: DataSettings) -> None:
    """Raise ``DataError`` if nothing can be kept in ``data.cache``, where that is set."""
    if settings.cache:
        prepare_folder(Path(settings.cache))
        for place in _places(domains, settings, folder=Path(settings.cache)):
            refuse_foreign(place)


def source_of(path: Path) -> bytes | None:
    """A digest that changes when the file does, by its size and time; None if it is not there."""
    try:
        found = (archive_of(path) or path).stat()
    except OSError:
        return None
    text = b"%d %d %s" % (found.st_size, found.st_mtime_ns, os.fsencode(path))
    return hashlib.blake2b(text, digest_size=16).digest()


def processes_here() -> int:
    """How many processes train together on this machine, as torchrun says."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(said)) if said.isdecimal() and len(said) < 6 else 1


def _on_disk(
    places: Sequence[Path],
    wanted: Sequence[int],
    held: Sequence[int],
    sizes: Sequence[int],
    *,
    limit: int,
) -> Sequence[Slots]:
    """Slots for what of ``wanted`` is not ``held`` in memory."""
    rest = [count - kept for count, kept in zip(wanted, held, strict=True)]
    need = sum(count * size for count, size in zip(rest, sizes, strict=True))
    if not need or not limit:
        return [_NOTHING] * len(places)
    folder = places[0].parent
    prepare_folder(folder)
    room = make_room(folder, own={place.name for place in places}, wanted=need, limit=limit)
    counts = _fitting(rest, sizes, limit=room)
    return [
        open_slots(place, count=kept + count, size=size)
        for place, kept, count, size in zip(places, held, counts, sizes, strict=True)
    ]


def _places(
    domains: tuple[Domain, Domain], settings: DataSettings, *, folder: Path
) -> tuple[Path, Path]:
    """A file for each side, named by all that decides what is kept of its pictures."""
    a, b = (
        folder / (_digest(d.letter, d.name, os.path.realpath(d.folder), d.half, *how) + SUFFIX)
        for d, how in zip(domains, _ways(settings), strict=True)
    )
    return a, b


def _ways(settings: DataSettings) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """How the pictures of each side are read, and by which decoders."""
    both = (settings.load_size, PIL.__version__, __version__)
    return (
        (settings.channels_a, settings.resample_a, *both),
        (settings.channels_b, settings.resample_b, *both),
    )


def _digest(*parts: object) -> str:
    text = "\0".join(map(str, parts)).encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _slot_size(load_size: int, channels: int) -> int:
    """Whole pages, so that nobody who writes one slot touches another."""
    content = _HEAD.size + LONGEST * load_size**2 * channels
    return -(-content // _PAGE) * _PAGE


def _fitting(wanted: Sequence[int], sizes: Sequence[int], *, limit: int) -> list[int]:
    """How many slots of each side fit: all, or an equal share of both."""
    need = sum(count * size for count, size in zip(wanted, sizes, strict=True))
    share = min(1.0, limit / need) if need else 0.0
    return [int(count * share) for count in wanted]


def _memory_limit(settings: DataSettings) -> int:
    """Bytes for this process: those that torchrun starts on one machine share what is free."""
    if settings.cache_memory != "auto":
        return settings.cache_memory * _MEBIBYTE
    return int(available_memory() * MEMORY_SHARE) // processes_here()
