"""The model that is exported, as torch runs it."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.errors import UsageError
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_header import IMAGE, Border, ExportForm, border_of
from imgtranslate.settings.config import size_multiple, smallest_side, smallest_style
from imgtranslate.translation.translator import Translator


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A model file, loaded for an export in one form."""

    path: Path
    form: ExportForm
    engine: TorchEngine
    translator: Translator  # runs the model on whole pictures

    @property
    def header(self) -> ModelHeader:
        """The header of the model file."""
        return self.engine.header

    @property
    def network(self) -> nn.Module:
        """The generator or encoder in evaluation mode, for images of accepted sizes."""
        if self.form.what == "encoder" and self.engine.encoder is not None:
            return self.engine.encoder
        return self.engine.generator

    @property
    def border(self) -> Border:
        """The inputs and outputs of the export."""
        return border_of(self.header, self.form)

    @property
    def in_channels(self) -> int:
        """The channels of the images that the export takes."""
        return self.border.inputs[IMAGE]

    @property
    def letter(self) -> str:
        """The domain of the images that the export takes, ``a`` or ``b``."""
        return self.header.direction[self.form.what == "encoder"]

    @property
    def sides(self) -> tuple[int, int]:
        """The number, in px, of which the sides of an image are a multiple, and the shortest."""
        if self.form.what == "encoder" and self.header.encoder is not None:
            return (smallest_style(self.header.encoder),) * 2
        return size_multiple(self.header.generator), smallest_side(self.header.generator)


def load_source_model(path: Path, form: ExportForm) -> SourceModel:
    """Load a model file; ``CheckpointError`` if damaged, ``UsageError`` if it has no encoder."""
    engine = TorchEngine.load(path, device="cpu")
    if form.what == "encoder" and engine.encoder is None:
        raise UsageError(f"{path}: the model has no encoder. Leave `what` encoder out")
    return SourceModel(path=path, form=form, engine=engine, translator=Translator(engine))
