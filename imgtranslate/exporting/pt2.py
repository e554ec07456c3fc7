"""A network as torch.export's archive: for programs that have torch and nothing of ours.

``torch.export.load`` unpickles what an archive tells it to, and evaluates its sizes as text. So
none is loaded but the one just written here, which holds no pickle; ``translate`` takes none.
"""

import zipfile
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import nn
from torch.fx.experimental import _config

from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.network import example_of, free_sides
from imgtranslate.exporting.original import Original
from imgtranslate.images import Codes, Values, to_network, to_pixels
from imgtranslate.model_files.checkpoint import METADATA_KEY, header_json
from imgtranslate.model_files.export_header import FORM_KEY, ExportForm, form_json

_OBLIVIOUS = "backed_size_oblivious"  # of sizes 0 and 1
_USED = b'"use_pickle":true'


@final
class Pt2:
    """An archive, loaded."""

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
    def read_looks(self, values: Values) -> tuple[Codes, Codes]:
        """Map pictures of the target to mean and log variance, (n, latent_dim) each."""
        mean, log_variance = self._module(self._image(values))
        return mean.numpy(), log_variance.numpy()

    def _image(self, values: Values) -> torch.Tensor:
        if self._form.io == "float":
            return torch.from_numpy(values)
        return torch.from_numpy(np.stack([to_pixels(picture) for picture in values]))


def write_pt2(original: Original, path: Path) -> Pt2:
    """Write one .pt2 file, and load it again.

    Raises ``ImgTranslateError`` if this torch would write pickles into it.
    """
    header, form = original.header, original.form
    program = traced(original)
    program.example_inputs = None  # they would be a pickle
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    metadata = {METADATA_KEY: header_json(header), FORM_KEY: form_json(form)}
    torch.export.save(program, path, extra_files=metadata)
    refuse_pickles(path)
    return Pt2(torch.export.load(path).module(), form=form)


def traced(original: Original) -> torch.export.ExportedProgram:
    """Trace without conclusions from maps of one pixel, as a UNet has for small pictures alone.

    Raises ``ImgTranslateError`` if this torch always draws them.
    """
    if _OBLIVIOUS not in _config.get_config_copy():  # type: ignore[attr-defined]
        raise ImgTranslateError("--format pt2: needs a newer torch. Update it, or use onnx")
    header, form = original.header, original.form
    with _config.patch({_OBLIVIOUS: True}):  # type: ignore[attr-defined]  # made at the import
        return torch.export.export(
            original.network, example_of(header, form), dynamic_shapes=free_sides(header, form)
        )


def refuse_pickles(path: Path) -> None:
    """Raise ``ImgTranslateError`` if an archive holds a pickle, or says that it does."""
    with zipfile.ZipFile(path) as archive:
        pickled = any(i.filename.endswith(".pt") and i.file_size for i in archive.infolist())
        configs = [name for name in archive.namelist() if name.endswith("_config.json")]
        if pickled or any(_USED in b"".join(archive.read(name).split()) for name in configs):
            raise ImgTranslateError(
                f"{path}: not written: this torch keeps pickles in a .pt2. "
                "Use a newer one, or --format onnx"
            )
