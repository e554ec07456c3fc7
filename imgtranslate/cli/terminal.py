"""What a person sees: results on stdout, everything else on stderr."""

import sys

import typer


def say(line: str) -> None:
    """Tell the person something; never part of the result."""
    typer.echo(line, err=True)


def result(line: str) -> None:
    """Print a line of the result to stdout."""
    typer.echo(line)


def is_terminal() -> bool:
    """Whether progress may be drawn over itself."""
    return sys.stderr.isatty()


def examples(*commands: str) -> str:
    """The foot of a help text: commands that run as they stand."""
    return "\n\n".join(["Examples:", *(f"[cyan]$ {command}[/cyan]" for command in commands)])
