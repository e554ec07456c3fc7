"""Where a translated picture goes, and in which format: by names alone, before anything is read."""

import re
from pathlib import Path

from imgtranslate.arrays import ARRAY_SUFFIX
from imgtranslate.errors import UsageError, nearest
from imgtranslate.images import IMAGE_SUFFIXES, holds, writable_suffixes
from imgtranslate.workflows.inputs import Input


def safe_name(domain: str) -> str:
    """A domain's name, which a foreign file may have set, as a part of a file's name."""
    plain = re.sub(r"[^\w-]+", "-", domain).strip("-_").encode()[:60].decode(errors="ignore")
    return plain or "translated"


def names_file(output: Path) -> bool:
    """Whether ``-o`` names one picture, and not a folder."""
    return _is_picture(output.suffix) and not output.is_dir()


def checked_file(output: Path, *, file_format: str | None, channels: int) -> Path:
    """The file that ``-o`` names; ``UsageError`` if it cannot be written."""
    suffix = output.suffix.lower()
    asked = file_format and suffix_of(file_format, channels=channels)
    if asked and suffix not in _same_format(asked):
        raise UsageError(f"-o {output}: not in the format of --format {file_format}. Leave one out")
    if not holds(suffix, channels=channels):
        raise UsageError(f"-o {output}: {_cannot(suffix, channels)}")
    return output


def suffix_of(file_format: str, *, channels: int) -> str:
    """The suffix of ``--format``; ``UsageError`` for one that is unknown or holds too little."""
    names = [suffix.removeprefix(".") for suffix in writable_suffixes()]
    suffix = "." + nearest(file_format.lower().removeprefix("."), names, what="--format")
    if not holds(suffix, channels=channels):
        raise UsageError(f"--format {file_format}: {_cannot(suffix, channels)}")
    return suffix


def target_of(
    source: Input, *, domain: str, output: Path | None, suffix: str | None, channels: int
) -> Path:
    """Where the translation of ``source`` goes: into the folder ``output``, or beside it.

    Without ``suffix`` in the format of the source, where that can be written.
    """
    own = source.path.suffix
    stem = source.path.stem if _is_picture(own) else source.path.name
    suffix = suffix or (own if holds(own, channels=channels) else _best(channels))
    if output is not None:
        return output / source.relative.with_name(f"{stem}{suffix}")
    if source.in_folder:
        raise UsageError(
            f"{source.path.parent}: a folder needs a place for its results. Add -o DIR"
        )
    return source.path.with_name(f"{stem}.{safe_name(domain)}{suffix}")


def _is_picture(suffix: str) -> bool:
    return suffix.lower() in {*IMAGE_SUFFIXES, ARRAY_SUFFIX}


def _best(channels: int) -> str:
    return ".png" if holds(".png", channels=channels) else ARRAY_SUFFIX


def _cannot(suffix: str, channels: int) -> str:
    several = f" with {channels} channels" if channels not in (1, 3) else ""
    return f"{suffix} cannot be written{several}. Use {_best(channels)}"


def _same_format(suffix: str) -> tuple[str, ...]:
    return next((group for group in _SYNONYMS if suffix in group), (suffix,))


_SYNONYMS = ((".jpg", ".jpeg", ".jpe", ".jfif"), (".tif", ".tiff"))
