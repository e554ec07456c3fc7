"""Output to the terminal: results on stdout, everything else on stderr."""

import contextlib
import functools
import inspect
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Annotated, Any

import typer


@dataclass
class Verbosity:
    """The amount of output of this process."""

    quiet: bool = False


VERBOSITY = Verbosity()
Quiet = Annotated[bool, typer.Option("--quiet", metavar="", help="Print results and errors only.")]


def with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option ``--quiet``."""

    @functools.wraps(command)
    def quietable(*arguments: Any, quiet: bool, **options: Any) -> None:
        before = VERBOSITY.quiet  # of a command that runs this one
        VERBOSITY.quiet = before or quiet
        try:
            command(*arguments, **options)
        finally:
            VERBOSITY.quiet = before

    signature = inspect.signature(command)
    kind = inspect.Parameter.KEYWORD_ONLY
    option = inspect.Parameter("quiet", kind, default=False, annotation=Quiet)
    quietable.__signature__ = signature.replace(  # type: ignore[attr-defined]  # typer reads it
        parameters=[*signature.parameters.values(), option]
    )
    return quietable


class LastingStream(TextIOWrapper):
    """A text stream that outlives its terminal or pipe: no work ends because nobody listens."""

    def write(self, text: str) -> int:
        """Write ``text``, or drop it."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush as far as possible."""
        with contextlib.suppress(OSError):
            super().flush()


def say(line: str) -> None:
    """Print a line other than a result to stderr, unless ``--quiet`` is given."""
    if not VERBOSITY.quiet:
        say_error(line)


def say_notice(line: str) -> None:
    """Print a notice or warning of the package, with flags in place of its parameters."""
    say(with_flags(line))


def say_command(label: str, *arguments: str) -> None:
    """Print a command of this program so that it can be copied, on a narrow terminal in lines.

    Each line but the last ends in a backslash for the shell, and keeps an option with its value.
    """
    parts = [f"{label} imgtranslate"]
    for word in map(shlex.quote, arguments):
        if word.startswith("-"):
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    width, lines = _width(), parts[:1]
    for part in parts[1:]:
        longer = f"{lines[-1]} {part}"
        if width is None or len(f"{longer} \\".encode()) <= width:
            lines[-1] = longer
        else:
            lines.append(f"    {part}")
    if not VERBOSITY.quiet:
        _write(" \\\n".join(map(printable, lines)))


def say_error(line: str) -> None:
    """Print an error to stderr; ``--quiet`` does not silence it."""
    _write(fitted(line))


def result(text: str, *, styled: bool = False) -> None:
    """Print a result to stdout; a terminal gets control codes escaped unless ``styled``."""
    lines = text.split("\n")
    typer.echo("\n".join(map(printable, lines)) if sys.stdout.isatty() and not styled else text)


def fitted(line: str) -> str:
    """Make a line printable and wrap it at words to the width of the terminal.

    Pipes and files get one line.
    """
    text, width = _encodable(printable(line)), _width()
    if width is None or len(text.encode()) <= width:  # a character has no more columns than bytes
        return text
    from rich.console import Console
    from rich.text import Text

    wrapped = Text(text, overflow="ignore").wrap(Console(), width - 2)
    return "\n  ".join(part.plain.rstrip() for part in wrapped)


def in_words(seconds: float) -> str:
    """Return a duration for a sentence: ``42 s``, ``12 min 4 s``, ``3 h 20 min``, ``18.1 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{seconds / 86_400:.1f} days"


def in_bytes(size: float) -> str:
    """Return a size for a sentence: ``13 kB``, ``45.5 MB``, ``1.2 GB``."""
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_of:
            return f"{size / bytes_of:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


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
    "train.log": "--log",
    "train.precision": "--precision",
    "train.save_every": "--save-every",
    "train.seed": "--seed",
    "train.steps": "--steps",
}
_SETTING = re.compile(rf"(?<![\w./-])(?<!mean )({'|'.join(map(re.escape, FLAGS))})(?![\w/-]|\.\w)")
_PARAMETER = re.compile(r"`(\w+)`")
_OTHER_SETTING = re.compile(r"`(\w+\.\w+=\S+)`")
_OTHER_FLAGS = {  # parameters with values that have a flag of their own, and of other names
    "`existing` overwrite": "--overwrite",
    "`existing` skip": "--skip-existing",
    "`file_format`": "--format",
    "`output`": "-o",
    "`zero`": "-0",
}


def with_flags(message: str) -> str:
    """Replace settings and parameters in a message of the package by their flags.

    ``data.crop_size 17: …`` becomes ``--size 17: …``, a parameter in backticks its flag, and an
    assignment in backticks ``--set``. The hint to a misspelt setting (``Did you mean …?``) keeps
    the name of the setting.
    """
    message = re.sub(r"`device` cuda:(?=\d)", "--gpu ", message)  # a GPU by its number
    message = _OTHER_SETTING.sub(r"--set \1", message)
    for parameter, flag in _OTHER_FLAGS.items():
        message = message.replace(parameter, flag)
    named = _PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')}", message)
    return _SETTING.sub(lambda found: FLAGS[found[1]], named)


@contextmanager
def stderr_to_ourselves() -> Iterator[None]:
    """Discard what C libraries write to stderr: libtiff reports damage without the file's name."""
    own = sys.__stderr__
    if own is None or own is not sys.stderr:  # redirected already
        yield
        return
    with LastingStream(
        os.fdopen(os.dup(2), "wb"), encoding=own.encoding, errors=own.errors, line_buffering=True
    ) as ours:
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
    """Return whether to show progress bars: stderr is a terminal that can, without ``--quiet``."""
    can = sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return can and not VERBOSITY.quiet


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows the progress (done, total) on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not is_terminal()) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def examples(*commands: str) -> str:
    """Format the example commands at the end of a help text; each can be run as written."""
    return "\n".join(["Examples:", *(f"  [cyan]$ {command}[/cyan]" for command in commands)])


def printable(text: str) -> str:
    """Escape control codes, so that file names cannot control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _encodable(text: str) -> str:
    """Replace the arrow between two domains where the encoding of stderr lacks it."""
    try:
        "→".encode(sys.stderr.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.replace("→", "->")
    return text


def _width() -> int | None:
    """Return the columns of the terminal; None if stderr is a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else None


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")  # a live display redirects this, but not typer.echo
    sys.stderr.flush()
