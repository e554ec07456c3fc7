"""What a run does once its numbers are not finite: back to the last good state, but only once."""

from dataclasses import dataclass

from imgtranslate.data.loader import SampleDataset
from imgtranslate.errors import ImgTranslateError
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import read_state_header
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings
from imgtranslate.training.processes import share_state
from imgtranslate.training.run_state import restore_run, save_run

SHOWN = 4  # how many of a batch's files a line names
SLOWER = 0.5  # what the learning rate is multiplied with


@dataclass(kw_only=True)
class SafetyNet:
    """Asked before anything is written of a learner, so that what lies on the disk is good."""

    run: Run
    settings: Settings
    dataset: SampleDataset
    line: str = ""  # about what was caught last

    def catches(self, learner: Learner, *, thorough: bool) -> bool:
        """Whether the learner was broken, and now stands at the last saved state, but slower.

        By its losses; ``thorough`` looks at the weights too, of which no loss tells yet. Raises
        ``ImgTranslateError`` if this run was set back before; models, state and best then stay.
        """
        broken = learner.first_broken_step()
        if broken is None and thorough and not learner.is_finite():
            broken = learner.steps_done
        if broken is None:
            return False
        if learner.group.leads:
            self._set_back(learner, broken)
        share_state(learner, learner.group)
        return True

    def _set_back(self, learner: Learner, broken: int) -> None:
        header, files = read_state_header(self.run.state), self._files_of(broken)
        if learner.rate_factor < 1:
            raise ImgTranslateError(
                f"{self.run.folder}: the losses are not finite again, at step {broken} ({files}). "
                f"The state of step {header.step} is kept. Look at these pictures, or begin anew "
                "with a lower --lr or another --seed"
            )
        restore_run(learner, self.run, header)
        learner.rate_factor = SLOWER
        save_run(self.run, learner, self.settings)
        self.run.rewind_metrics(header.step)
        self.line = (
            f"the losses are not finite at step {broken} ({files}). Going on from step "
            f"{header.step} at half the learning rate; should it happen again, the run stops"
        )

    def _files_of(self, step: int) -> str:
        """The files that a step, counted from 1, learnt from."""
        size = self.settings.train.batch_size
        places = range((step - 1) * size, step * size)
        names = [self.dataset.file_at(place, side=side) for place in places for side in (0, 1)]
        shown = ", ".join(str(name) for name in dict.fromkeys(names[:SHOWN]))
        return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
