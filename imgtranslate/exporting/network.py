"""What is exported: a network with everything around it that lets any program run it."""

# ruff: noqa: D102  # the class's docstring says what goes into forward and what comes out

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_encoder, build_generator
from imgtranslate.errors import UsageError
from imgtranslate.model_files.checkpoint import ENCODER_PREFIX, ModelHeader, load_tensors
from imgtranslate.model_files.export_header import IMAGE, ExportForm, border_of
from imgtranslate.settings.config import latent_dim, size_multiple, smallest_side, smallest_style

_FREE = torch.export.Dim.DYNAMIC


def build_bare(source: Path, header: ModelHeader, form: ExportForm) -> nn.Module:
    """Build generator or encoder of a model file, with its weights, in evaluation mode."""
    tensors = load_tensors(source)
    if form.what == "generator":
        network: nn.Module = build_generator(
            header.generator, in_channels=header.in_channels, out_channels=header.out_channels
        )
        weights = {n: t for n, t in tensors.items() if not n.startswith(ENCODER_PREFIX)}
    elif header.encoder is None:
        raise UsageError(f"{source}: the model has no encoder. Leave --what encoder out")
    else:
        network = build_encoder(
            header.encoder,
            in_channels=header.out_channels,
            latent_dim=latent_dim(header.generator),
        )
        mine = {n: t for n, t in tensors.items() if n.startswith(ENCODER_PREFIX)}
        weights = {n.removeprefix(ENCODER_PREFIX): t for n, t in mine.items()}
    network.load_state_dict(weights)
    return network.requires_grad_(False).eval()


def with_border(bare: nn.Module, header: ModelHeader, form: ExportForm) -> nn.Module:
    """Put mirroring, cut and pixels of the wanted kind around a network."""
    multiple, least = _sides(header, form)
    whole = AnySize(bare, multiple=multiple, least=least)
    return (Bytes(whole) if form.io == "uint8" else whole).eval()


def example_of(header: ModelHeader, form: ExportForm) -> tuple[Tensor, ...]:
    """Inputs to trace with, of sizes that have no meaning of their own."""
    channels = border_of(header, form).inputs[IMAGE]
    image = (
        torch.zeros(2, 37, 50, channels, dtype=torch.uint8)
        if form.io == "uint8"
        else torch.zeros(2, channels, 37, 50)
    )
    if len(border_of(header, form).inputs) == 1:
        return (image,)
    return image, torch.zeros(2, latent_dim(header.generator))


def free_sides(header: ModelHeader, form: ExportForm) -> tuple[dict[int, Any], ...]:
    """Which sides of each input are free."""
    image = dict.fromkeys((0, 1, 2) if form.io == "uint8" else (0, 2, 3), _FREE)
    return (image, {0: _FREE})[: len(border_of(header, form).inputs)]


class Bytes(nn.Module):
    """uint8 (n, h, w, c), and z where there is a code -> uint8 (n, h, w, c), or codes.

    Rounding is that of ``images.to_pixels``.
    """

    def __init__(self, network: "AnySize") -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, z: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        values = image.permute(0, 3, 1, 2).float() / 127.5 - 1
        output: Tensor | tuple[Tensor, Tensor] = self.network(values, z)
        if isinstance(output, tuple):
            return output
        levels = ((output + 1) * 127.5).nan_to_num(0.0).clamp(0, 255).round()
        return levels.permute(0, 2, 3, 1).to(torch.uint8)


class AnySize(nn.Module):
    """A network with the mirroring and the cut that ``Translator`` does around it."""

    def __init__(self, network: nn.Module, *, multiple: int, least: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.least = least

    def forward(self, image: Tensor, z: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        rows = mirror_indices(height, self._fitting(height))
        columns = mirror_indices(width, self._fitting(width))
        padded = image.index_select(2, rows).index_select(3, columns)
        output: Tensor | tuple[Tensor, Tensor] = self.network(padded, *(() if z is None else (z,)))
        return output[:, :, :height, :width] if isinstance(output, Tensor) else output

    def _fitting(self, side: int) -> int | torch.SymInt:
        up = side + self.multiple - 1  # not -(-side // m): ONNX divides towards zero
        return torch.sym_max(up // self.multiple * self.multiple, self.least)


def mirror_indices(size: int, padded: int | torch.SymInt) -> Tensor:
    """The map of ``images.mirror_indices``, in operations that export with symbolic sizes.

    The last index is a tensor: torch.export takes symbolic sizes for 2 or more, and as plain
    arithmetic would drop what is there for a side of 1.
    """
    last = torch.arange(size).amax(0)
    period = (2 * last).clamp(min=1)
    return last - (torch.arange(padded) % period - last).abs()


def _sides(header: ModelHeader, form: ExportForm) -> tuple[int, int]:
    """What the sides of a picture must be a multiple of, and the shortest one."""
    if form.what == "encoder" and header.encoder is not None:
        return smallest_style(header.encoder), smallest_style(header.encoder)
    return size_multiple(header.generator), smallest_side(header.generator)
