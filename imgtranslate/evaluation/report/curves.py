"""The curves of a run's metrics, thinned to a few hundred points."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imgtranslate.pages import number, shown
from imgtranslate.runs.folder import Run

POINTS = 400  # of a curve
SCHEDULE = "lr"  # the curve that is no measurement
CURVES, NOTES = 40, 50  # at most, whatever a file holds


@dataclass(frozen=True, kw_only=True)
class Curve:
    """All values of one number, as logged."""

    name: str
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    not_finite: list[int] = field(default_factory=list)  # steps without a value

    def add(self, step: int, value: float) -> None:
        """Add the value of a step."""
        if math.isfinite(value):
            self.steps.append(step)
            self.values.append(value)
        else:
            self.not_finite.append(step)

    def to_json(self) -> dict[str, Any]:
        """Cut the curve into at most ``POINTS`` even parts: mean, lowest and highest of each.

        ``low`` and ``high`` are empty where each part is one value. The learning rate is a
        schedule: its values are those of the steps, not means.
        """
        count, values = len(self.values), np.array(self.values)
        starts = np.unique(np.linspace(0, count, min(POINTS, count), endpoint=False).astype(int))
        ends = np.array([*starts[1:], count])
        means = np.add.reduceat(values, starts) / (ends - starts)
        thinned = len(starts) < count and self.name != SCHEDULE
        if self.name == SCHEDULE:
            means = values[ends - 1]
        lowest = np.minimum.reduceat(values, starts) if thinned else ()
        highest = np.maximum.reduceat(values, starts) if thinned else ()
        return {
            "name": shown(self.name),
            "steps": np.array(self.steps)[ends - 1].tolist(),
            "mean": [number(float(value)) for value in means],
            "low": [number(float(value)) for value in lowest],
            "high": [number(float(value)) for value in highest],
        }


@dataclass(frozen=True, kw_only=True)
class Log:
    """The curves of a run, and its warnings with their steps."""

    curves: list[Curve]
    notes: list[tuple[int, str]]
    rows: int
    last_step: int

    @property
    def validations(self) -> list[tuple[int, float]]:
        """Steps and values of the validation; lower is better."""
        found = [curve for curve in self.curves if curve.name == "validation"]
        return list(zip(found[0].steps, found[0].values, strict=True)) if found else []

    @property
    def recent_notes(self) -> list[tuple[int, str]]:
        """The warnings of the second half; a lasting sign is reported again after twice as many."""
        return [(step, text) for step, text in self.notes if step > self.last_step / 2]

    def ended_early(self, patience: int) -> bool:
        """Return whether ``train.patience`` has ended the training; 0 never does."""
        values = [value for _, value in self.validations]
        without = len(values) - 1 - values.index(min(values)) if values else 0
        return 0 < patience <= without

    def validation_figures(self) -> dict[str, dict[str, float]] | None:
        """Return step and value of the first, the last and the best validation."""
        if not (found := self.validations):
            return None
        chosen = {"first": found[0], "last": found[-1], "best": min(found, key=lambda one: one[1])}
        return {name: {"step": step, "value": value} for name, (step, value) in chosen.items()}

    def faults(self) -> list[str]:
        """Return a sentence for each number that was not finite."""
        lines = []
        for curve in self.curves:
            where = ", ".join(f"{step:,}" for step in curve.not_finite[:3])
            more = f" and {len(curve.not_finite) - 3:,} more" if len(curve.not_finite) > 3 else ""
            if where:
                lines.append(f"{shown(curve.name)} was not finite at step {where}{more}.")
        return lines


def read_log(run: Run) -> Log:
    """Read the curves of a run and its warnings; empty where nothing has been logged."""
    curves: dict[str, Curve] = {}
    notes: list[tuple[int, str]] = []
    rows, last = 0, 0
    for row in run.read_metrics():
        rows, last = rows + 1, max(last, row.step)
        for name, value in row.numbers.items():
            if name != "epoch" and (name in curves or len(curves) < CURVES):
                curves.setdefault(name, Curve(name=name)).add(row.step, value)
        notes += [(row.step, text) for text in row.health.values()][: NOTES - len(notes)]
    return Log(curves=list(curves.values()), notes=notes, rows=rows, last_step=last)
