"""What ``translate`` shows while it works."""

import json
import os
import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

import typer

from imgtranslate.cli.terminal import is_terminal, printable, result, say

if TYPE_CHECKING:
    from imgtranslate.translation.stages import Outcome

PLAIN_SECONDS = 30.0  # between plain lines


class Display:
    """Results on stdout, failures and progress on stderr, a count at the end."""

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
        """Draw from now on."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was and say how many of what there were."""
        self._bar.stop()
        say(self._summary())

    @property
    def failed(self) -> bool:
        """Whether any picture failed."""
        return self._counts["failed"] > 0

    @property
    def finished(self) -> bool:
        """Whether nothing is left."""
        return self._counts.total() == self._total

    def show(self, outcome: "Outcome") -> None:
        """Count and show what became of one picture."""
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self.say(f"failed: {outcome.input}: {outcome.reason}")
        elif outcome.status == "written" and outcome.reason:
            self.say(f"{outcome.input}: {outcome.reason}")
        if self._as_json:
            self._result(json.dumps(outcome.to_json()))
        elif outcome.status == "written" and not self._pictures_on_stdout:
            self._result(str(outcome.output))
        self._bar.advance(self._task)
        self._plain_line()

    def say(self, line: str) -> None:
        """Tell the person something, above the bar where there is one."""
        if self._bar.live.is_started:
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            say(line)

    def _result(self, line: str) -> None:
        """A path goes into a pipe byte by byte as it is, and to a person without control codes."""
        if self._pictures_on_stdout:
            self.say(line)
        elif not sys.stdout.isatty():
            typer.echo(os.fsencode(line))
        elif self._bar.live.is_started:
            self.say(line)
        else:
            result(printable(line))

    def _plain_line(self) -> None:
        now, done = time.monotonic(), self._counts.total()
        if not self._bar.disable or now - self._said_at < PLAIN_SECONDS or done == self._total:
            return
        self._said_at = now
        minutes = (now - self._start) / done * (self._total - done) / 60
        say(f"{done} of {self._total}, about {minutes:.0f} min left")

    def _summary(self) -> str:
        counts = ", ".join(f"{self._counts[s]} {s}" for s in ("written", "skipped", "failed"))
        stopped = "" if self.finished else "stopped: "
        return f"{stopped}translated {self._counts['written']} of {self._total}: {counts}"
