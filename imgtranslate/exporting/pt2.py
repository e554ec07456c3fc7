"""The torch.export archive (.pt2), for programs that have torch but not imgtranslate.

``torch.export.load`` unpickles objects and evaluates sizes that an archive contains as text.
Therefore this module loads only the archive that it has just written without pickles, and
``translate`` loads no .pt2 file.
"""

import zipfile
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import nn
from torch.fx.experimental import _config

from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.network import SourceModel, example_inputs, with_border
from imgtranslate.images import Codes, Values, to_network, to_pixels
from imgtranslate.model_files.checkpoint import METADATA_KEY, header_json
from imgtranslate.model_files.export_header import FORM_KEY, ExportForm, form_json

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
    torch.export.save(program, path, extra_files=metadata)
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
    network = with_border(model.network, model.header, model.form)
    example, dynamic_shapes = example_inputs(model)
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
