"""The display of a training: a live line on a terminal, plain lines elsewhere."""

import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn

from imgtranslate.cli.terminal import printable, say, with_flags
from imgtranslate.training import events

PLAIN_SECONDS = 15.0  # between plain lines
DAY = 86_400


class TrainingDisplay:
    """The events of a training, shown on stderr."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self.live = console.is_terminal
        self.progress = Progress(*_columns(), console=console, disable=not self.live)
        self.task: TaskID | None = None
        self.said_at = float("-inf")
        self.validated = ""  # the last validation

    def __enter__(self) -> Self:
        """Start to draw."""
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing and restore the terminal."""
        self.progress.stop()

    def show(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.Checking():
                self._check(event)
            case events.Started():
                self._start(event)
            case events.Progress():
                self._step(event)
            case events.Forecast():
                self._say(_forecast(event))
            case events.Validated():
                self.validated = _validated(event)
            case events.Unwell():
                self._say(f"warning: {with_flags(event.text)}")
            case events.Notice():
                self._say(f"notice: {event.text}")
            case events.Saved():
                pass  # the progress line is enough

    def _say(self, line: str) -> None:
        if self.live:
            plain = printable(line)
            self.progress.console.print(plain, markup=False, highlight=False, soft_wrap=True)
        else:
            say(line)

    def _check(self, event: events.Checking) -> None:
        if self.task is None:
            self.task = self.progress.add_task("checking pictures", total=event.total, details="")
        self.progress.update(self.task, completed=event.done)

    def _start(self, event: events.Started) -> None:
        if event.report is not None:
            for line in event.report.lines:
                self._say(line)
            for warning in event.report.warnings:
                self._say(f"warning: {warning}")
        verb = "continuing" if event.report is None else "training"
        self._say(
            f"{verb} {event.run} on {event.device}: {event.parameters / 1e6:.1f} million weights, "
            f"{event.total_steps} steps in {event.total_epochs} epoch(s)"
        )
        if event.step >= event.total_steps:
            self._say(
                f"{event.run} is at step {event.step} of {event.total_steps} already. Extend it "
                "with --steps, or with its schedule (--epochs, --decay-epochs)"
            )
            return
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task(
            "training", total=event.total_steps, completed=event.step, details=""
        )

    def _step(self, event: events.Progress) -> None:
        if self.live and self.task is not None:
            self.progress.update(self.task, completed=event.step, details=self._details(event))
        elif event.step == event.total_steps or time.monotonic() - self.said_at > PLAIN_SECONDS:
            self.said_at = time.monotonic()
            say(f"step {event.step}/{event.total_steps} {self._details(event)}")

    def _details(self, event: events.Progress) -> str:
        return f"{_details(event)} {self.validated}".rstrip()


def _columns() -> list[ProgressColumn]:
    return [
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[details]}"),
    ]


def _details(event: events.Progress) -> str:
    losses = " ".join(f"{name} {value:.2f}" for name, value in event.losses.items())
    return (
        f"epoch {event.epoch}/{event.total_epochs} eta {_duration(event.remaining_seconds)} "
        f"{event.images_per_second:.1f} img/s data {event.waiting:.0%} {losses}"
    ).rstrip()


def _validated(event: events.Validated) -> str:
    return f"validation {event.value:.3g} (best {event.best:.3g} at step {event.best_step})"


def _forecast(event: events.Forecast) -> str:
    line = f"about {_duration(event.seconds)} in all, {event.seconds_per_step:.2g} s a step"
    if event.device == "cpu" and event.seconds > DAY:
        line += ". For a CPU there is --preset fast"
    return line


def _duration(seconds: float) -> str:
    if seconds >= DAY:
        return f"{seconds / DAY:.1f} days"
    return str(timedelta(seconds=round(seconds)))
