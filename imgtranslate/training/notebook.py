"""The progress of a training in a notebook: figures and samples that are drawn again."""

import time
from collections.abc import Iterator
from datetime import timedelta
from html import escape
from pathlib import Path
from typing import Protocol

from imgtranslate.errors import UsageError
from imgtranslate.training import events

EVERY = 0.5  # seconds between two drawings
WIDTH, HEIGHT = 640, 90  # px of the curve
BOX = "max-width:640px;font:14px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums"
BAR = "height:8px;border-radius:4px;overflow:hidden;margin:4px 0;background:#8884"
NOTE = "padding-left:8px;border-left:3px solid #d97706"


class _Output(Protocol):
    """An output of a cell that can be replaced."""

    def update(self, shown: object) -> None: ...


class NotebookProgress:
    """The live figures of a training, as ``report`` of ``train`` or ``resume`` in a notebook.

    It shows a bar with the time left, the validation as a curve, the last losses, the newest
    samples, and warnings. The output needs no widgets and no script, and stays in the notebook.
    """

    def __init__(self) -> None:
        try:
            import IPython  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "NotebookProgress: IPython is not installed. Use it in a notebook, or leave "
                "`report` out"
            ) from error
        self._output: _Output | None = None
        self._drawn_at = float("-inf")
        self._checking: events.Checking | None = None
        self._started: events.Started | None = None
        self._progress: events.Progress | None = None
        self._validations: list[events.Validated] = []
        self._samples: _Output | None = None
        self._notes: list[str] = []

    def __call__(self, event: events.Event) -> None:
        """Show an event; figures that change with every step are shown twice a second."""
        at_once = True
        match event:
            case events.Checking():
                self._checking, at_once = event, event.done == event.total
            case events.Started():
                self._started = event
            case events.Progress():
                self._progress, at_once = event, event.step == event.total_steps
            case events.Validated():
                # After a loss that is not finite, steps are made again.
                known = [each for each in self._validations if each.step < event.step]
                self._validations = [*known, event]
            case events.Drawn():
                self._show_samples(event.picture)
            case events.Unwell() | events.Notice():
                self._notes.append(event.text)
            case _:
                return
        if at_once or time.monotonic() - self._drawn_at > EVERY:
            self._draw()

    def __repr__(self) -> str:
        """Return the figures in one line, for a front end without HTML."""
        return " · ".join(line for line in (self._heading(), self._pace()) if line)

    def _repr_html_(self) -> str:
        """Return the output for IPython."""
        return f'<div style="{BOX}">{"".join(self._parts())}</div>'

    def _draw(self) -> None:
        from IPython.display import display

        self._drawn_at = time.monotonic()
        if self._output is None:
            self._output = display(self, display_id=True)
        else:
            self._output.update(self)

    def _show_samples(self, picture: Path) -> None:
        """Show a picture in an output of its own, which is sent only when there is a new one."""
        from IPython.display import Image, display

        if not picture.is_file():
            return
        shown = Image(data=picture.read_bytes(), format="png", width=WIDTH)
        if self._samples is None:
            self._samples = display(shown, display_id=True)
        else:
            self._samples.update(shown)

    def _parts(self) -> Iterator[str]:
        yield f"<div>{escape(self._heading())}</div>"
        share = 100 * self._share()
        yield (
            f'<div style="{BAR}"><div style="height:100%;width:{share:.1f}%;background:#4f6bed">'
            "</div></div>"
        )
        yield f'<div style="opacity:.75">{escape(self._pace())}</div>'
        if self._validations:
            yield self._curve(self._validations)
        if self._progress is not None and self._progress.losses:
            yield f'<div style="opacity:.75;font-size:12px">{self._losses(self._progress)}</div>'
        for note in self._notes:
            yield f'<div style="margin-top:8px;{NOTE}">{escape(note)}</div>'

    def _heading(self) -> str:
        """Return the run and its step."""
        if self._started is None:
            checking = self._checking
            return "" if checking is None else f"checked {checking.done:,} of {checking.total:,}"
        step, total = self._started.step, self._started.total_steps
        epochs = ""
        if self._progress is not None:
            step = self._progress.step
            epochs = f" · epoch {self._progress.epoch} of {self._progress.total_epochs}"
        return f"{self._started.run.name} · step {step:,} of {total:,}{epochs}"

    def _share(self) -> float:
        """Return the part that is done, 0 to 1."""
        if self._progress is not None:
            return self._progress.step / self._progress.total_steps
        if self._started is None and self._checking is not None:
            return self._checking.done / max(self._checking.total, 1)
        return 0.0

    def _pace(self) -> str:
        """Return the time left and the speed."""
        speed = None if self._progress is None else self._progress.speed
        if speed is None:
            return ""
        steps = speed.steps_per_second
        pace = f"{steps:.3g} steps/s" if steps >= 1 else f"{1 / steps:.3g} s/step"
        left = timedelta(seconds=round(speed.remaining_seconds))
        return pace if not left else f"{left} left · {pace}"

    def _curve(self, found: list[events.Validated]) -> str:
        """Draw the validations over the steps, with the best one marked."""
        total = self._started.total_steps if self._started is not None else found[-1].step
        high, low = max(each.value for each in found), min(each.value for each in found)
        places = {
            each.step: (
                6 + each.step / max(total, 1) * (WIDTH - 12),
                6 + (high - each.value) / ((high - low) or 1) * (HEIGHT - 12),
            )
            for each in found
        }
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places.values())
        last, mark = found[-1], ""
        if last.best_step in places:
            x, y = places[last.best_step]
            mark = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        words = f"validation {last.value:.3g} · best {last.best:.3g} at step {last.best_step:,}"
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" style="width:100%;display:block;margin-top:8px" '
            f'role="img" aria-label="{words}" fill="#4f6bed">'
            f'<polyline points="{line}" fill="none" stroke="#4f6bed" stroke-width="2"/>{mark}</svg>'
            f'<div style="opacity:.75">{words}</div>'
        )

    def _losses(self, progress: events.Progress) -> str:
        """List the losses; a line breaks between two of them."""
        each = (f"{escape(name)} {value:.3g}" for name, value in progress.losses.items())
        return " · ".join(f'<span style="white-space:nowrap">{one}</span>' for one in each)
