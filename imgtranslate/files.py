"""Atomic writes: a file or folder is written under a temporary name and then renamed."""

import contextlib
import errno
import functools
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from imgtranslate.errors import ImgTranslateError

STALE_SECONDS = 86_400  # age of a temporary file that certainly nobody writes any more

_PREFIX = ".imgtranslate-"
_LEFTOVER = re.compile(rf"{re.escape(_PREFIX)}(?P<node>.*)-(?P<process>\d+)-\w+\.tmp")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; sync it and rename it to ``path`` on success.

    On failure the temporary file is removed and ``path`` is unchanged. Raises
    ``ImgTranslateError`` for a full disk or a folder that cannot be written.
    """
    temporary = temporary_beside(path)
    with explained(path):
        _tidy(path.parent)
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``, which replaces ``path`` on success."""
    temporary, old = temporary_beside(path), temporary_beside(path)
    with explained(path):
        _tidy(path.parent)
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
    """Remove the temporary files and folders that dead processes left in ``folder``.

    Those of running processes are kept, and for a day those of other machines and containers,
    whose processes cannot be seen from here.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _LEFTOVER.match(entry.name)
            if found and _is_abandoned(entry, found["node"], int(found["process"])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return a short name beside ``path`` that no other process, thread or machine uses."""
    unique = f"{_node()}-{os.getpid()}-{secrets.token_hex(8)}"
    suffix = path.suffix if len(path.suffix) < 10 else ""
    return path.with_name(f"{_PREFIX}{unique}.tmp{suffix}")


@functools.cache
def _tidy(folder: Path) -> None:
    """Remove leftovers once in each folder into which this process writes."""
    remove_leftovers(folder)


def _is_abandoned(entry: os.DirEntry[str], node: str, process: int) -> bool:
    if node == _node() and not _runs(process):
        return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS


@functools.cache
def _node() -> str:
    """Name the machine, and on Linux the namespace in which its process numbers hold."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return re.sub(r"\W+", "_", f"{platform.node()[:50]}{namespace}")[:80]


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
    """Write a file to the disk, where the file system can."""
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise


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
