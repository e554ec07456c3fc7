"""Which values the convolutions of a graph meet: what 8 bits are spread over."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import helper

Feed = Mapping[str, NDArray[Any]]  # inputs of a graph by their names
Range = tuple[np.float32, np.float32]
Ranges = dict[str, Range]  # by the name of the tensor

QUANTISED = ("Conv", "Pad")  # a padding is of 8 bits too, where it stands before a convolution
_MOST = 2**17  # values of a tensor and picture that shares are taken of
_ERRORS = 3  # of ONNX Runtime's levels of severity: warnings are about itself


def measure_ranges(
    model: onnx.ModelProto, feeds: Iterable[Feed], *, tails: Sequence[float]
) -> dict[float, Ranges]:
    """The widest range over all pictures of what quantised nodes take and give.

    Once for each share of the values that may lie below, and above it: 0 for none.
    """
    names = _tensors(model)
    session = _session_giving(model, names)
    found: dict[float, Ranges] = {tail: {} for tail in tails}
    for feed in feeds:
        for name, values in zip(names, session.run(names, dict(feed)), strict=True):
            few = values.reshape(-1)[:: max(1, values.size // _MOST)]
            for tail, ranges in found.items():
                ranges[name] = _wider(ranges.get(name), _range(values, few, tail=tail))
    return found


def _tensors(model: onnx.ModelProto) -> list[str]:
    nodes = [node for node in model.graph.node if node.op_type in QUANTISED]
    return list(dict.fromkeys(n for node in nodes for n in (node.input[0], node.output[0])))


def _session_giving(model: onnx.ModelProto, names: Sequence[str]) -> Any:
    """A session that gives the named tensors too."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    there = {value.name for value in (*model.graph.output, *model.graph.input)}
    missing = [helper.make_empty_tensor_value_info(name) for name in names if name not in there]
    open_model.graph.output.extend(missing)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    return onnxruntime.InferenceSession(
        open_model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _range(values: NDArray[Any], few: NDArray[Any], *, tail: float) -> Range:
    if not tail:
        return np.float32(values.min()), np.float32(values.max())
    low, high = np.quantile(few, [tail, 1 - tail])
    return np.float32(low), np.float32(high)


def _wider(x: Range | None, y: Range) -> Range:
    return y if x is None else (min(x[0], y[0]), max(x[1], y[1]))
