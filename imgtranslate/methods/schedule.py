"""The learning rate and the epoch as pure functions of the step."""

import math
from dataclasses import dataclass

from imgtranslate.config import ScheduleSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How far a step is along the way; steps count from 0, epochs from 1.

    An epoch is one pass over the longer side.
    """

    settings: ScheduleSettings
    base_rate: float
    batch_size: int
    longer_side: int  # pictures
    stop_at: int | None  # steps

    def epoch(self, step: int) -> int:
        """The epoch in which ``step`` begins."""
        return 1 + step * self.batch_size // self.longer_side

    def learning_rate(self, step: int) -> float:
        """Constant, then linear towards 0, which the last epoch does not reach (CycleGAN, sec. 4).

        factor(e) = 1 - max(0, e - constant) / (decay + 1), e from 1, in epochs or in steps.
        """
        if self.settings.constant_steps is not None:
            now, constant = step + 1, self.settings.constant_steps
            decay = self.settings.decay_steps or 0
        else:
            now, constant = self.epoch(step), self.settings.epochs
            decay = self.settings.decay_epochs
        return self.base_rate * max(0.0, 1 - max(0, now - constant) / (decay + 1))

    def total_steps(self) -> int:
        """Where training stops: at the schedule's end, or before it if so asked."""
        end = self._end()
        return end if self.stop_at is None else min(end, self.stop_at)

    def total_epochs(self) -> int:
        """The epoch in which the last step falls."""
        return self.epoch(max(0, self.total_steps() - 1))

    def _end(self) -> int:
        if self.settings.constant_steps is not None:
            return self.settings.constant_steps + (self.settings.decay_steps or 0)
        epochs = self.settings.epochs + self.settings.decay_epochs
        return math.ceil(epochs * self.longer_side / self.batch_size)


def build_schedule(settings: Settings, *, longer_side: int) -> Schedule:
    """Build the schedule of a run whose longer side has so many pictures."""
    return Schedule(
        settings=settings.schedule,
        base_rate=settings.optimizer.lr,
        batch_size=settings.train.batch_size,
        longer_side=longer_side,
        stop_at=settings.train.steps,
    )
