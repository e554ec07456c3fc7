"""Graphs with float16 weights and products in every layer that has weights."""

import math
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

MODEST = 2**8  # weights with a norm between 1 / MODEST and MODEST are stored unscaled
_OUTPUTS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0}  # axis of the outputs of the weights


def in_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph whose layers take and give float32, with weights and products in float16.

    Norms, residual sums and biases stay in float32: a variance over an image can exceed the range
    of float16, and a bias can be far larger than the value to which it is added. Weights beyond the
    range of float16 are multiplied by a power of two, by which the result is divided.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [new for node in graph.node for new in _in_half(node, tensors)]
    del graph.node[:]
    graph.node.extend(nodes)
    return half


def _in_half(node: NodeProto, tensors: dict[str, TensorProto]) -> Iterator[NodeProto]:
    """Convert a layer and, in place, its weights and bias."""
    if node.op_type not in _OUTPUTS:
        yield node
        return
    (x, weight, *biases), (y,) = node.input, node.output
    values = numpy_helper.to_array(tensors[weight])
    factor = _factor(values, outputs=_OUTPUTS[node.op_type])
    scaled = (values * np.float32(factor)).astype(np.float16)
    tensors[weight].CopyFrom(numpy_helper.from_array(scaled, weight))

    # Compute in float16, then undo the factor and add the bias.
    yield helper.make_node("Cast", [x], [f"{y}_input"], to=TensorProto.FLOAT16)
    product = NodeProto()
    product.CopyFrom(node)
    product.input[:], product.output[:] = [f"{y}_input", weight], [f"{y}_half"]
    yield product
    steps: list[tuple[str, str]] = []  # kinds of nodes, each with its second input
    if factor != 1:
        constant = numpy_helper.from_array(np.array(factor, np.float32), f"{y}_factor")
        yield helper.make_node("Constant", [], [f"{y}_factor"], value=constant)
        steps.append(("Div", f"{y}_factor"))
    for bias in biases:
        if node.op_type != "Gemm":
            sides = numpy_helper.to_array(tensors[bias])[:, None, None]
            tensors[bias].CopyFrom(numpy_helper.from_array(sides, bias))
        steps.append(("Add", bias))
    before = f"{y}_single" if steps else y
    yield helper.make_node("Cast", [f"{y}_half"], [before], to=TensorProto.FLOAT)
    for index, (kind, second) in enumerate(steps, 1):
        after = y if index == len(steps) else f"{y}_{kind}"
        yield helper.make_node(kind, [before, second], [after])
        before = after


def _factor(weights: NDArray[np.float32], *, outputs: int) -> float:
    """Compute the power of two that scales the largest weight norm of an output to about 1."""
    rows = np.moveaxis(weights, outputs, 0).reshape(weights.shape[outputs], -1)
    largest = float(np.linalg.norm(rows.astype(np.float64), axis=1).max())
    if not math.isfinite(largest) or largest == 0 or 1 / MODEST <= largest <= MODEST:
        return 1.0
    return 2.0 ** -round(math.log2(largest))
