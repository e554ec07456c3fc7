"""The exported network: a generator or encoder that takes images of any size.

Its graph includes padding, crop and pixel conversion, which ``Translator`` does in Python.
"""

# ruff: noqa: D102  # the docstrings of the classes give the shapes of ``forward``

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.errors import UsageError
from imgtranslate.model_files.checkpoint import ENCODER_PREFIX, ModelHeader, load_tensors
from imgtranslate.model_files.export_header import IMAGE, Border, ExportForm, border_of
from imgtranslate.settings.config import latent_dim, size_multiple, smallest_side, smallest_style
from imgtranslate.translation.translator import Translator, load


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """A model file, loaded for an export in one form."""

    path: Path
    form: ExportForm
    translator: Translator  # runs the model as `translate` does
    network: nn.Module  # generator or encoder in evaluation mode, for images of valid sizes

    @property
    def header(self) -> ModelHeader:
        """The header of the model file."""
        return self.translator.header

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


def load_source_model(path: Path, form: ExportForm) -> SourceModel:
    """Load a model file; ``CheckpointError`` if damaged, ``UsageError`` if it has no encoder."""
    translator = load(path, device="cpu")
    network = _build_network(path, translator.header, form)
    return SourceModel(path=path, form=form, translator=translator, network=network)


def _build_network(path: Path, header: ModelHeader, form: ExportForm) -> nn.Module:
    tensors = load_tensors(path)
    if form.what == "generator":
        network: nn.Module = build_generator(
            header.generator, in_channels=header.in_channels, out_channels=header.out_channels
        )
        weights = {n: t for n, t in tensors.items() if not n.startswith(ENCODER_PREFIX)}
    elif header.encoder is None:
        raise UsageError(f"{path}: the model has no encoder. Leave `what` encoder out")
    else:
        network = build_encoder(
            header.encoder,
            in_channels=header.out_channels,
            latent_dim=latent_dim(header.generator),
        )
        weights = {
            n.removeprefix(ENCODER_PREFIX): t
            for n, t in tensors.items()
            if n.startswith(ENCODER_PREFIX)
        }
    network.load_state_dict(weights)
    return network.requires_grad_(False).eval()


def with_border(network: nn.Module, header: ModelHeader, form: ExportForm) -> nn.Module:
    """Wrap a network in padding and crop, and in the pixel conversion of the form."""
    if form.what == "encoder" and header.encoder is not None:
        multiple = least = smallest_style(header.encoder)
    else:
        multiple, least = size_multiple(header.generator), smallest_side(header.generator)
    padded = PaddedNetwork(network, multiple=multiple, least=least)
    return (Bytes(padded) if form.io == "uint8" else padded).eval()


def example_inputs(model: SourceModel) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Build the inputs to trace with, and the dynamic dimensions of each."""
    batch, height, width = 2, 37, 50  # arbitrary
    free = torch.export.Dim.DYNAMIC
    if model.form.io == "uint8":
        image = torch.zeros(batch, height, width, model.in_channels, dtype=torch.uint8)
        sides = dict.fromkeys((0, 1, 2), free)
    else:
        image = torch.zeros(batch, model.in_channels, height, width)
        sides = dict.fromkeys((0, 2, 3), free)
    if len(model.border.inputs) == 1:
        return (image,), (sides,)
    z = torch.zeros(batch, latent_dim(model.header.generator))
    return (image, z), (sides, {0: free})


class PaddedNetwork(nn.Module):
    """A network with the reflection padding and the crop of ``Translator``.

    Maps (n, c, h, w) and, for a generator with a latent code, z (n, latent_dim) to (n, c, h, w).
    The mean and log variance of an encoder are not cropped.
    """

    def __init__(self, network: nn.Module, *, multiple: int, least: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.least = least

    def forward(self, image: Tensor, z: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        rows = mirror_indices(height, self._padded(height))
        columns = mirror_indices(width, self._padded(width))
        padded = image.index_select(2, rows).index_select(3, columns)
        output: Tensor | tuple[Tensor, Tensor] = self.network(padded, *(() if z is None else (z,)))
        return output[:, :, :height, :width] if isinstance(output, Tensor) else output

    def _padded(self, side: int) -> int | torch.SymInt:
        up = side + self.multiple - 1  # not -(-side // m): ONNX divides towards zero
        return torch.sym_max(up // self.multiple * self.multiple, self.least)


class Bytes(nn.Module):
    """A ``PaddedNetwork`` with uint8 (n, h, w, c) at both ends, rounded like ``images.to_pixels``.

    The mean and log variance of an encoder stay floats.
    """

    def __init__(self, network: PaddedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, z: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        values = image.permute(0, 3, 1, 2).float() / 127.5 - 1
        output: Tensor | tuple[Tensor, Tensor] = self.network(values, z)
        if isinstance(output, tuple):
            return output
        levels = ((output + 1) * 127.5).nan_to_num(0.0).clamp(0, 255).round()
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


def mirror_indices(size: int, padded: int | torch.SymInt) -> Tensor:
    """Compute ``images.mirror_indices`` with operations that can be exported with symbolic sizes.

    The last index is a tensor: torch.export assumes symbolic sizes of at least 2, so plain
    arithmetic would lose the case of a side of 1.
    """
    last = torch.arange(size).amax(0)
    period = (2 * last).clamp(min=1)
    return last - (torch.arange(padded) % period - last).abs()
