"""What a run keeps of a learner and of its data, and how both are found again."""

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from imgtranslate._version import __version__
from imgtranslate.checkpoint import ENCODER_PREFIX, ModelHeader, StateHeader, load_tensors, save
from imgtranslate.config import Settings, is_paired
from imgtranslate.data.check import DataReport
from imgtranslate.data.folders import Domain, find_domains, relative_name, without
from imgtranslate.errors import CheckpointError
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.run_folder import Run


def save_run(run: Run, learner: Learner, settings: Settings) -> None:
    """Write the models, then the state; each whole or not at all."""
    for direction, (generator, encoder) in learner.models().items():
        tensors = generator.state_dict()
        if encoder is not None:
            tensors |= {f"{ENCODER_PREFIX}{n}": t for n, t in encoder.state_dict().items()}
        header = _model_header(direction, settings, learner.steps_done)
        save(run.model(direction), tensors, header)
    state_header = StateHeader(
        step=learner.steps_done,
        positions=learner.steps_done * settings.train.batch_size,
        parameters=parameter_count(learner),
    )
    save(run.state, learner.state_tensors(), state_header)


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
            f"{(str(error) or repr(error)).splitlines()[0]}. Restore both from one copy"
        ) from error


def record_of(report: DataReport) -> dict[str, Any]:
    """What a run is made with; a resume finds the same pictures by it."""
    record: dict[str, Any] = {
        "imgtranslate": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "facts": _writable(report.lines),
        "warnings": _writable(report.warnings),
    }
    for domain, left_out in zip(report.domains, report.left_out, strict=True):
        record |= {
            f"pictures_{domain.letter}": len(domain.files),
            f"fingerprint_{domain.letter}": domain.fingerprint(),
            f"left_out_{domain.letter}": [relative_name(f, domain.folder) for f in left_out],
            f"held_out_{domain.letter}": [str(f.absolute()) for f in domain.held_out],
        }
    return record


def _writable(lines: Iterable[str]) -> list[str]:
    """Lines that may name files of any bytes, as UTF-8 can hold them."""
    return [line.encode(errors="backslashreplace").decode() for line in lines]


def domains_of_run(settings: Settings, record: Mapping[str, Any]) -> tuple[Domain, Domain]:
    """List the pictures that the run was begun with, in their order."""
    held_out = tuple(
        tuple(Path(path) for path in record.get(f"held_out_{letter}", [])) for letter in "ab"
    )
    found = find_domains(
        settings.data, paired=is_paired(settings.method), held_out=(held_out[0], held_out[1])
    )
    a, b = (
        without(d, [d.folder / name for name in record.get(f"left_out_{d.letter}", [])])
        for d in found
    )
    return a, b


def has_changed(domain: Domain, record: Mapping[str, Any]) -> bool:
    """Whether the pictures are not those that the run was begun with."""
    return domain.fingerprint() != record.get(f"fingerprint_{domain.letter}")
