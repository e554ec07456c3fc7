"""ONNX Runtime, on the CPU or a CUDA device."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, final

import onnxruntime  # type: ignore[import-untyped]

from imgtranslate.engines.engine import Ports
from imgtranslate.errors import CheckpointError, UsageError, one_line

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MOST_THREADS = 1024
_ALARMS = 4  # severity level; errors are raised, and warnings do not concern the user
_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


@final
class OnnxRuntime:
    """A session of ONNX Runtime.

    ``ports``: shapes and dtypes of the inputs and outputs by name.
    """

    name = "ONNX Runtime"

    def __init__(
        self,
        path: Path,
        *,
        device: str = "auto",
        graph: bytes | None = None,
        weights: Mapping[str, Any] | None = None,
        arena: bool = True,
    ) -> None:
        """Load the graph in a file, or a ``graph`` that was built from it, with ``weights``.

        ``arena`` is that of ``open_session``. Raises ``CheckpointError``, and ``UsageError`` for
        the device.
        """
        provider, self.device = _provider(device)
        # The arguments are kept because the session reads the memory of the weights.
        self._open = partial(
            open_session, graph or path, provider=provider, weights=weights, arena=arena
        )
        self._process = os.getpid()
        self._of_parent: Any = None  # kept, because it would wait for its threads to end
        try:
            self._session = self._open()
            self.ports: Ports = {
                value.name: (tuple(value.shape), _DTYPES.get(value.type, value.type))
                for value in (*self._session.get_inputs(), *self._session.get_outputs())
            }
        except Exception as error:  # a foreign graph may raise any error
            why = one_line(str(error), most=200)
            help_ = "Export it again" if graph is None else "Set `engine` to torch"
            raise CheckpointError(f"{path}: ONNX Runtime cannot load it: {why}. {help_}") from error

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the outputs by name. Raises ``RuntimeError``."""
        if os.getpid() != self._process:  # in a fork, where the threads of the session are lost
            self._process, self._of_parent = os.getpid(), self._session
            self._session = self._open(threads=1)
        names = [name for name in self.ports if name not in inputs]
        try:
            return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # as above
            raise RuntimeError(str(error)) from error


def open_session(
    model: Path | bytes,
    *,
    provider: Any = _CPU,
    weights: Mapping[str, Any] | None = None,
    arena: bool = True,
    threads: int | None = None,
) -> Any:
    """Open a graph in a file, or one in memory, which may have its ``weights`` outside.

    A graph with weights outside starts quickly, at the cost of some speed. With an ``arena`` memory
    is kept for the next layer and picture, which is faster, but takes up to twice as much.
    ``threads``: by default as many as ``OMP_NUM_THREADS`` says.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ALARMS
    options.enable_cpu_mem_arena = arena
    options.intra_op_num_threads = threads or _threads(os.environ.get("OMP_NUM_THREADS", ""))
    if weights is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.enable_mem_pattern = False
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
    fallback = int(provider is not _CPU)  # the runtime would try again, and print that
    return onnxruntime.InferenceSession(
        model, options, providers=[provider], enable_fallback=fallback
    )


def _threads(text: str) -> int:
    """Read ``OMP_NUM_THREADS``, such as ``2`` or ``2,1``; 0 leaves the number to the runtime."""
    number = text.partition(",")[0].strip()
    return min(int(number[:9]), MOST_THREADS) if number.isascii() and number.isdigit() else 0


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
