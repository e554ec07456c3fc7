"""The result of a whole cycle check, and whether it is good enough."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from imgtranslate.evaluation.cycle_check.schema import (
    CycleCheckFile,
    DirectionFigures,
    FindingRow,
    Row,
    Spread,
    Summary,
    Worst,
)
from imgtranslate.evaluation.cycle_check.scores import CycleFailure, CycleScore
from imgtranslate.evaluation.cycle_check.verdicts import Judgement, Verdict, gravest, judge
from imgtranslate.metrics.estimate import bootstrap_interval
from imgtranslate.model_files.checkpoint import Direction

WORST = 5
_OPPOSITE: Mapping[Direction, Direction] = {"ab": "ba", "ba": "ab"}


@dataclass(frozen=True, kw_only=True)
class CycleSummary:
    """Numbers over all pictures of one or both directions."""

    count: int
    numbers: Mapping[str, Spread | None]  # None where no picture has one
    worst: tuple[CycleScore, ...]  # by MAE, the worst first

    def figures(self) -> dict[str, Any]:
        """Return the fields of the schema's ``Figures``."""
        worst = tuple(Worst(path=str(score.path), mae=score.mae) for score in self.worst)
        return {"count": self.count, **self.numbers, "worst": worst}


@dataclass(frozen=True, kw_only=True)
class DirectionReport:
    """One direction: its numbers and the verdict on them."""

    summary: CycleSummary
    judgement: Judgement
    identity: Spread | None  # of this generator, on pictures of its target; None without any


@dataclass(frozen=True, kw_only=True)
class CycleReport:
    """All pictures, both directions."""

    outcomes: tuple[CycleScore | CycleFailure, ...]
    identities: Mapping[Direction, Sequence[float]] = field(default_factory=dict)  # of more
    steps: Mapping[Direction, int] = field(default_factory=dict)  # of the models
    fail_above: float | None = None  # the largest mean MAE of either direction that passes
    fail_on: tuple[Verdict, ...] = ()  # verdicts that neither direction may have

    @property
    def scores(self) -> list[CycleScore]:
        """The pictures that were measured."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, CycleScore)]

    @property
    def failures(self) -> list[CycleFailure]:
        """The pictures that could not be."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, CycleFailure)]

    @cached_property
    def directions(self) -> dict[Direction, DirectionReport]:
        """Each direction that a picture was measured in, ``ab`` first."""
        found = sorted({score.direction for score in self.scores})
        return {direction: self._direction(direction) for direction in found}

    @property
    def verdict(self) -> Verdict:
        """The gravest of both directions; ``not judged`` if nothing could be measured."""
        return gravest([report.judgement.verdict for report in self.directions.values()])

    @property
    def shortfalls(self) -> list[str]:
        """Why this is not good enough, a line each; none if it is or nothing was requested."""
        requested = self.fail_above is not None or self.fail_on
        if requested and not self.scores:
            return ["nothing could be measured"]
        lines = []
        for direction, report in self.directions.items():
            error = report.summary.numbers["mae"]
            if self.fail_above is not None and error and error.mean > self.fail_above:
                limit = f"{self.fail_above:g}"
                lines.append(f"{direction}: the mean error {error.mean:.4f} is above {limit}")
            found = report.judgement.verdicts
            lines += [f"{direction}: {verdict}" for verdict in found if verdict in self.fail_on]
        return lines

    def document(self) -> CycleCheckFile:
        """Return all of it as `cycle-check --json` prints it."""
        return CycleCheckFile(
            images=tuple(_row(outcome) for outcome in self.outcomes),
            summary=Summary(
                **summarise(self.scores).figures(),
                failed=len(self.failures),
                directions={way: _figures(report) for way, report in self.directions.items()},
                shortfalls=tuple(self.shortfalls),
            ),
            steps={str(way): step for way, step in self.steps.items()},
            verdict=self.verdict,
        )

    def _direction(self, direction: Direction) -> DirectionReport:
        scores = [score for score in self.scores if score.direction == direction]
        opposite = [s.identity for s in self.scores if s.direction == _OPPOSITE[direction]]
        return DirectionReport(
            summary=summarise(scores),
            judgement=judge(scores),
            identity=spread_of([*opposite, *self.identities.get(direction, ())]),
        )


def summarise(scores: Sequence[CycleScore]) -> CycleSummary:
    """Return mean, spread and interval of each number, and the worst pictures."""
    rows = [score.numbers for score in scores]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return CycleSummary(
        count=len(scores),
        numbers={name: spread_of(row[name] for row in rows) for name in names},
        worst=tuple(sorted(scores, key=lambda score: -score.mae)[:WORST]),
    )


def spread_of(numbers: Iterable[float | None]) -> Spread | None:
    """Return mean, spread and interval of the numbers that are known; None without any."""
    values = np.array([number for number in numbers if number is not None])
    if not values.size:
        return None
    low, high = bootstrap_interval(values)
    mean, std = float(values.mean()), float(values.std())
    return Spread(mean=mean, std=std, low=low, high=high, count=values.size)


def _row(outcome: CycleScore | CycleFailure) -> Row:
    path, direction = str(outcome.path), outcome.direction
    if isinstance(outcome, CycleScore):
        return Row(path=path, direction=direction, **outcome.numbers, error=None)
    return Row(
        path=path, direction=direction,
        mae=None, psnr=None, ssim=None, change=None, identity=None, error=outcome.reason,
    )  # fmt: skip


def _figures(report: DirectionReport) -> DirectionFigures:
    judgement = report.judgement
    figures = {**report.summary.figures(), "identity": report.identity}
    return DirectionFigures(
        **figures,
        verdict=judgement.verdict,
        reason=judgement.reason,
        findings=tuple(FindingRow(**vars(finding)) for finding in judgement.findings),
    )
