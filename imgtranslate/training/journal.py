"""What a training writes down of itself as it goes on, and says where something is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imgtranslate.methods.learner import Learner, best_of
from imgtranslate.methods.schedule import Schedule
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings
from imgtranslate.training.events import Report, Unwell, Validated
from imgtranslate.training.health import Health, Lines

NOT_FINITE = "not_finite"


@dataclass(kw_only=True)
class Journal:
    """Rows of ``metrics.jsonl``, each judged with all before it."""

    run: Run
    schedule: Schedule
    settings: Settings
    report: Report
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        self._reread()

    def write(self, row: Mapping[str, float], learner: Learner, *, learning_rate: float) -> None:
        """Write one row, if there is anything to write, with what it says is wrong."""
        if not row or not learner.group.leads:
            return
        full = {**self._head(learner, learning_rate), **row}
        self._append(full, self.health.see(full))
        if "validation" in row:
            best = best_of(learner.validations)
            self.report(
                Validated(
                    step=learner.steps_done,
                    value=row["validation"],
                    best=learner.validations[best],
                    best_step=(best + 1) * self.settings.train.validate_every,
                )
            )

    def begin_again(self, line: str, learner: Learner, *, learning_rate: float) -> None:
        """Go on from the rows that are left after the learner was set back, and say why."""
        if not learner.group.leads:
            return
        self._reread()
        self._append(self._head(learner, learning_rate), {NOT_FINITE: line})

    def _reread(self) -> None:
        self.health = Health(settings=self.settings)
        for row in self.run.read_metrics():
            self.health.see(row)

    def _head(self, learner: Learner, learning_rate: float) -> dict[str, Any]:
        return {
            "step": learner.steps_done,
            "epoch": self.schedule.epoch(max(0, learner.steps_done - 1)),
            "lr": learning_rate * learner.rate_factor,
        }

    def _append(self, row: Mapping[str, Any], lines: Lines) -> None:
        self.run.append_metrics({**row, "health": lines} if lines else row)
        for name, text in lines.items():
            self.report(Unwell(name=name, text=text))
