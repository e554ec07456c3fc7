"""ONNX Runtime, on the CPU or a CUDA device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import onnxruntime  # type: ignore[import-untyped]

from imgtranslate.engines.engine import Ports
from imgtranslate.errors import CheckpointError, UsageError, one_line

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_ERRORS = 3  # severity level; its warnings do not concern the user
_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


@final
class OnnxRuntime:
    """A session of ONNX Runtime.

    ``ports``: shapes and dtypes of the inputs and outputs by name.
    """

    def __init__(self, path: Path, *, device: str = "auto") -> None:
        """Load a graph. Raises ``CheckpointError``, and ``UsageError`` for the device."""
        provider, self.device = _provider(device)
        try:
            self._session = open_session(path, provider=provider)
            self.ports: Ports = {
                value.name: (tuple(value.shape), _DTYPES.get(value.type, value.type))
                for value in (*self._session.get_inputs(), *self._session.get_outputs())
            }
        except Exception as error:  # a foreign graph may raise any error
            why = one_line(str(error), most=200)
            raise CheckpointError(
                f"{path}: ONNX Runtime cannot load it: {why}. Export it again"
            ) from error

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the outputs by name. Raises ``RuntimeError``."""
        names = [name for name in self.ports if name not in inputs]
        try:
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # as above
            raise RuntimeError(str(error)) from error


def open_session(model: Path | bytes, *, provider: Any = _CPU) -> Any:
    """Open a graph in a file, or one in memory."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    fallback = int(provider is not _CPU)  # the runtime would try again, and print that
    return onnxruntime.InferenceSession(
        model, options, providers=[provider], enable_fallback=fallback
    )


def _provider(device: str) -> tuple[Any, str]:
    """Return the name of a device in ONNX Runtime, and its name here."""
    kind, _, index = device.partition(":")
    has_cuda = _CUDA in onnxruntime.get_available_providers()
    if kind == "cpu" or (kind == "auto" and not has_cuda):
        return _CPU, "cpu"
    if kind in ("auto", "cuda") and has_cuda:
        return (_CUDA, {"device_id": int(index or 0)}), f"cuda:{index or 0}"
    raise UsageError(
        f"`device` {device}: ONNX Runtime supports only the CPU here. Use `device` cpu, or the "
        ".safetensors model"
    )
