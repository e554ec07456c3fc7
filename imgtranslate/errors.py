"""The errors of the package that a user can fix."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar


class ImgTranslateError(Exception):
    """A fault that the user can fix: ``"<what>: <why>. <what to do>"``, one line.

    The message names a setting as ``section.name``, and in backticks a parameter or an assignment
    ``section.name=value``; the command line shows their flags instead
    (``cli.terminal.with_flags``). It prints the message alone and exits with ``exit_code``. Any
    other exception is a bug and keeps its traceback.
    """

    exit_code = 1


class UsageError(ImgTranslateError):
    """Wrong options, settings or files; nothing has been started."""

    exit_code = 2


class DataError(UsageError):
    """Training pictures that are missing, unreadable or do not fit the networks."""


class ImageError(ImgTranslateError):
    """A picture that cannot be read or written."""


class TooManyPixelsError(ImageError):
    """A picture of more pixels than the limit, which the caller may lift."""


class MemoryShortageError(ImageError):
    """A picture that is too large for the available memory; smaller strips of it may fit."""


class CheckpointError(UsageError):
    """A model file or training state that is damaged, foreign or does not fit."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: ``1 step``, ``2,000 steps``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


@contextmanager
def needs_extra(extra: str, *, what: str) -> Iterator[None]:
    """Raise ``UsageError`` if an import fails because the packages of an extra are missing."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"{what}: needs more packages. Run pip install 'imgtranslate[{extra}]'"
        ) from error


Name = TypeVar("Name", bound=str)


def nearest(name: str, allowed: Iterable[Name], *, what: str) -> Name:
    """Return ``name`` if it is allowed, else raise ``UsageError`` with the nearest allowed name."""
    names = list(allowed)
    if name in names:
        return names[names.index(name)]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(names)}"
    raise UsageError(f"{what} {name}: no such name. {hint}")
