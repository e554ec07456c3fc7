"""The torch.export archive (.pt2), for programs that have torch but not imgtranslate.

``torch.export.load`` unpickles objects and evaluates sizes that an archive contains as text.
Therefore this module loads only the archive that it has just written without pickles, and
``translate`` loads no .pt2 file.
"""

# ruff: noqa: D102  # the docstrings of the networks give the shapes of ``forward``

import io
import zipfile
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental import _config

from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.source_model import SourceModel
from imgtranslate.images import Codes, Values, to_network, to_pixels
from imgtranslate.model_files.checkpoint import METADATA_KEY, header_json
from imgtranslate.model_files.export_header import CODE, FORM_KEY, ExportForm, form_json

_OBLIVIOUS = "backed_size_oblivious"  # torch.export: no special cases for sizes 0 and 1
_USES_PICKLE = b'"use_pickle":true'


@final
class Pt2:
    """A loaded archive."""

    def __init__(self, module: nn.Module, *, form: ExportForm) -> None:
        self._module = module
        self._form = form

    @torch.inference_mode()
    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w)."""
        code = () if z is None else (torch.from_numpy(z),)
        output: Values = self._module(self._image(values), *code).numpy()
        if self._form.io == "float":
            return output
        return np.stack([to_network(picture) for picture in output])

    @torch.inference_mode()
    def encode_distribution(self, values: Values) -> tuple[Codes, Codes]:
        """Map images of the target domain to mean and log variance, (n, latent_dim) each."""
        mean, log_variance = self._module(self._image(values))
        return mean.numpy(), log_variance.numpy()

    def _image(self, values: Values) -> torch.Tensor:
        if self._form.io == "float":
            return torch.from_numpy(values)
        return torch.from_numpy(np.stack([to_pixels(picture) for picture in values]))


def write_pt2(model: SourceModel, path: Path) -> Pt2:
    """Write one .pt2 file, and load it.

    Raises ``ImgTranslateError`` if this version of torch writes pickles into the file.
    """
    program = trace(model)
    program.example_inputs = None  # would be stored as a pickle
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # contains paths of this machine
    metadata = {METADATA_KEY: header_json(model.header), FORM_KEY: form_json(model.form)}
    archive = io.BytesIO()  # torch aborts the process if it cannot write, and stores the name
    torch.export.save(program, archive, extra_files=metadata)
    path.write_bytes(archive.getbuffer())
    refuse_pickles(path)
    return Pt2(torch.export.load(path).module(), form=model.form)


def trace(model: SourceModel) -> torch.export.ExportedProgram:
    """Trace a network without special cases for maps of one pixel.

    The innermost map of a UNet is one pixel for small images only, so a special case would fix the
    size. Raises ``ImgTranslateError`` if this version of torch cannot trace without them.
    """
    if _OBLIVIOUS not in _config.get_config_copy():  # type: ignore[attr-defined]
        raise ImgTranslateError(
            "`format` pt2: needs a newer version of torch. Update torch, or use `format` onnx"
        )
    multiple, least = model.sides
    padded = PaddedNetwork(model.network, multiple=multiple, least=least)
    network = (Bytes(padded) if model.form.io == "uint8" else padded).eval()
    example, dynamic_shapes = _example_inputs(model)
    with _config.patch({_OBLIVIOUS: True}):  # type: ignore[attr-defined]  # defined on import
        return torch.export.export(network, example, dynamic_shapes=dynamic_shapes)


def refuse_pickles(path: Path) -> None:
    """Raise ``ImgTranslateError`` if an archive contains or declares a pickle."""
    with zipfile.ZipFile(path) as archive:
        pickled = any(i.filename.endswith(".pt") and i.file_size for i in archive.infolist())
        configs = [name for name in archive.namelist() if name.endswith("_config.json")]
        declared = any(_USES_PICKLE in b"".join(archive.read(name).split()) for name in configs)
    if pickled or declared:
        raise ImgTranslateError(
            f"{path}: not written: this version of torch writes pickles into .pt2 files. "
            "Update torch, or use `format` onnx"
        )


def _example_inputs(model: SourceModel) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
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
    z = torch.zeros(batch, model.border.inputs[CODE])
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
