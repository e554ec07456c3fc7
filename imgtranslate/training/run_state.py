"""The state of a learner in its run: saving, restoring, and recovery from losses not finite."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from imgtranslate._version import __version__
from imgtranslate.data.folders import relative_name
from imgtranslate.data.loader import SampleDataset
from imgtranslate.data_check.check import DataReport
from imgtranslate.errors import CheckpointError, ImgTranslateError, one_line
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.model_files.checkpoint import (
    ENCODER_PREFIX,
    ModelHeader,
    StateHeader,
    load_tensors,
    read_state_header,
    save,
)
from imgtranslate.runs.data import fingerprints
from imgtranslate.runs.folder import Run
from imgtranslate.settings.presets import name_of_method
from imgtranslate.training.health import MetricsLog
from imgtranslate.training.processes import share_state

RECOVERY_RATE = 0.5  # factor of the learning rate after a recovery
FILES_SHOWN = 4  # of the batch with losses that are not finite


def save_run(run: Run, learner: Learner) -> None:
    """Write the models, then the state, each atomically."""
    _save_models(run, learner)
    state_header = StateHeader(
        step=learner.steps_done,
        positions=learner.steps_done * learner.split.batch_size,
        parameters=parameter_count(learner),
    )
    save(run.state, learner.state_tensors(), state_header)


def save_best(run: Run, learner: Learner, *, keep: bool = False) -> None:
    """Save the models of this step as the best, in one step.

    The state must be saved first: if this is interrupted, a resume repeats it. ``keep``: keep the
    models that were the best before.
    """
    with run.replacing_best(keep=keep) as best:
        _save_models(best, learner)


def restore_run(learner: Learner, run: Run, header: StateHeader) -> None:
    """Restore a learner from its run; raise ``CheckpointError`` if the state does not fit."""
    batch_size = learner.split.batch_size
    if header.positions != header.step * batch_size:
        raise CheckpointError(
            f"{run.state}: {header.step} steps over {header.positions} pictures do not fit the "
            f"train.batch_size {batch_size} in {run.config.name}. Restore both from one backup"
        )
    try:
        learner.restore(load_tensors(run.state), steps_done=header.step)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error) or repr(error)
        raise CheckpointError(
            f"{run.state}: does not fit the settings in {run.config.name}: "
            f"{one_line(said)}. Restore both from one backup"
        ) from error


def record_of(report: DataReport) -> dict[str, Any]:
    """Return the record of a run: versions, and the pictures that a resume needs."""
    record: dict[str, Any] = {
        "imgtranslate": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "facts": _as_utf8(report.lines),
        "warnings": _as_utf8(report.warnings),
    }
    record |= fingerprints(report.domains)
    for domain, left_out in zip(report.domains, report.left_out, strict=True):
        record |= {
            f"pictures_{domain.letter}": len(domain.files),
            f"left_out_{domain.letter}": [relative_name(f, domain.folder) for f in left_out],
            f"held_out_{domain.letter}": [str(f.absolute()) for f in domain.held_out],
        }
    return record


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """The recovery from losses that are not finite, by the last saved state, once in a run."""

    run: Run
    dataset: SampleDataset
    log: MetricsLog

    def recover(self, learner: Learner, *, thorough: bool, learning_rate: float) -> bool:
        """Reset a broken learner to the saved state with a lower learning rate, and log why.

        Returns False if the losses are finite, and with ``thorough`` the weights too, which can
        break before losses do. It must be called before the learner writes a file. Raises
        ``ImgTranslateError`` if the run was reset before; its files do not change.
        """
        broken = learner.first_broken_step()
        if broken is None and thorough and not learner.is_finite():
            broken = learner.steps_done
        if broken is None:
            return False
        line = self._set_back(learner, broken) if learner.group.leads else ""
        share_state(learner)
        self.log.restart(line, learner, learning_rate=learning_rate)
        return True

    def _set_back(self, learner: Learner, broken: int) -> str:
        header, files = read_state_header(self.run.state), self._files_of(broken)
        if learner.rate_factor < 1:
            raise ImgTranslateError(
                f"{self.run.folder}: the losses are again not finite, at step {broken} ({files}). "
                f"The state of step {header.step} is kept. Check these pictures, or start again "
                "with a lower optimizer.lr or another train.seed"
            )
        restore_run(learner, self.run, header)
        learner.rate_factor = RECOVERY_RATE
        save_run(self.run, learner)
        self.run.rewind_metrics(header.step)
        return (
            f"the losses are not finite at step {broken} ({files}). Continuing from step "
            f"{header.step} at half the learning rate; if it happens again, the run stops"
        )

    def _files_of(self, step: int) -> str:
        """List the files in the batch of a step; steps count from 1."""
        size = self.log.schedule.settings.train.batch_size
        places = range((step - 1) * size, step * size)
        names = [self.dataset.file_at(place, side=side) for place in places for side in (0, 1)]
        shown = ", ".join(str(name) for name in dict.fromkeys(names[:FILES_SHOWN]))
        return f"{shown} and {len(names) - FILES_SHOWN} more" if len(names) > FILES_SHOWN else shown


def _save_models(run: Run, learner: Learner) -> None:
    settings, data = learner.settings, learner.settings.data
    a, b = (data.name_a, data.channels_a), (data.name_b, data.channels_b)
    for direction, (generator, encoder) in learner.models().items():
        (source, in_channels), (target, out_channels) = (a, b) if direction == "ab" else (b, a)
        tensors = generator.state_dict()
        if encoder is not None:
            tensors |= {f"{ENCODER_PREFIX}{n}": t for n, t in encoder.state_dict().items()}
        header = ModelHeader(
            generator=settings.generator,
            encoder=settings.encoder,
            in_channels=in_channels,
            out_channels=out_channels,
            direction=direction,
            source=source,
            target=target,
            load_size=data.load_size,
            crop_size=data.crop_size,
            method=name_of_method(settings),
            step=learner.steps_done,
            versions={"imgtranslate": __version__, "torch": str(torch.__version__)},
        )
        save(run.model(direction), tensors, header)


def _as_utf8(lines: Iterable[str]) -> list[str]:
    """Escape file names that are not valid UTF-8; on Linux they may be any bytes."""
    return [line.encode(errors="backslashreplace").decode() for line in lines]
