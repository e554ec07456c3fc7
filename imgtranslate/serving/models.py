"""The models that are served: loaded once, and known by the names of their domains."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtranslate.engines.footprint import scratch_bytes, whole_bytes
from imgtranslate.errors import CheckpointError
from imgtranslate.memory import available_memory
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
from imgtranslate.model_files.onnx_metadata import is_onnx
from imgtranslate.model_files.openvino_folder import is_openvino
from imgtranslate.translation.outputs import safe_name
from imgtranslate.translation.translator import Translator, find_model, load

_KEPT = 4  # a part of the free memory is what strips keep before they take to files


@dataclass(frozen=True, kw_only=True, eq=False)
class Served:
    """A loaded model under a name that can stand in an address."""

    name: str
    path: Path
    translator: Translator

    @property
    def header(self) -> ModelHeader:
        """What the model's file says of itself."""
        return self.translator.header

    def to_json(self) -> dict[str, Any]:
        """What a client is told of it; of its path the last part alone."""
        header = self.header
        return {
            "name": self.name,
            "direction": header.direction,
            "source": header.source,
            "target": header.target,
            "file": self.path.name,
            "in_channels": header.in_channels,
            "out_channels": header.out_channels,
            "latent_dim": self.translator.latent_dim,
            "crop_size": header.crop_size,
            "method": header.method,
            "step": header.step,
            "device": self.translator.device,
        }


def list_models(models: Sequence[Path]) -> list[Path]:
    """The model files that are meant: of a run those of both directions, if it has them.

    Raises ``CheckpointError`` for what is no model, by the headers alone.
    """
    paths = [path for model in models for path in _directions(model)]
    for path in paths:
        read_model_header(path)
    return paths


def load_models(
    paths: Sequence[Path], *, device: str, notice: Callable[[str], None]
) -> list[Served]:
    """Load the models, each with a name that no other has: ``horses2zebras``."""
    served: list[Served] = []
    for path in paths:
        translator = load(path, device=device, notice=notice)
        name = _free_name(translator.header, {each.name for each in served})
        served.append(Served(name=name, path=path, translator=translator))
    return served


def pixels_in_memory(models: Sequence[Served]) -> int:
    """How many pixels the memory holds of any model's work, so that none of it needs a file."""
    return max(1, min(available_memory() // _pixel_bytes(model) for model in models))


def _pixel_bytes(model: Served) -> int:
    if is_onnx(model.path) or is_openvino(model.path):  # runs pictures whole
        return 2 * whole_bytes(model.header)
    return _KEPT * scratch_bytes(model.header.generator, (1, 1)) * 4 // 3


def _directions(model: Path) -> list[Path]:
    found = [find_model(model)]
    if found != [model]:  # a run
        with contextlib.suppress(CheckpointError):  # learnt one way only
            found.append(find_model(model, direction="ba"))
    return found


def _free_name(header: ModelHeader, taken: set[str]) -> str:
    name = f"{safe_name(header.source)}2{safe_name(header.target)}"
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in names if each not in taken)
