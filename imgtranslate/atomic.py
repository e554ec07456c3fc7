"""A file is written whole and then renamed, so that no half of it is ever seen."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from imgtranslate.errors import ImgTranslateError

TEMPORARY_PREFIX = ".imgtranslate-"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and takes ``path``'s place.

    On any failure the temporary file is removed and what stood at ``path`` stays. A full disk or
    a folder that cannot be written becomes one line.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}.tmp{path.suffix}")
    with explained(path):
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of a failed write to ``path`` into one line."""
    try:
        yield
    except OSError as error:
        raise ImgTranslateError(f"{path}: cannot be written: {_reason(error)}") from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left of files that it was writing in ``folder``."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*.tmp*"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full. Free some space or write elsewhere"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "no permission. Choose another place"
        case errno.ENAMETOOLONG:
            return "the name is too long for this file system. Choose a shorter one"
        case _:
            return f"{error.strerror or error}. Choose another place"
