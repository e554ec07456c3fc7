"""The learning rate and the epoch as pure functions of the step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imgtranslate.settings.config import Settings


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The epoch and learning rate of each step; steps count from 0, epochs from 1.

    An epoch is one pass over the larger side.
    """

    settings: Settings
    longer_side: int  # pictures

    def epoch(self, step: int) -> int:
        """Return the epoch of ``step``."""
        return 1 + step * self.settings.train.batch_size // self.longer_side

    def learning_rate(self, step: int, validations: Sequence[float] = ()) -> float:
        """Return the learning rate of ``step``; only ``plateau`` uses the ``validations`` so far.

        Schedules count epochs from 1, or steps if they are given in steps.
        """
        constant, decay = self._spans()
        now = step + 1 if self.settings.schedule.constant_steps is not None else self.epoch(step)
        return self.settings.optimizer.lr * self._factor(now, constant, decay, validations)

    def decay_position(self) -> int | None:
        """Return the first position of a side in the decay part; None unless it is linear."""
        if self.settings.schedule.kind != "linear":
            return None
        constant, _ = self._spans()
        by_steps = self.settings.schedule.constant_steps is not None
        return constant * (self.settings.train.batch_size if by_steps else self.longer_side)

    def total_steps(self) -> int:
        """Return the step at which training stops: the end of the schedule, or ``train.steps``."""
        total, train = sum(self._spans()), self.settings.train
        if self.settings.schedule.constant_steps is None:
            total = math.ceil(total * self.longer_side / train.batch_size)
        return total if train.steps is None else min(total, train.steps)

    def total_epochs(self) -> int:
        """Return the epoch of the last step."""
        return self.epoch(max(0, self.total_steps() - 1))

    def _factor(self, now: int, constant: int, decay: int, validations: Sequence[float]) -> float:
        settings = self.settings.schedule
        match settings.kind:
            case "linear":  # CycleGAN, section 4; the rate of the last epoch is above 0
                return max(0.0, 1 - max(0, now - constant) / (decay + 1))
            case "step":
                return float(settings.factor ** ((now - 1) // settings.every))
            case "multistep":
                return float(settings.factor ** sum(m < now for m in settings.milestones))
            case "cosine":  # arXiv 1608.03983, equation 5, without restarts
                return max(0.0, 0.5 * (1 + math.cos(math.pi * (now - 1) / (constant + decay))))
            case "plateau":
                return float(settings.factor ** count_plateaus(validations, settings.patience))
            case "constant":
                return 1.0

    def _spans(self) -> tuple[int, int]:
        """Return the lengths of the constant and the decay part, in epochs or in steps."""
        settings = self.settings.schedule
        if settings.constant_steps is not None:
            return settings.constant_steps, settings.decay_steps or 0
        return settings.epochs, settings.decay_epochs


def count_plateaus(validations: Sequence[float], patience: int) -> int:
    """Count how often ``patience`` + 1 validations in a row failed to improve the best by 1 %.

    As in the scheduler of the reference, counting starts again after each plateau.
    """
    best, bad, falls = math.inf, 0, 0
    for value in validations:
        if value < best * (1 - 0.01):
            best, bad = value, 0
        else:
            bad += 1
        if bad > patience:
            falls, bad = falls + 1, 0
    return falls
