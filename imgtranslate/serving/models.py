"""The served models, loaded once, each under a name made of its domains."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.engines.any_size import scratch_bytes, whole_bytes
from imgtranslate.errors import CheckpointError
from imgtranslate.memory import available_memory
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
from imgtranslate.model_files.export_files import is_export
from imgtranslate.translation.outputs import safe_name
from imgtranslate.translation.translator import Translator, find_model, load

_STRIP_SHARE = 4  # strips use files beyond a quarter of the free memory


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """A loaded model with a name that can be part of a URL."""

    name: str
    path: Path
    translator: Translator

    @property
    def header(self) -> ModelHeader:
        """The header of the model file."""
        return self.translator.header


def list_models(models: Sequence[Path]) -> list[Path]:
    """List the model files, for a run those of both directions if it has them.

    Only headers are read. Raises ``CheckpointError`` for a file that is not a model.
    """
    paths = [path for model in models for path in _directions(model)]
    for path in paths:
        read_model_header(path)
    return paths


def load_models(
    paths: Sequence[Path], *, device: str, notice: Callable[[str], None]
) -> list[ServedModel]:
    """Load the models, each under a unique name such as ``horses2zebras``."""
    served: list[ServedModel] = []
    for path in paths:
        translator = load(path, device=device, notice=notice)
        name = _free_name(translator.header, {each.name for each in served})
        served.append(ServedModel(name=name, path=path, translator=translator))
    return served


def pixels_in_memory(models: Sequence[ServedModel]) -> int:
    """Return the number of pixels that every model can translate without temporary files."""
    return max(1, min(available_memory() // _pixel_bytes(model) for model in models))


def _pixel_bytes(model: ServedModel) -> int:
    if is_export(model.path):  # runs pictures whole
        return 2 * whole_bytes(model.header)
    return _STRIP_SHARE * scratch_bytes(model.header.generator, (1, 1)) * 4 // 3


def _directions(model: Path) -> list[Path]:
    found = [find_model(model)]
    if found != [model]:  # a run
        with contextlib.suppress(CheckpointError):  # a run of one direction
            found.append(find_model(model, direction="ba"))
    return found


def _free_name(header: ModelHeader, taken: set[str]) -> str:
    name = f"{safe_name(header.source)}2{safe_name(header.target)}"
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in names if each not in taken)
