"""What a run keeps of a learner and of its data, and how both are found again."""

import platform
from collections.abc import Iterable
from typing import Any

import torch

from imgtranslate._version import __version__
from imgtranslate.data.folders import relative_name
from imgtranslate.data_check.check import DataReport
from imgtranslate.errors import CheckpointError
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.model_files.checkpoint import (
    ENCODER_PREFIX,
    ModelHeader,
    StateHeader,
    load_tensors,
    save,
)
from imgtranslate.runs.data import fingerprints
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings


def save_run(run: Run, learner: Learner, settings: Settings) -> None:
    """Write the models, then the state; each whole or not at all."""
    _save_models(run, learner, settings)
    state_header = StateHeader(
        step=learner.steps_done,
        positions=learner.steps_done * settings.train.batch_size,
        parameters=parameter_count(learner),
    )
    save(run.state, learner.state_tensors(), state_header)


def save_best(run: Run, learner: Learner, settings: Settings) -> None:
    """Keep the models of this step as the best, all of them at once.

    The state of the step should be saved before: if this is cut short, ``mend_best`` does it.
    """
    with run.replacing_best() as best:
        _save_models(best, learner, settings)


def mend_best(run: Run, learner: Learner, settings: Settings) -> None:
    """Keep the models as the best if the state was saved for that, and a kill came between."""
    if learner.is_best() and learner.steps_done % settings.train.validate_every == 0:
        save_best(run, learner, settings)


def _save_models(run: Run, learner: Learner, settings: Settings) -> None:
    for direction, (generator, encoder) in learner.models().items():
        tensors = generator.state_dict()
        if encoder is not None:
            tensors |= {f"{ENCODER_PREFIX}{n}": t for n, t in encoder.state_dict().items()}
        header = _model_header(direction, settings, learner.steps_done)
        save(run.model(direction), tensors, header)


def _model_header(direction: str, settings: Settings, step: int) -> ModelHeader:
    data = settings.data
    a, b = (data.name_a, data.channels_a), (data.name_b, data.channels_b)
    source, target = (a, b) if direction == "ab" else (b, a)
    return ModelHeader(
        generator=settings.generator,
        encoder=settings.encoder,
        in_channels=source[1],
        out_channels=target[1],
        direction="ab" if direction == "ab" else "ba",
        source=source[0],
        target=target[0],
        load_size=data.load_size,
        crop_size=data.crop_size,
        method=settings.method.kind,
        step=step,
        versions={"imgtranslate": __version__, "torch": str(torch.__version__)},
    )


def restore_run(learner: Learner, run: Run, header: StateHeader) -> None:
    """Bring a new learner to where the run was saved; ``CheckpointError`` if it does not fit."""
    try:
        learner.restore(load_tensors(run.state), steps_done=header.step)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{run.state}: does not fit the settings in {run.config.name}: "
            f"{_one_line(error)}. Restore both from one copy"
        ) from error


def refuse_other_batches(run: Run, header: StateHeader, settings: Settings) -> None:
    """Raise ``CheckpointError`` if steps were made with batches of another size."""
    if header.positions != header.step * settings.train.batch_size:
        raise CheckpointError(
            f"{run.state}: {header.step} steps over {header.positions} pictures do not fit the "
            f"train.batch_size {settings.train.batch_size} in {run.config.name}. Restore both from "
            "one copy"
        )


def _one_line(error: Exception) -> str:
    """What torch says over many lines, or a missing name alone, cut to one that can be read."""
    said = f"{error} is missing" if isinstance(error, KeyError) else str(error) or repr(error)
    return " ".join(said.split())[:300].rstrip(".")


def record_of(report: DataReport) -> dict[str, Any]:
    """What a run is made with; a resume finds the same pictures by it."""
    record: dict[str, Any] = {
        "imgtranslate": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "facts": _writable(report.lines),
        "warnings": _writable(report.warnings),
    }
    record |= fingerprints(report.domains)
    for domain, left_out in zip(report.domains, report.left_out, strict=True):
        record |= {
            f"pictures_{domain.letter}": len(domain.files),
            f"left_out_{domain.letter}": [relative_name(f, domain.folder) for f in left_out],
            f"held_out_{domain.letter}": [str(f.absolute()) for f in domain.held_out],
        }
    return record


def _writable(lines: Iterable[str]) -> list[str]:
    """Lines that may name files of any bytes, as UTF-8 can hold them."""
    return [line.encode(errors="backslashreplace").decode() for line in lines]
