"""What a person sees: results on stdout, everything else on stderr."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


def say(line: str) -> None:
    """Tell the person something; never part of the result."""
    typer.echo(printable(line), err=True)


def result(line: str) -> None:
    """Print a line of the result to stdout."""
    typer.echo(line)


@contextmanager
def stderr_to_ourselves() -> Iterator[None]:
    """Drop what libraries in C write to stderr: libtiff tells of damage without the file's name."""
    own = sys.__stderr__
    if own is None or own is not sys.stderr:  # somebody has caught it already
        yield
        return
    with os.fdopen(os.dup(2), "w", buffering=1, encoding=own.encoding, errors=own.errors) as ours:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = own
            os.dup2(ours.fileno(), 2)


def is_terminal() -> bool:
    """Whether progress may be drawn over itself."""
    return sys.stderr.isatty()


def examples(*commands: str) -> str:
    """The foot of a help text: commands that run as they stand."""
    return "\n\n".join(["Examples:", *(f"[cyan]$ {command}[/cyan]" for command in commands)])


def printable(text: str) -> str:
    """The text with control codes escaped, so that no name can steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
