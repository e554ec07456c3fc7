"""What a whole cycle check found, and whether that is good enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from imgtranslate.evaluation.cycle_check.scores import (
    CycleFailure,
    CycleScore,
    CycleSummary,
    Spread,
    spread_of,
    summarise,
)
from imgtranslate.evaluation.cycle_check.verdicts import Judgement, Verdict, gravest, judge
from imgtranslate.model_files.checkpoint import Direction

_OPPOSITE: Mapping[Direction, Direction] = {"ab": "ba", "ba": "ab"}


@dataclass(frozen=True, kw_only=True)
class DirectionReport:
    """One direction: its numbers and what they mean."""

    summary: CycleSummary
    judgement: Judgement
    identity: Spread | None  # of this generator, on pictures of its target; None without any

    def to_json(self) -> dict[str, Any]:
        """The same with plain values."""
        identity = self.identity and vars(self.identity)
        return {**self.summary.to_json(), "identity": identity, **self.judgement.to_json()}


@dataclass(frozen=True, kw_only=True)
class CycleReport:
    """All pictures, both directions."""

    outcomes: tuple[CycleScore | CycleFailure, ...]
    identities: Mapping[Direction, Sequence[float]] = field(default_factory=dict)  # of more
    steps: Mapping[Direction, int] = field(default_factory=dict)  # of the models
    fail_above: float | None = None  # the largest mean MAE of either direction that passes
    fail_on: tuple[Verdict, ...] = ()  # what neither direction may be

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
        """Why this is not good enough, a line each; none if it is or nothing was asked."""
        asked = self.fail_above is not None or self.fail_on
        if asked and not self.scores:
            return ["nothing could be measured"]
        return [
            line
            for direction, report in self.directions.items()
            for line in (*self._above(direction, report), *self._on(direction, report))
        ]

    def to_json(self) -> dict[str, Any]:
        """Rows, summary and verdict as plain values."""
        summary = summarise(self.scores).to_json()
        summary["failed"] = len(self.failures)
        summary["directions"] = {key: value.to_json() for key, value in self.directions.items()}
        summary["shortfalls"] = self.shortfalls
        rows = [outcome.to_json() for outcome in self.outcomes]
        steps = dict(self.steps)
        return {"images": rows, "summary": summary, "steps": steps, "verdict": self.verdict}

    def _direction(self, direction: Direction) -> DirectionReport:
        scores = [score for score in self.scores if score.direction == direction]
        opposite = [s.identity for s in self.scores if s.direction == _OPPOSITE[direction]]
        return DirectionReport(
            summary=summarise(scores),
            judgement=judge(scores),
            identity=spread_of([*opposite, *self.identities.get(direction, ())]),
        )

    def _above(self, direction: Direction, report: DirectionReport) -> list[str]:
        error = report.summary.numbers["mae"]
        if self.fail_above is None or error is None or error.mean <= self.fail_above:
            return []
        return [f"{direction}: the mean error {error.mean:.4f} is above {self.fail_above:g}"]

    def _on(self, direction: Direction, report: DirectionReport) -> list[str]:
        found = report.judgement.verdicts
        return [f"{direction}: {verdict}" for verdict in found if verdict in self.fail_on]
