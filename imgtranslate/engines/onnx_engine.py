"""An exported generator in ONNX Runtime: nothing on this way imports torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any, final

import onnxruntime  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as states  # type: ignore[import-untyped]

from imgtranslate.checkpoint import ModelHeader, read_model_header
from imgtranslate.config import latent_dim
from imgtranslate.errors import CheckpointError, ImageError, UsageError
from imgtranslate.images import Codes, Values

IMAGE, CODE, TRANSLATED = "image", "z", "translated"  # float32 (n, c, h, w) in [-1, 1]
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
    """What ``imgtranslate export --format onnx`` wrote, loaded."""

    def __init__(self, session: Any, *, header: ModelHeader, device: str) -> None:
        self._session = session
        self._header = header
        self._device = device

    @classmethod
    def load(cls, path: Path, *, device: str = "auto") -> "OnnxEngine":
        """Load an export. Raises ``CheckpointError``, ``UsageError`` for the device."""
        header = replace(read_model_header(path), encoder=None)  # it does not travel
        provider, chosen = _provider(device)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS
        try:
            session = onnxruntime.InferenceSession(path, options, providers=[provider])
        except _FAULTS as error:
            raise CheckpointError(
                f"{path}: ONNX Runtime cannot load it: {_one_line(error)}. Export it again"
            ) from error
        _check_border(session, header, path)
        return cls(session, header=header, device=chosen)

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself."""
        return self._header

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        return self._device

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w). ``z``: (n, latent_dim)."""
        inputs = {IMAGE: values} if z is None else {IMAGE: values, CODE: z}
        try:
            output: Values = self._session.run([TRANSLATED], inputs)[0]
        except _FAULTS as error:
            raise _explained(error, values) from error
        return output

    def encode(self, values: Values) -> Codes:
        """Raise ``CheckpointError``: an export is the generator alone."""
        raise CheckpointError(
            f"style: an export has no encoder, and {values.shape[-1]} px of style need one. "
            "Use the .safetensors model"
        )


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


def _check_border(session: Any, header: ModelHeader, path: Path) -> None:
    """Refuse a graph that takes or gives other than its header says."""
    found = [(value.name, value.shape[1]) for value in session.get_inputs()]
    found += [(value.name, value.shape[1]) for value in session.get_outputs()]
    numbers = latent_dim(header.generator)
    expected = [(IMAGE, header.in_channels), *([(CODE, numbers)] if numbers else [])]
    if found != [*expected, (TRANSLATED, header.out_channels)]:
        raise CheckpointError(
            f"{path}: its graph does not fit its header. Use another copy of the file"
        )


def _explained(error: Exception, values: Values) -> Exception:
    """Of what goes wrong while it runs only the memory is the user's to mend."""
    if "alloc" not in str(error).lower():
        return error
    height, width = values.shape[-2:]
    return ImageError(f"{width} x {height} px do not fit into the memory. Shrink or cut it first")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
