"""Graphs with ``QuantizeLinear`` and ``DequantizeLinear`` around the convolutions.

Weights are int8 with one scale per channel. Activations are uint8 with one scale per tensor, from
the range of the activation over the calibration pictures.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.quantization import CalibrationMethod, QuantType  # type: ignore[import-untyped]
from onnxruntime.quantization.calibrate import TensorsData  # type: ignore[import-untyped]
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer  # type: ignore[import-untyped]

from imgtranslate.engines.onnx_runtime import open_session
from imgtranslate.exporting.int8.graph_rewrites import makers
from imgtranslate.exporting.onnx import Feed

Range = tuple[np.float32, np.float32]
Ranges = dict[str, Range]  # by name of the tensor

_QUANTISED = ("Conv", "Pad")  # the padding before a convolution is quantised with it
_MOST = 2**17  # values of an activation from which quantiles are computed


def convolutions(graph: onnx.ModelProto) -> list[str]:
    """List the names of the convolutions in the order of the graph."""
    return [node.name for node in graph.graph.node if node.op_type == "Conv"]


def measure_ranges(
    graph: onnx.ModelProto, feeds: Iterable[Feed], *, tails: Sequence[float]
) -> dict[float, Ranges]:
    """Measure the range of each input and output of the quantised nodes over all feeds.

    Each of ``tails`` gives one set of ranges: it is the share of values that may lie below the
    range, and the share that may lie above it. With 0 the range covers all values.
    """
    nodes = [node for node in graph.graph.node if node.op_type in _QUANTISED]
    names = list(dict.fromkeys(n for node in nodes for n in (node.input[0], node.output[0])))
    session = open_session(_with_outputs(graph, names).SerializeToString())
    found: dict[float, Ranges] = {tail: {} for tail in tails}
    for feed in feeds:
        for name, values in zip(names, session.run(names, dict(feed)), strict=True):
            sampled = values.reshape(-1)[:: max(1, values.size // _MOST)]
            for tail, ranges in found.items():
                ends = np.quantile(sampled, [tail, 1 - tail]) if tail else _extremes(values)
                low, high = (np.float32(end) for end in ends)
                before = ranges.get(name, (low, high))
                ranges[name] = (min(before[0], low), max(before[1], high))
    return found


def insert_qdq(
    graph: onnx.ModelProto, ranges: Ranges, *, in_float: frozenset[str], outputs_in_int8: bool
) -> onnx.ModelProto:
    """Quantise all convolutions of a graph except those ``in_float``."""
    copy = onnx.ModelProto()  # it is changed in place
    copy.CopyFrom(graph)
    quantizer = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, dict(ranges)),
        nodes_to_quantize=_with_paddings(graph, in_float=in_float),
        nodes_to_exclude=[],
        op_types_to_quantize=list(_QUANTISED),
        extra_options={"OpTypesToExcludeOutputQuantization": [] if outputs_in_int8 else ["Conv"]},
    )
    quantizer.quantize_model()
    quantised: onnx.ModelProto = quantizer.model.model
    return quantised


def _with_outputs(graph: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Copy a graph and make the named tensors additional outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    present = {value.name for value in (*graph.graph.output, *graph.graph.input)}
    missing = [helper.make_empty_tensor_value_info(name) for name in names if name not in present]
    copy.graph.output.extend(missing)
    return copy


def _extremes(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    return values.min(), values.max()


def _with_paddings(graph: onnx.ModelProto, *, in_float: frozenset[str]) -> list[str]:
    """List the nodes to quantise: convolutions, each preceded by its padding."""
    maker = makers(graph.graph)
    chosen = []
    for node in graph.graph.node:
        if node.op_type == "Conv" and node.name not in in_float:
            before = maker.get(node.input[0])
            padding = [before.name] if before is not None and before.op_type == "Pad" else []
            chosen += [*padding, node.name]
    return chosen
