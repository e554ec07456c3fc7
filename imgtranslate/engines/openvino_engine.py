"""An exported generator in OpenVINO, with the extra ``[openvino]``; torch is not imported."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from imgtranslate.errors import CheckpointError, ImageError, UsageError
from imgtranslate.images import Codes, Values, to_network, to_pixels
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
from imgtranslate.model_files.export_files import GRAPH, is_onnx, refuse_foreign_graph
from imgtranslate.model_files.export_header import (
    CODE,
    IMAGE,
    LOG_VARIANCE,
    MEAN,
    TRANSLATED,
    ExportForm,
    border_of,
    read_export_form,
)
from imgtranslate.model_files.onnx_file import refuse_outside_tensors

if TYPE_CHECKING:
    from types import ModuleType

_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",  # by itself it takes bfloat16 where the CPU has it
    "PERFORMANCE_HINT": "LATENCY",
}


@final
class OpenvinoEngine:
    """An .onnx export, or the folder of ``--format openvino``, loaded."""

    def __init__(self, compiled: Any, *, header: ModelHeader, form: ExportForm) -> None:
        self._compiled = compiled
        self._header = header
        self._form = form

    @classmethod
    def load(cls, path: Path, *, device: str = "auto") -> "OpenvinoEngine":
        """Load an export onto the CPU.

        Raises ``CheckpointError``, and ``UsageError`` without OpenVINO or for another device.
        """
        if device not in ("auto", "cpu"):
            raise UsageError(f"--device {device}: OpenVINO runs on the CPU here. Use --device cpu")
        header, form = read_model_header(path), read_export_form(path)
        if form.what == "generator":
            header = replace(header, encoder=None)  # it does not travel
        _refuse_outside_tensors(path)
        compiled = compile_model(path if is_onnx(path) else path / GRAPH)
        _check_border(compiled, header, form, path)
        return cls(compiled, header=header, form=form)

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself."""
        return self._header

    @property
    def device(self) -> str:
        """Where it computes."""
        return "cpu"

    @property
    def form(self) -> ExportForm:
        """What kind of export it is."""
        return self._form

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w). ``z``: (n, latent_dim)."""
        output: Values = self._answer(values, {} if z is None else {CODE: z})[TRANSLATED]
        if self._form.io == "float":
            return output
        return np.stack([to_network(picture) for picture in output])

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise."""
        return self.read_looks(values)[0]

    def read_looks(self, values: Values) -> tuple[Codes, Codes]:
        """Read mean and log variance of the codes; ``CheckpointError`` of a generator."""
        if self._form.what == "generator":
            raise CheckpointError(
                "style: an export has no encoder, and one is needed. Use the .safetensors model"
            )
        answer = self._answer(values, {})
        return answer[MEAN], answer[LOG_VARIANCE]

    def _answer(self, values: Values, code: dict[str, Codes]) -> dict[str, Any]:
        floats = self._form.io == "float"
        image = values if floats else np.stack([to_pixels(picture) for picture in values])
        try:
            return answer_of(self._compiled, {IMAGE: image, **code})
        except RuntimeError as error:
            if "alloc" not in str(error).lower():
                raise
            height, width = values.shape[-2:]
            raise ImageError(
                f"{width} x {height} px do not fit into the memory. Shrink or cut it first"
            ) from error


def _refuse_outside_tensors(path: Path) -> None:
    try:
        if is_onnx(path):
            refuse_outside_tensors(path)
        else:
            refuse_foreign_graph(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not what `imgtranslate export` writes: {error}. Use another copy of the file"
        ) from error


def import_openvino() -> "ModuleType":
    """The library; ``UsageError`` where it is not installed."""
    try:
        import openvino  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise UsageError(
            'OpenVINO: not installed. Install it with: pip install "imgtranslate[openvino]"'
        ) from error
    module: ModuleType = openvino
    return module


def compile_model(source: Path | bytes) -> Any:
    """Compile an .onnx file, its bytes, or an .xml for the CPU, in single precision.

    Raises ``CheckpointError`` if it is damaged.
    """
    core = import_openvino().Core()
    try:
        return core.compile_model(core.read_model(source), "CPU", _OPTIONS)
    except RuntimeError as error:
        name = source if isinstance(source, Path) else "export"
        why = " ".join(str(error).split())[-200:].rstrip(".")
        raise CheckpointError(f"{name}: OpenVINO cannot load it: {why}. Export it again") from error


def answer_of(compiled: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs by their names, in memory of their own."""
    request = compiled.create_infer_request()
    found = request.infer(inputs, share_inputs=True)
    return {output.get_any_name(): np.array(found[output]) for output in compiled.outputs}


def _check_border(compiled: Any, header: ModelHeader, form: ExportForm, path: Path) -> None:
    """Refuse a graph that takes or gives other than its header says."""
    border = border_of(header, form)
    found = {p.get_any_name(): _channels(p, form) for p in (*compiled.inputs, *compiled.outputs)}
    if found != {**border.inputs, **border.outputs}:
        raise CheckpointError(
            f"{path}: its graph does not fit its header. Use another copy of the file"
        )


def _channels(port: Any, form: ExportForm) -> int | None:
    """Channels or numbers of an input or output; None if that is free."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic or len(shape) < 2:
        return None
    side = shape[-1 if form.io == "uint8" and len(shape) == 4 else 1]
    return None if side.is_dynamic else int(side.get_length())
