"""What a person sees: results on stdout, everything else on stderr."""

import os
import re
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
    named = _PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')}", message)
    return _SETTING.sub(lambda found: FLAGS[found[1]], named)


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
