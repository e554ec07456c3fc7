"""OpenVINO on the CPU, with the extra ``[openvino]``."""

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from imgtranslate.engines.engine import Ports
from imgtranslate.errors import CheckpointError, UsageError, one_line
from imgtranslate.model_files.export_files import GRAPH, is_onnx

if TYPE_CHECKING:
    from types import ModuleType

_OPTIONS = {
    "INFERENCE_PRECISION_HINT": "f32",  # by default it uses bfloat16 if the CPU supports it
    "PERFORMANCE_HINT": "LATENCY",
}
_DTYPES = {"f32": "float32", "u8": "uint8"}


@final
class OpenvinoRuntime:
    """A graph that is compiled by OpenVINO.

    ``ports``: shapes and dtypes of the inputs and outputs by name.
    """

    name = "OpenVINO"
    device = "cpu"

    def __init__(self, path: Path, *, device: str = "auto") -> None:
        """Load an .onnx export or the folder of an OpenVINO export.

        Raises ``CheckpointError``, and ``UsageError`` without OpenVINO or for another device.
        """
        if device not in ("auto", "cpu"):
            raise UsageError(f"`device` {device}: OpenVINO runs on the CPU only. Use `device` cpu")
        self._compiled = compile_model(path if is_onnx(path) else path / GRAPH)
        try:
            self.ports: Ports = {
                port.get_any_name(): _described(port)
                for port in (*self._compiled.inputs, *self._compiled.outputs)
            }
        except Exception as error:  # a foreign graph may raise any error
            raise _unloadable(path, error) from error

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the outputs by name. Raises ``RuntimeError``."""
        try:
            return answer_of(self._compiled, dict(inputs))
        except Exception as error:  # a foreign graph may raise any error
            raise RuntimeError(str(error)) from error


def import_openvino() -> "ModuleType":
    """Import the library without its telemetry. Raises ``UsageError`` if it is not installed."""
    # With this module, the import asks for an analytics host and writes below the home folder.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise UsageError(
            "OpenVINO: not installed. Run pip install 'imgtranslate[openvino]'"
        ) from error
    module: ModuleType = openvino
    return module


@functools.cache
def _build_core(openvino: "ModuleType") -> Any:
    """Build the one core of a process.

    The CPU plug-in of each core replaces the stack on which signals are handled, and restores the
    one before when it ends. Of two cores, it may restore the freed stack of the other; then the
    next Ctrl-C ends the process by a segmentation fault (OpenVINO 2026.4).
    """
    return openvino.Core()


def compile_model(source: Path | bytes) -> Any:
    """Compile an .onnx file, its bytes, or an .xml for the CPU, in single precision.

    Raises ``CheckpointError`` if it is damaged.
    """
    core = _build_core(import_openvino())
    try:
        return core.compile_model(core.read_model(source), "CPU", _OPTIONS)
    except Exception as error:  # a foreign graph may raise any error
        raise _unloadable(source if isinstance(source, Path) else "export", error) from error


def _unloadable(name: Path | str, error: Exception) -> CheckpointError:
    why = one_line(str(error)[-200:])
    return CheckpointError(f"{name}: OpenVINO cannot load it: {why}. Export it again")


def answer_of(compiled: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Compute the outputs by name, copied from the memory of OpenVINO."""
    request = compiled.create_infer_request()
    found = request.infer(inputs, share_inputs=True)
    return {output.get_any_name(): np.array(found[output]) for output in compiled.outputs}


def _described(port: Any) -> tuple[tuple[int | None, ...], str]:
    shape, dtype = port.get_partial_shape(), port.get_element_type().get_type_name()
    sides = () if shape.rank.is_dynamic else tuple(shape)
    lengths = (None if side.is_dynamic else int(side.get_length()) for side in sides)
    return tuple(lengths), _DTYPES.get(dtype, dtype)
