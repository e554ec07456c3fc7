"""The errors of the package that a user can fix."""

import functools
import inspect
import numbers
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints


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


def one_line(text: str, *, most: int = 300) -> str:
    """Shorten a text from outside, with spaces in place of line breaks and control codes."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:most].rstrip(".")


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
    import difflib  # rarely needed

    names = list(allowed)
    if name in names:
        return names[names.index(name)]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(names)}"
    raise UsageError(f"{what} {name}: no such name. {hint}")


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def checks_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Make a public function raise ``UsageError`` for an argument of another type than annotated.

    The items of a container are not checked.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        hints = _kinds_of_arguments(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            kinds = hints.get(name, (object,))
            if not any(_is_a(value, kind) for kind in kinds):
                kind = "" if isinstance(value, str) else f"of type {_name(type(value))}"
                wanted = " or ".join(map(_name, kinds))
                raise UsageError(f"`{name}`: cannot be {kind or repr(value)[:60]}. Give {wanted}")
        return function(*args, **kwargs)

    return checked


@functools.cache
def _kinds_of_arguments(function: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Return the types and words that each annotated argument may be."""
    return {name: tuple(_kinds(hint)) for name, hint in get_type_hints(function).items()}


def _kinds(hint: Any) -> Iterator[Any]:
    origin = get_origin(hint)
    if sys.version_info >= (3, 12) and isinstance(origin or hint, typing.TypeAliasType):
        yield from _kinds((origin or hint).__value__)  # as of NDArray in newer releases of NumPy
    elif origin is Literal:
        yield from get_args(hint)
    elif isinstance(hint, TypeVar) or origin in (Union, UnionType):
        for kind in get_args(hint) or hint.__constraints__:
            yield from _kinds(kind)
    else:
        yield object if hint is Any else origin or hint


def _is_a(value: object, kind: type | str) -> bool:
    if isinstance(kind, str):
        return isinstance(value, str) and value == kind
    if kind is str:  # a path with a null character raises a ValueError of Python
        return isinstance(value, str) and "\0" not in value
    if kind in (int, float):  # a number of NumPy is one too
        number = numbers.Integral if kind is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    if issubclass(kind, Iterable) and not issubclass(kind, str):
        return isinstance(value, kind) and not isinstance(value, str | bytes)
    return isinstance(value, kind)


def _name(kind: type | str) -> str:
    if isinstance(kind, str):
        return kind
    package = kind.__module__.partition(".")[0]
    if kind is NoneType:
        return "None"
    return kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"
