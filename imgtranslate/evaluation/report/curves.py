"""What a run has logged, thinned to what a page can show."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imgtranslate.pages import number, shown

POINTS = 400  # of a curve
CURVES, NOTES = 40, 50  # at most, whatever a file holds
_KEPT = ("step", "epoch")  # places, not measures


@dataclass(kw_only=True)
class _Series:
    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    not_finite: list[float] = field(default_factory=list)  # steps


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One number over the steps; where rows were many, the mean, lowest and highest of each few."""

    name: str
    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    rows: int
    not_finite: list[float]  # steps at which there was no number

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``low`` and ``high`` are empty where nothing was thinned."""
        thinned = self.rows > len(self.mean)
        return {
            "name": shown(self.name),
            "steps": [int(step) for step in self.steps],
            "mean": [number(value) for value in self.mean],
            "low": [number(value) for value in self.low] if thinned else [],
            "high": [number(value) for value in self.high] if thinned else [],
        }


@dataclass(frozen=True, kw_only=True)
class Log:
    """The curves of a run and what it said in words, with the step."""

    curves: list[Curve]
    notes: list[tuple[float, str]]
    rows: int
    last_step: float

    @property
    def not_finite(self) -> dict[str, list[float]]:
        """The steps at which a number was none, by its name."""
        return {curve.name: curve.not_finite for curve in self.curves if curve.not_finite}


def read_log(path: Path) -> Log:
    """Read ``metrics.jsonl``: lines that are no rows, and a file that is not there, are nothing."""
    series: dict[str, _Series] = {}
    notes: list[tuple[float, str]] = []
    rows, last = 0, 0.0
    for step, row in _rows(path):
        rows, last = rows + 1, max(last, step)
        for name, value in row.items():
            if isinstance(value, float) and (name in series or len(series) < CURVES):
                _add(series.setdefault(name, _Series()), step, value)
        notes += [(step, text) for text in _words(row)][: NOTES - len(notes)]
    curves = [_thinned(name, one) for name, one in series.items()]
    return Log(curves=curves, notes=notes, rows=rows, last_step=last)


def _rows(path: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    """Each row's step and its numbers as floats, and whatever else it holds."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            row = _parsed(line)
            step = row.get("step")
            if isinstance(step, float) and math.isfinite(step):
                yield step, {n: v for n, v in row.items() if n not in _KEPT}


def _parsed(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _add(series: _Series, step: float, value: float) -> None:
    if math.isfinite(value):
        series.steps.append(step)
        series.values.append(value)
    else:
        series.not_finite.append(step)


def _words(row: Mapping[str, Any]) -> list[str]:
    """What a row says in words: texts, and lists of them."""
    values = (value if isinstance(value, list) else [value] for value in row.values())
    return [text for each in values for text in each if isinstance(text, str)]


def _thinned(name: str, series: _Series) -> Curve:
    """The mean, lowest and highest of each of at most ``POINTS`` even parts of a series."""
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
