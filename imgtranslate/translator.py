"""What a Python user holds: a picture in, the translated picture out."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, final

import numpy as np
from PIL import Image

from imgtranslate.checkpoint import ModelHeader
from imgtranslate.config import size_multiple, smallest_side
from imgtranslate.engines import Engine
from imgtranslate.errors import CheckpointError, ImageError
from imgtranslate.images import (
    Picture,
    Pixels,
    Values,
    pad_to,
    picture_from_pil,
    to_network,
    to_pil,
    to_pixels,
)

Direction = Literal["ab", "ba"]


@final
class Translator:
    """A trained generator, ready to use; the same picture always gives the same bytes.

    Pictures of any size are mirrored up to what the network takes, run one at a time and cut
    back, never resampled.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself: domains, channels, architecture, step."""
        return self._engine.header

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        return self._engine.device

    def __call__(self, image: Image.Image) -> Image.Image:
        """Translate one image: upright, of the size displayed, alpha untouched.

        Raises ``ImageError`` if it is damaged or too big for the memory.
        """
        picture = picture_from_pil(image, channels=self.header.in_channels)
        return to_pil(self.translate_picture(picture))

    def batch(self, images: Iterable[Image.Image]) -> list[Image.Image]:
        """Translate images of any sizes; each comes out as it would alone."""
        return [self(image) for image in images]

    def translate_picture(self, picture: Picture) -> Picture:
        """Translate the pixels; alpha, profile and EXIF are carried over."""
        return replace(picture, pixels=self.translate_pixels(picture.pixels))

    def translate_pixels(self, pixels: Pixels) -> Pixels:
        """Translate uint8 (h, w, in_channels) into uint8 (h, w, out_channels)."""
        return to_pixels(self.translate_values(to_network(pixels)))

    def translate_values(self, values: Values) -> Values:
        """Translate float32 (in_channels, h, w) in [-1, 1] into (out_channels, h, w).

        Raises ``ImageError`` if the network's answer is not a number somewhere.
        """
        config = self.header.generator
        height, width = values.shape[-2:]
        padded = pad_to(values, multiple=size_multiple(config), least=smallest_side(config))
        output = self._engine.run(padded[None])[0, :, :height, :width]
        if np.isnan(output).any():
            raise ImageError(
                "the network answers with values that are not numbers. "
                "Use an earlier checkpoint of the run"
            )
        return output


def load(model: str | Path, *, device: str = "auto", direction: Direction = "ab") -> Translator:
    """Load a model file, or the ``direction`` of a run's folder: ``best/`` if there, else the last.

    Raises ``CheckpointError`` if it is missing, damaged or foreign, ``UsageError`` if the device
    is not there.
    """
    from imgtranslate.engines.torch_engine import TorchEngine

    return Translator(TorchEngine.load(find_model(model, direction=direction), device=device))


def find_model(model: str | Path, *, direction: Direction = "ab") -> Path:
    """The file that ``load`` takes for a file or a run's folder."""
    path = Path(model)
    if not path.is_dir():
        return path
    name = f"{direction}.safetensors"
    for candidate in (path / "best" / name, path / name):
        if candidate.is_file():
            return candidate
    raise CheckpointError(
        f"{path}: no {name} in this folder. Name a run's folder or a .safetensors file"
    )
