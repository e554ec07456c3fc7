"""Atomic writes: a file or folder is written under a temporary name and then renamed."""

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from imgtranslate.errors import ImgTranslateError

TEMPORARY_PREFIX = ".imgtranslate-"
_LEFTOVER = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?P<node>.*)-(?P<process>\d+)-\w+\.tmp")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; sync it and rename it to ``path`` on success.

    On failure the temporary file is removed and ``path`` is unchanged. Raises
    ``ImgTranslateError`` for a full disk or a folder that cannot be written.
    """
    temporary = _temporary(path)
    with explained(path):
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``, which replaces ``path`` on success."""
    temporary, old = _temporary(path), _temporary(path)
    with explained(path):
        try:
            temporary.mkdir()
            yield temporary
            for file in temporary.iterdir():
                _sync(file)
            if path.exists():
                path.rename(old)
            try:
                temporary.rename(path)
            except OSError:
                old.rename(path)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Convert an ``OSError`` that occurs while writing ``path`` into an ``ImgTranslateError``."""
    try:
        yield
    except OSError as error:
        raise ImgTranslateError(f"{path}: cannot be written: {_reason(error)}") from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left in ``folder``.

    Those of running processes and of other machines are kept.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _LEFTOVER.match(entry.name)
            if found and found["node"] == _node() and not _runs(int(found["process"])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Return a short name beside ``path`` that no other process, thread or machine uses."""
    unique = f"{_node()}-{os.getpid()}-{secrets.token_hex(8)}"
    suffix = path.suffix if len(path.suffix) < 10 else ""
    return path.with_name(f"{TEMPORARY_PREFIX}{unique}.tmp{suffix}")


def _node() -> str:
    return re.sub(r"\W+", "_", platform.node())[:60]


def _runs(process: int) -> bool:
    """Return whether a process of this machine is running; True also if it cannot be checked."""
    if os.name == "nt":  # on Windows os.kill with signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full. Free some space, or choose another folder"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "permission denied. Choose another folder"
        case errno.ENAMETOOLONG:
            return "the name is too long for this file system. Choose a shorter one"
        case _:
            return f"{error.strerror or error}. Choose another folder"
