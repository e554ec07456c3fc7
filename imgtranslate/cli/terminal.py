"""What a person sees: results on stdout, everything else on stderr."""

import sys

import typer


def say(line: str) -> None:
    """Tell the person something; never part of the result."""
    typer.echo(printable(line), err=True)


def result(line: str) -> None:
    """Print a line of the result to stdout."""
    typer.echo(line)


def is_terminal() -> bool:
    """Whether progress may be drawn over itself."""
    return sys.stderr.isatty()


def examples(*commands: str) -> str:
    """The foot of a help text: commands that run as they stand."""
    return "\n\n".join(["Examples:", *(f"[cyan]$ {command}[/cyan]" for command in commands)])


def printable(text: str) -> str:
    """The text with control codes escaped, so that no name can steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
