"""The display of a training: a live block on a terminal, plain lines in pipes and logs.

A plain line with figures begins with ``step=`` and consists of ``name=value`` pairs, which
docs/train.md lists for programs that read logs.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from imgtranslate.cli.terminal import (
    in_bytes,
    in_words,
    is_terminal,
    printable,
    result,
    say,
    say_command,
    say_notice,
)
from imgtranslate.data_check.check import DataReport
from imgtranslate.errors import counted
from imgtranslate.settings.config import Settings, is_paired, learns_both_ways
from imgtranslate.settings.presets import name_of_method
from imgtranslate.training import events

if TYPE_CHECKING:
    from imgtranslate.training.dry_run import Costs

PLAIN_SECONDS = 15.0  # between plain lines
FIRST_SECONDS = 1.0  # before the first one
DAY = 86_400  # seconds
PAPER = Settings()
LONG = 20_000  # steps that take about a day or more on a CPU, at the size of the paper
GAP = "   "  # between two figures


class TrainingDisplay:
    """The events of a training, shown on stderr."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.draws = is_terminal()
        self.said_at = time.monotonic() - PLAIN_SECONDS + FIRST_SECONDS  # the last plain line
        self.checking: events.Checking | None = None
        self.started: events.Started | None = None
        self.progress: events.Progress | None = None
        self.validated: events.Validated | None = None
        self.reporting = False  # after the last step
        self.live = Live(
            console=self.console, get_renderable=self._block, transient=True, refresh_per_second=4
        )

    def __enter__(self) -> Self:
        """Start to draw."""
        if self.draws:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing, restore the terminal and leave the last figures on it."""
        self.live.stop()
        self.reporting = False
        if self.draws and self.progress is not None:
            self.console.print(self._block())

    def show(self, event: events.Event) -> None:
        """Show one event."""
        match event:
            case events.Checking():
                self.checking = event
                self._plain(f"checked {event.done:,} of {counted(event.total, 'picture')}")
            case events.Started():
                self._start(event)
            case events.Progress():
                self.progress = event
                fresh = self.validated is not None and self.validated.step == event.step
                at_end = event.step == event.total_steps
                self._plain(plain_line(event, self.validated), due=fresh or at_end)
            case events.Forecast():
                say(self._forecast(event))
            case events.Validated():
                self.validated = event
            case events.Unwell():
                say_notice(f"warning: {event.text}")
            case events.Notice():
                say_notice(f"notice: {event.text}")
            case events.Saved():
                self.reporting = event.final

    def conclude(
        self, outcome: events.TrainResult, *, device: Sequence[str] = (), limit: str = ""
    ) -> None:
        """Say what was learnt and the next commands, or how to resume an interrupted run.

        ``device``: the options with which a resume uses the same device. ``limit``: the option that
        has stopped the training.
        """
        resume = ("resume  ", "train", "--resume", str(outcome.run), *device)
        if not outcome.finished:
            step, total, by = outcome.step, outcome.total_steps, f" by {limit}" if limit else ""
            say(f"stopped  at step {step:,} of {total:,}{by}, saved in {outcome.run}")
            say_command(*resume)
        elif self.started is not None and outcome.first_step < outcome.step:
            say_ending(outcome, self.started.settings)
            if outcome.ended_early and not outcome.diverged:
                say_command(*resume, "--set", "train.patience=0")

    def _plain(self, line: str, *, due: bool = False) -> None:
        """Print a line of figures now and then, where no live block shows them."""
        if not self.draws and (due or time.monotonic() - self.said_at > PLAIN_SECONDS):
            self.said_at = time.monotonic()
            say(line)

    def _start(self, event: events.Started) -> None:
        self.started, self.said_at = event, float("-inf")  # the first step is said at once
        settings, total = event.settings, event.total_steps
        if event.report is not None:
            for line in event.report.lines:
                say(line)
            for warning in event.report.warnings:
                say_notice(f"warning: {warning}")
            if has_more_pictures(event.report):
                say("notice: train --check --json lists all pictures of each line")
        verb = "training" if event.report is not None else "continuing"
        say(
            f"{verb} {event.run}: {_domains(settings)} by {name_of_method(settings)} on "
            f"{event.device}, {event.parameters / 1e6:.1f} million weights, "
            f"{counted(total, 'step')} in {counted(event.total_epochs, 'epoch')}"
        )
        if event.ended_early:
            say(
                f"{event.run} has ended at step {event.step:,} of {total:,}: no gain in "
                f"{counted(settings.train.patience, 'validation')}. Continue it with a higher "
                "--set train.patience=N, or 0"
            )
        elif event.step >= total:
            if settings.train.steps == total:
                how = "--steps"
            elif settings.schedule.constant_steps is None:
                how = "--epochs or --decay-epochs"
            else:
                how = "--set schedule.decay_steps=N"
            say(f"{event.run} is at step {event.step:,} of {total:,} already. Extend it with {how}")
        elif _is_slow(event):
            size, channels = settings.data.crop_size, settings.generator.base_channels
            say(
                f"notice: {size} px and {channels} base channels are meant for a GPU. The time on "
                "this CPU follows after the first steps"
            )

    def _forecast(self, event: events.Forecast) -> str:
        line = (
            f"about {in_words(event.seconds)} for the remaining {counted(event.steps, 'step')}, "
            f"at {_pace(1 / event.seconds_per_step)}"
        )
        if self.started is None or event.seconds < DAY or not _is_slow(self.started):
            return line
        return f"{line}. On a CPU use --preset fast"

    def _block(self) -> RenderableType:
        """Draw the figures that are known by now."""
        if self.progress is not None:
            return figures(
                self.progress, self.validated, reporting=self.reporting, width=self.console.width
            )
        if self.started is not None and self.started.step < self.started.total_steps:
            step, total = self.started.step, self.started.total_steps
            return _bar(step, total, f"step {step:,} of {total:,}")
        if self.started is None and self.checking is not None:
            done, total = self.checking.done, self.checking.total
            return _bar(done, total, f"checking {done:,} of {counted(total, 'picture')}")
        return Group()


def has_more_pictures(report: DataReport) -> bool:
    """Return whether the lines of a check leave pictures out."""
    return any(len(finding.groups) > 1 for finding in report.findings)


def plain_line(progress: events.Progress, validated: events.Validated | None) -> str:
    """Write the figures of a step as ``name=value`` pairs; what is not known yet is left out."""
    pairs: dict[str, str] = {
        "step": f"{progress.step}/{progress.total_steps}",
        "epoch": f"{progress.epoch}/{progress.total_epochs}",
    }
    if (speed := progress.speed) is not None:
        pairs |= {
            "eta": _clock(speed.remaining_seconds),
            "steps_per_s": f"{speed.steps_per_second:.3g}",
            "images_per_s": f"{speed.images_per_second:.3g}",
            "waiting": f"{speed.waiting:.2f}",
        }
    if validated is not None:
        pairs |= {
            "validation": f"{validated.value:.4g}",
            "best": f"{validated.best:.4g}",
            "best_step": f"{validated.best_step}",
        }
    pairs |= {name: f"{value:.4g}" for name, value in progress.losses.items()}
    return " ".join(f"{name}={value}" for name, value in pairs.items())


def _clock(seconds: float) -> str:
    """Return ``H:MM:SS``, with any number of hours."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


def _pace(steps_per_second: float) -> str:
    if steps_per_second < 1:
        return f"{_figure(1 / steps_per_second)} s/step"
    return f"{_figure(steps_per_second)} steps/s"


def _figure(value: float) -> str:
    """Return three significant digits, without an exponent for large values."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def _domains(settings: Settings) -> str:
    """Return ``horses → zebras and back``; the domains of pairs may have no names."""
    names = (settings.data.name_a, settings.data.name_b)
    a, b = (name.upper() if name in ("a", "b") else name for name in names)
    back = " and back" if learns_both_ways(settings.method) else ""
    return f"{a} → {b}{back}"


def _is_slow(event: events.Started) -> bool:
    """Return whether a new training on a CPU is as large as the paper's, and long."""
    settings = event.settings
    return (
        event.report is not None
        and event.device.endswith("cpu")
        and event.total_steps >= LONG
        and settings.data.crop_size >= PAPER.data.crop_size
        and settings.generator.base_channels >= PAPER.generator.base_channels
    )


def say_ending(outcome: events.TrainResult, settings: Settings) -> None:
    """Say what was learnt, how well, and the next commands."""
    steps = counted(outcome.step, "step")
    if outcome.ended_early:
        steps = f"{outcome.step:,} of {counted(outcome.total_steps, 'step')}"
    if outcome.first_step:
        steps += f", the last {outcome.step - outcome.first_step:,}"
    verb = "ended " if outcome.diverged else "learnt"
    say(f"{verb}   {_domains(settings)}, {steps} in {in_words(outcome.seconds)}")
    if outcome.ended_early:
        patience = counted(settings.train.patience, "validation")
        say(f"ended    early: no gain in {patience} (train.patience)")
    if outcome.best is not None:
        say(f"best     step {outcome.best_step:,}, validation {_figure(outcome.best)}")
    if outcome.report is not None:
        say(f"report   {outcome.report}")
    if outcome.diverged:
        return
    run, paired = str(outcome.run), is_paired(settings.method)
    say_command("judge   ", *(["evaluate", run] if paired else ["cycle-check", "--run", run]))
    say_command("use     ", "translate", "in.jpg", "--model", run)


def say_costs(costs: "Costs") -> None:
    """Print the costs of a training as results, one line each."""
    settings, (in_total, free) = costs.settings, map(in_bytes, (costs.disk, costs.free_disk))
    steps, samples = counted(costs.steps, "step"), counted(costs.samples, "sample")
    models, best = in_bytes(costs.models), " twice, with best/" if costs.best else ""
    state, sample = in_bytes(costs.state), in_bytes(costs.sample)
    result(
        f"time     {in_words(costs.seconds)}: {steps} at {_pace(1 / costs.seconds_per_step)}, "
        "with validations and samples"
    )
    place = "the GPU" if costs.device.startswith("cuda") else costs.device
    peak, available = in_bytes(costs.memory), in_bytes(costs.available_memory)
    result(f"memory   {peak} of {available} available on {place}")
    result(
        f"crop     {settings.data.crop_size} px fit; the largest that fits is about "
        f"{costs.largest_crop:,} px, with the same networks and batch"
    )
    result(
        f"disk     {in_total} of {free} free: models {models}{best}, state {state} twice while "
        f"it is saved, {samples} of {sample}"
    )
    if costs.disk > costs.free_disk:
        say_notice("warning: the disk is too small. Free some space, or choose another `out`")
    if costs.memory > costs.available_memory:
        say_notice("warning: the memory is too small. Choose a smaller data.crop_size")


def _bar(done: int, total: int, label: str) -> Table:
    line = Table.grid(expand=True, padding=(0, 2, 0, 0))
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    line.add_row(ProgressBar(total=total, completed=done), label)
    return line


def figures(
    progress: events.Progress, validated: events.Validated | None, *, reporting: bool, width: int
) -> Group:
    """Draw the bar, the time and speed, the validation, and below them the losses."""
    step, total = f"{progress.step:,}", f"{progress.total_steps:,}"
    label = (
        f"step {step:>{len(total)}} of {total}{GAP}"
        f"epoch {progress.epoch} of {progress.total_epochs}"
    )
    parts: list[RenderableType] = [_bar(progress.step, progress.total_steps, label)]
    if reporting:
        parts.append(Text("writing the report"))
    elif (speed := progress.speed) is not None:
        parts.append(Text(_speed(speed)))
    if validated is not None:
        parts.append(Text(_validated(validated)))
    return Group(*parts, *_losses(progress.losses, width=width))


def _speed(speed: events.Speed) -> str:
    left, pictures = speed.remaining_seconds, _figure(speed.images_per_second)
    eta = in_words(left) if left >= DAY else _clock(left)
    figures = (f"ETA {eta}", _pace(speed.steps_per_second), f"{pictures} images/s")
    waiting = f"{speed.waiting:.0%} waiting for pictures"
    return GAP.join((*(figures if left else figures[1:]), waiting))


def _validated(event: events.Validated) -> str:
    line = f"validation {_figure(event.value)} at step {event.step:,}"
    if event.best_step == event.step:
        return f"{line}, the best so far"
    return f"{line}{GAP}best {_figure(event.best)} at step {event.best_step:,}"


def _losses(losses: Mapping[str, float], *, width: int) -> Iterator[Text]:
    """Lay losses out in columns; those of the two directions stand one below the other."""
    cells = [(printable(name), _figure(value)) for name, value in losses.items()]
    columns: list[list[tuple[str, str]]] = []
    for rows in (*((1,) if len(cells) <= 4 else ()), 2, *range(4, len(cells) + 2, 2)):
        columns = [cells[first : first + rows] for first in range(0, len(cells), rows)]
        if sum(map(sum, map(_widths, columns))) + len(columns) * (1 + len(GAP)) <= width:
            break
    for row in range(max(map(len, columns), default=0)):
        line = Text(no_wrap=True, overflow="ellipsis")
        for column in (column for column in columns if row < len(column)):
            (name, value), (wide, long) = column[row], _widths(column)
            line.append(f"{name:<{wide}} ", style="dim").append(f"{value:>{long}}{GAP}")
        yield line


def _widths(column: Sequence[tuple[str, str]]) -> tuple[int, int]:
    return max(len(name) for name, _ in column), max(len(value) for _, value in column)
