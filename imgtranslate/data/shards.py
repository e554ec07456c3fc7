"""Shards in the WebDataset format: tar archives named by a pattern, ``horses-{000..099}.tar``.

Pictures are read by their offset in the archive, so shards give the same guarantees as folders.
The library webdataset defines the patterns and the key of a file.
"""

import math
import os
import re
from pathlib import Path

from imgtranslate.errors import DataError, ImageError
from imgtranslate.images import IMAGE_SUFFIXES
from imgtranslate.images.tar_archive import SUFFIX, archive_of, list_members

MOST_SHARDS = 100_000

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_GROUP = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?\d{1,12})\.\.(-?\d{1,12})(\.\.-?\d{1,12})?")


def names_shards(path: Path) -> bool:
    """Return whether a path names shards rather than a folder."""
    return path.name.endswith((SUFFIX, *_COMPRESSED)) and not path.is_dir()


def list_shards(setting: str, pattern: Path) -> tuple[Path, tuple[Path, ...]]:
    """Return the common folder of all shards, and their pictures sorted by shard and name.

    Raises ``DataError`` for a shard that is missing or damaged, and if there are no pictures.
    """
    archives = _archives_of(setting, pattern)
    try:
        paths = [path for archive in archives for path in list_members(archive)]
    except ImageError as error:
        raise DataError(f"{setting} {error}") from error
    files = tuple(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{setting} {pattern}: contains no pictures. Name shards with pictures")
    return Path(os.path.commonpath([archive.parent for archive in archives])), files


def key_of(path: Path) -> str | None:
    """Return the WebDataset key that a picture shares with its partner; None outside archives."""
    archive = archive_of(path)
    if archive is None:
        return None
    from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

    name = path.relative_to(archive).as_posix()
    return base_plus_ext(name)[0] or name


def plain_shard(name: str) -> str:
    """Remove pattern and suffix from the name of shards: ``horses``; leave other names."""
    return re.sub(r"[-_.]*(\{[^{}]*\}[-_.]*)*\.tar$", "", name)


def _archives_of(setting: str, pattern: Path) -> list[Path]:
    """Expand the pattern; raise ``DataError`` if it is invalid or gives too many archives."""
    if pattern.name.endswith(_COMPRESSED):
        raise DataError(
            f"{setting} {pattern}: compressed, so its pictures cannot be read by their offset. "
            "Unpack it to .tar"
        )
    try:
        import webdataset  # type: ignore[import-untyped]  # noqa: F401 - brings braceexpand
        from braceexpand import braceexpand
    except ImportError as error:
        raise DataError(
            f"{setting} {pattern}: shards need webdataset. "
            "Run pip install 'imgtranslate[webdataset]'"
        ) from error
    # The pattern may come from an untrusted file, so the archives are counted before expanding it.
    text = str(pattern)
    if "{" in _GROUP.sub("", text):
        raise DataError(f"{setting} {pattern}: nested braces. Write them one after another")
    if math.prod(map(_count_of, _GROUP.findall(text))) > MOST_SHARDS:
        raise DataError(f"{setting} {pattern}: more than {MOST_SHARDS:,} shards. Name fewer shards")
    try:
        return [Path(name) for name in braceexpand(text, escape=False)]
    except ValueError as error:
        raise DataError(f"{setting} {pattern}: an unmatched brace. Close or remove it") from error


def _count_of(group: str) -> int:
    found = _RANGE.fullmatch(group)
    return abs(int(found[1]) - int(found[2])) + 1 if found else group.count(",") + 1
