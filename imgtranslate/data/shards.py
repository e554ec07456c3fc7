"""Shards in the WebDataset form: tar archives with a pattern for a name, ``horses-{000..099}.tar``.

Their pictures are read by place, so that positions, held-out pictures and resuming are those of a
folder. The library of that name says what a pattern means and what the key of a member is.
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
    """Whether a name is one of shards, not of a folder."""
    return path.name.endswith((SUFFIX, *_COMPRESSED)) and not path.is_dir()


def list_shards(option: str, pattern: Path) -> tuple[Path, tuple[Path, ...]]:
    """The folder that all shards lie in or below, and their pictures: by shard, then by name.

    Raises ``DataError`` for a shard that is missing or damaged, and if there are no pictures.
    """
    archives = [Path(name) for name in _expanded(option, pattern)]
    try:
        members = [member for archive in archives for member in list_members(archive)]
    except ImageError as error:
        raise DataError(f"{option} {error}") from error
    files = tuple(member for member in members if member.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{option} {pattern}: no pictures in it. Name shards with pictures")
    return Path(os.path.commonpath([archive.parent for archive in archives])), files


def key_of(path: Path) -> str | None:
    """The key of a member, by which WebDataset knows what belongs together; None for a file."""
    archive = archive_of(path)
    if archive is None:
        return None
    from webdataset.tariterators import base_plus_ext  # type: ignore[import-untyped]

    name = path.relative_to(archive).as_posix()
    return base_plus_ext(name)[0] or name


def plain_shard(name: str) -> str:
    """A shard's name without pattern and suffix: ``horses``; other names as they are."""
    return re.sub(r"[-_.]*(\{[^{}]*\}[-_.]*)*\.tar$", "", name)


def _expanded(option: str, pattern: Path) -> list[str]:
    if pattern.name.endswith(_COMPRESSED):
        raise DataError(
            f"{option} {pattern}: compressed, so its pictures cannot be read by their place. "
            "Unpack it to .tar"
        )
    try:
        import webdataset  # type: ignore[import-untyped]  # noqa: F401 - brings braceexpand
        from braceexpand import braceexpand
    except ImportError as error:
        raise DataError(
            f'{option} {pattern}: shards need more. Run pip install "imgtranslate[webdataset]"'
        ) from error
    _refuse_many(option, pattern)
    try:
        return list(braceexpand(str(pattern), escape=False))
    except ValueError as error:
        raise DataError(f"{option} {pattern}: a brace without its other. Mend it") from error


def _refuse_many(option: str, pattern: Path) -> None:
    """Count before anything is expanded: a pattern may come from a file of settings."""
    counts = [_count_of(group) for group in _GROUP.findall(str(pattern))]
    if "{" in _GROUP.sub("", str(pattern)):
        raise DataError(f"{option} {pattern}: braces within braces. Write one pair after another")
    if math.prod(counts) > MOST_SHARDS:
        raise DataError(f"{option} {pattern}: more than {MOST_SHARDS:,} shards. Name fewer")


def _count_of(group: str) -> int:
    found = _RANGE.fullmatch(group)
    return abs(int(found[1]) - int(found[2])) + 1 if found else group.count(",") + 1
