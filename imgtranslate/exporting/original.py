"""What is exported, and what an export has to equal."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from imgtranslate.exporting.network import build_bare, with_border
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_header import ExportForm
from imgtranslate.translation.translator import Translator, load


@dataclass(frozen=True, kw_only=True)
class Original:
    """A model about to be exported in a form."""

    source: Path
    form: ExportForm
    translator: Translator  # as `translate` runs it
    bare: nn.Module  # generator or encoder, with nothing around it

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself."""
        return self.translator.header

    @property
    def network(self) -> nn.Module:
        """The network with its mirroring, its cut and the pixels of the form."""
        return with_border(self.bare, self.header, self.form)


def load_original(source: Path, form: ExportForm) -> Original:
    """Load a model file; ``CheckpointError`` if it is damaged, ``UsageError`` without encoder."""
    translator = load(source, device="cpu")
    bare = build_bare(source, translator.header, form)
    return Original(source=source, form=form, translator=translator, bare=bare)
