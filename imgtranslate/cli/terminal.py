"""Output to the terminal: results on stdout, everything else on stderr."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


def say(line: str) -> None:
    """Print a line that is no result to stderr."""
    typer.echo(printable(line), err=True)


def result(line: str) -> None:
    """Print a line of the result to stdout."""
    typer.echo(line)


FLAGS = {  # settings that are flags of `train`; the others are set by --set
    "data.a": "--a",
    "data.b": "--b",
    "data.pairs": "--pairs",
    "data.pair_order": "--pair-order",
    "data.crop_size": "--size",
    "data.channels_a": "--channels-a",
    "data.channels_b": "--channels-b",
    "data.workers": "--workers",
    "data.cache": "--cache",
    "generator.base_channels": "--base-channels",
    "optimizer.lr": "--lr",
    "schedule.epochs": "--epochs",
    "schedule.decay_epochs": "--decay-epochs",
    "train.batch_size": "--batch-size",
    "train.compile": "--compile",
    "train.precision": "--precision",
    "train.save_every": "--save-every",
    "train.seed": "--seed",
    "train.steps": "--steps",
}
_SETTING = re.compile(rf"(?<![\w./-])(?<!mean )({'|'.join(map(re.escape, FLAGS))})(?![\w/-]|\.\w)")
_PARAMETER = re.compile(r"`(\w+)`")


def with_flags(message: str) -> str:
    """Name the flags of the settings and parameters that a message of the package names.

    ``data.crop_size 17: …`` becomes ``--size 17: …``, and a parameter in backticks its flag. The
    hint to a misspelt setting (``Did you mean …?``) keeps its name.
    """
    message = re.sub(r"`device` cuda:(?=\d)", "--gpu ", message)  # a GPU by its number
    named = _PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')}", message)
    return _SETTING.sub(lambda found: FLAGS[found[1]], named)


@contextmanager
def stderr_to_ourselves() -> Iterator[None]:
    """Discard what C libraries write to stderr: libtiff reports damage without the file's name."""
    own = sys.__stderr__
    if own is None or own is not sys.stderr:  # redirected already
        yield
        return
    with os.fdopen(os.dup(2), "w", buffering=1, encoding=own.encoding, errors=own.errors) as ours:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        os.close(devnull)
        sys.stderr = ours
        try:
            yield
        finally:
            sys.stderr = own
            os.dup2(ours.fileno(), 2)


def is_terminal() -> bool:
    """Tell whether stderr can show a progress bar."""
    return sys.stderr.isatty()


def examples(*commands: str) -> str:
    """Format the commands at the end of a help text; each runs as it stands."""
    return "\n".join(["Examples:", *(f"  [cyan]$ {command}[/cyan]" for command in commands)])


def printable(text: str) -> str:
    """Escape control codes, so that no file name can steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
