"""An exported generator with an exported encoder beside it."""

from dataclasses import replace
from pathlib import Path
from typing import final

from imgtranslate.engines.onnx_engine import OnnxEngine
from imgtranslate.errors import UsageError
from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_files import is_onnx
from imgtranslate.settings.config import latent_dim


@final
class WithEncoder:
    """Translates with one export and reads looks with another."""

    def __init__(self, generator: OnnxEngine, encoder: OnnxEngine) -> None:
        self._generator = generator
        self._encoder = encoder

    @classmethod
    def load(cls, generator: Path, encoder: Path, *, device: str = "auto") -> "WithEncoder":
        """Load both. Raises ``CheckpointError``, and ``UsageError`` if they do not fit."""
        if not is_onnx(encoder):
            raise UsageError(f"--encoder {encoder}: no .onnx file. Export it with --format onnx")
        engines = OnnxEngine.load(generator, device=device), OnnxEngine.load(encoder, device=device)
        first, second = (engine.header for engine in engines)
        if [engine.form.what for engine in engines] != ["generator", "encoder"]:
            raise UsageError(
                f"--encoder {encoder}: not an encoder beside a generator. Make one with: "
                "imgtranslate export --what encoder"
            )
        if _border(first) != _border(second):
            raise UsageError(
                f"--encoder {encoder}: its codes or pictures are not those of {generator}. "
                "Export both from one model"
            )
        return cls(*engines)

    @property
    def header(self) -> ModelHeader:
        """What the generator says of itself, with the encoder."""
        return replace(self._generator.header, encoder=self._encoder.header.encoder)

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        return self._generator.device

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w). ``z``: (n, latent_dim)."""
        return self._generator.run(values, z)

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise."""
        return self._encoder.encode(values)


def _border(header: ModelHeader) -> tuple[int, int]:
    """Numbers of the code and channels of the target."""
    return latent_dim(header.generator), header.out_channels
