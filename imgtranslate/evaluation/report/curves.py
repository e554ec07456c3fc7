"""The curves of a run's metrics, thinned to a few hundred points."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imgtranslate.pages import number, shown
from imgtranslate.runs.folder import Run

POINTS = 400  # of a curve
CURVES, NOTES = 40, 50  # at most, whatever a file holds


@dataclass(kw_only=True)
class _Series:
    """All values of one number, as logged."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    not_finite: list[int] = field(default_factory=list)  # steps


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A number over the steps; of many rows the mean, lowest and highest of each few."""

    name: str
    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    rows: int
    not_finite: list[int]  # steps

    def to_json(self) -> dict[str, Any]:
        """Return plain values; ``low`` and ``high`` are empty where nothing was thinned."""
        thinned = self.rows > len(self.mean)
        return {
            "name": shown(self.name),
            "steps": self.steps,
            "mean": [number(value) for value in self.mean],
            "low": [number(value) for value in self.low] if thinned else [],
            "high": [number(value) for value in self.high] if thinned else [],
        }


@dataclass(frozen=True, kw_only=True)
class Log:
    """The curves of a run, and its warnings with their steps."""

    curves: list[Curve]
    notes: list[tuple[int, str]]
    rows: int
    last_step: int

    @property
    def not_finite(self) -> dict[str, list[int]]:
        """The steps at which a number was not finite, by its name."""
        return {curve.name: curve.not_finite for curve in self.curves if curve.not_finite}


def read_log(run: Run) -> Log:
    """Read the curves of a run and its warnings; empty where nothing has been logged."""
    series: dict[str, _Series] = {}
    notes: list[tuple[int, str]] = []
    rows, last = 0, 0
    for row in run.read_metrics():
        rows, last = rows + 1, max(last, row.step)
        for name, value in row.numbers.items():
            if name != "epoch" and (name in series or len(series) < CURVES):
                _add(series.setdefault(name, _Series()), row.step, value)
        notes += [(row.step, text) for text in row.health.values()][: NOTES - len(notes)]
    curves = [_thinned(name, one) for name, one in series.items()]
    return Log(curves=curves, notes=notes, rows=rows, last_step=last)


def _add(series: _Series, step: int, value: float) -> None:
    if math.isfinite(value):
        series.steps.append(step)
        series.values.append(value)
    else:
        series.not_finite.append(step)


def _thinned(name: str, series: _Series) -> Curve:
    """Cut a series into at most ``POINTS`` even parts: mean, lowest and highest of each."""
    count = len(series.values)
    steps, values = np.array(series.steps), np.array(series.values)
    starts = np.unique(np.linspace(0, count, min(POINTS, count), endpoint=False).astype(int))
    lengths = np.diff([*starts, count])
    if not count:
        starts, lengths = np.zeros(0, int), np.ones(0)
    return Curve(
        name=name,
        steps=steps[starts + lengths.astype(int) - 1].tolist() if count else [],
        mean=_by_part(np.add, values, starts, divisor=lengths),
        low=_by_part(np.minimum, values, starts),
        high=_by_part(np.maximum, values, starts),
        rows=count,
        not_finite=series.not_finite,
    )


def _by_part(reduce: np.ufunc, values: Any, starts: Any, *, divisor: Any = 1.0) -> list[float]:
    if not len(starts):
        return []
    parts: list[float] = (reduce.reduceat(values / 1.0, starts) / divisor).tolist()
    return parts
