"""Instance norms that hold for large pictures where numbers are added one by one.

WebAssembly adds a whole map in single precision with a few accumulators, and beyond a million
pixels the mean is off by what can be seen. Here each row has its mean, and those have theirs.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

_ROWS, _COLUMNS, _BEYOND = "axis_of_rows", "axis_of_columns", "axes_beyond"
_EPSILON = 1e-5  # ONNX's, where a node names none


def with_norms_by_rows(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every ``InstanceNormalization`` (n, c, h, w); the inputs and outputs stay."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    graph = changed.graph
    for name, axes in ((_ROWS, [2]), (_COLUMNS, [3]), (_BEYOND, [1, 2])):
        graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), name))
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.extend(_by_rows(node) if node.op_type == "InstanceNormalization" else [node])
    return changed


def _by_rows(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    (x, scale, bias), (y,) = node.input, node.output
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), _EPSILON)
    constant = numpy_helper.from_array(np.array(epsilon, np.float32))

    def made(name: str) -> str:
        return f"{y}_{name}"

    def step(kind: str, *given: str, to: str) -> onnx.NodeProto:
        return helper.make_node(kind, given, [to])

    return [
        step("ReduceMean", x, _COLUMNS, to=made("row_means")),
        step("ReduceMean", made("row_means"), _ROWS, to=made("mean")),
        step("Sub", x, made("mean"), to=made("centred")),
        step("Mul", made("centred"), made("centred"), to=made("squared")),
        step("ReduceMean", made("squared"), _COLUMNS, to=made("row_variances")),
        step("ReduceMean", made("row_variances"), _ROWS, to=made("variance")),
        helper.make_node("Constant", [], [made("epsilon")], value=constant),
        step("Add", made("variance"), made("epsilon"), to=made("lifted")),
        step("Sqrt", made("lifted"), to=made("deviation")),
        step("Unsqueeze", scale, _BEYOND, to=made("scale")),
        step("Div", made("scale"), made("deviation"), to=made("factor")),
        step("Mul", made("centred"), made("factor"), to=made("scaled")),
        step("Unsqueeze", bias, _BEYOND, to=made("bias")),
        step("Add", made("scaled"), made("bias"), to=y),
    ]
