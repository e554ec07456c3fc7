"""An exported generator in ONNX Runtime: nothing on this way imports torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as states  # type: ignore[import-untyped]

from imgtranslate.errors import CheckpointError, ImageError, UsageError
from imgtranslate.images import Codes, Pixels, Values, to_network, to_pixels
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
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

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_ERRORS = 3  # of ONNX Runtime's levels of severity: warnings are about itself
_FAULTS = (
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoModel,
    states.NoSuchFile,
    states.NotFound,
    states.NotImplemented,
    states.RuntimeException,
)


@final
class OnnxEngine:
    """What ``imgtranslate export --format onnx`` wrote, loaded: a generator or an encoder."""

    def __init__(self, session: Any, *, header: ModelHeader, form: ExportForm, device: str) -> None:
        self._session = session
        self._header = header
        self._form = form
        self._device = device

    @classmethod
    def load(cls, path: Path, *, device: str = "auto") -> "OnnxEngine":
        """Load an export. Raises ``CheckpointError``, ``UsageError`` for the device."""
        header, form = read_model_header(path), read_export_form(path)
        if form.what == "generator":
            header = replace(header, encoder=None)  # it does not travel
        _refuse_outside_tensors(path)
        provider, chosen = _provider(device)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS
        try:
            session = onnxruntime.InferenceSession(path, options, providers=[provider])
        except _FAULTS as error:
            raise CheckpointError(
                f"{path}: ONNX Runtime cannot load it: {_one_line(error)}. Export it again"
            ) from error
        _check_border(session, header, form, path)
        return cls(session, header=header, form=form, device=chosen)

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself."""
        return self._header

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        return self._device

    @property
    def form(self) -> ExportForm:
        """What kind of export it is."""
        return self._form

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w). ``z``: (n, latent_dim).

        An export of bytes computes in 8 bits, whatever the values are.
        """
        code = {} if z is None else {CODE: z}
        (output,) = self._answer([TRANSLATED], values, code)
        if self._form.io == "float":
            return output
        return np.stack([to_network(picture) for picture in output])

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise."""
        return self.read_looks(values)[0]

    def read_looks(self, values: Values) -> tuple[Codes, Codes]:
        """Read mean and log variance of the codes, (n, latent_dim) each.

        Raises ``CheckpointError`` if this is a generator.
        """
        if self._form.what == "generator":
            raise CheckpointError(
                f"style: an export has no encoder, and {values.shape[-1]} px of style need one. "
                "Use the .safetensors model"
            )
        mean, log_variance = self._answer((MEAN, LOG_VARIANCE), values, {})
        return mean, log_variance

    def _answer(self, names: Sequence[str], values: Values, code: dict[str, Codes]) -> list[Values]:
        image = values if self._form.io == "float" else _to_bytes(values)
        try:
            answer: list[Values] = self._session.run(names, {IMAGE: image, **code})
        except _FAULTS as error:
            raise _explained(error, values) from error
        return answer


def _refuse_outside_tensors(path: Path) -> None:
    try:
        refuse_outside_tensors(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not what `imgtranslate export` writes: {error}. Use another copy of the file"
        ) from error


def _provider(device: str) -> tuple[Any, str]:
    """ONNX Runtime's name for a device, and ours."""
    kind, _, index = device.partition(":")
    has_cuda = _CUDA in onnxruntime.get_available_providers()
    if kind == "cpu" or (kind == "auto" and not has_cuda):
        return _CPU, "cpu"
    if kind in ("auto", "cuda") and has_cuda:
        return (_CUDA, {"device_id": int(index or 0)}), f"cuda:{index or 0}"
    raise UsageError(
        f"--device {device}: this ONNX Runtime runs on the CPU. Use --device cpu, or the "
        ".safetensors model"
    )


def _check_border(session: Any, header: ModelHeader, form: ExportForm, path: Path) -> None:
    """Refuse a graph that takes or gives other than its header says."""
    border = border_of(header, form)
    expected = [*border.inputs.items(), *border.outputs.items()]
    values = (*session.get_inputs(), *session.get_outputs())
    if [_described(value, form) for value in values] != [
        (*e, *_kind(e[0], form)) for e in expected
    ]:
        raise CheckpointError(
            f"{path}: its graph does not fit its header. Use another copy of the file"
        )


def _described(value: Any, form: ExportForm) -> tuple[str, Any, int, str]:
    """Name, channels or numbers, rank and type of an input or output."""
    last = form.io == "uint8" and len(value.shape) == 4
    channels = value.shape[-1 if last else 1] if len(value.shape) > 1 else None
    return value.name, channels, len(value.shape), value.type


def _kind(name: str, form: ExportForm) -> tuple[int, str]:
    """Rank and type that an input or output has."""
    if name not in (IMAGE, TRANSLATED):
        return 2, "tensor(float)"
    return 4, "tensor(uint8)" if form.io == "uint8" else "tensor(float)"


def _to_bytes(values: Values) -> Pixels:
    """(n, c, h, w) in [-1, 1] as uint8 (n, h, w, c)."""
    return np.stack([to_pixels(picture) for picture in values])


def _explained(error: Exception, values: Values) -> Exception:
    """Of what goes wrong while it runs only the memory is the user's to mend."""
    if "alloc" not in str(error).lower():
        return error
    height, width = values.shape[-2:]
    return ImageError(f"{width} x {height} px do not fit into the memory. Shrink or cut it first")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
