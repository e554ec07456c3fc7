"""The display of a translation: results, failures, progress and a summary."""

import json
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

import typer

from imgtranslate.cli.terminal import (
    fitted,
    in_words,
    is_terminal,
    printable,
    result,
    say,
    say_error,
    with_flags,
)
from imgtranslate.errors import counted

if TYPE_CHECKING:
    from imgtranslate.translation.stages import Outcome

PLAIN_SECONDS = 30.0  # between plain lines


class Display:
    """The display of results on stdout, and of failures, progress and the summary on stderr."""

    def __init__(self, *, total: int, as_json: bool, pictures_on_stdout: bool = False) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        self._total = total
        self._as_json = as_json
        self._pictures_on_stdout = pictures_on_stdout
        self._counts: Counter[str] = Counter()
        self._start = self._said_at = time.monotonic()
        self._bar = Progress(
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,  # rich would send it to stderr
            transient=True,
            disable=total == 1 or not is_terminal(),
        )
        self._task = self._bar.add_task("translating", total=total)

    def __enter__(self) -> Self:
        """Start to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, restore the terminal and print the summary."""
        self._bar.stop()
        say(self._summary())

    @property
    def failed(self) -> bool:
        """True if a picture failed."""
        return self._counts["failed"] > 0

    @property
    def finished(self) -> bool:
        """True if every picture was counted."""
        return self._counts.total() == self._total

    def show(self, outcome: "Outcome") -> None:
        """Count and show the outcome of one picture."""
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            say_error(f"failed: {outcome.input}: {with_flags(outcome.reason)}")
        elif outcome.status == "written" and outcome.reason:
            self.say_notice(f"{outcome.input}: {outcome.reason}")
        if self._as_json:
            self._result(json.dumps(outcome.to_json()))
        elif outcome.status == "written" and not self._pictures_on_stdout:
            self._result(str(outcome.output))
        self._bar.advance(self._task)
        self._plain_line()

    def say(self, line: str) -> None:
        """Print a line on stderr, above the progress bar if it is drawn."""
        if self._bar.live.is_started:
            self._above_bar(fitted(line))
        else:
            say(line)

    def say_notice(self, line: str) -> None:
        """Print a notice of the package like ``say``, with flags in place of its parameters."""
        self.say(with_flags(line))

    def _result(self, line: str) -> None:
        """Print a result: to a pipe as raw bytes, to a terminal without control codes."""
        if self._pictures_on_stdout:
            say_error(line)  # a result, so --quiet leaves it
        elif not sys.stdout.isatty():
            typer.echo(os.fsencode(line))
        elif self._bar.live.is_started:
            self._above_bar(printable(line))  # not wrapped, so that JSON stays valid
        else:
            result(printable(line))

    def _above_bar(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _plain_line(self) -> None:
        now, done = time.monotonic(), self._counts.total()
        if not self._bar.disable or now - self._said_at < PLAIN_SECONDS or done == self._total:
            return
        self._said_at = now
        left = (now - self._start) / done * (self._total - done)
        say(f"{done:,} of {counted(self._total, 'picture')}, about {in_words(left)} left")

    def _summary(self) -> str:
        written, skipped, failed = (self._counts[s] for s in ("written", "skipped", "failed"))
        stopped = "" if self.finished else "stopped: "
        return (
            f"{stopped}translated {written:,} of {counted(self._total, 'picture')}, "
            f"{skipped:,} skipped, {failed:,} failed"
        )
