"""Graph rewrites that allow convolutions to be computed in 8-bit integers.

* Transposed convolutions become convolutions: runtimes have no fast integer version of them.
* A bias before an instance norm is removed. The norm cancels it, but in 8 bits the biases of
  outputs that become neighbouring pixels round differently, and the norm amplifies this to a
  pattern of full contrast where a picture is flat.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

Weights = NDArray[np.float32]


def to_integer_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with all rewrites; its results differ only by rounding where pictures are flat.

    Every node gets a name, and no other node reads the input of a convolution.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _replace_nodes(copy.graph, _as_convolutions(copy.graph))
    _drop_biases(copy.graph)
    _replace_nodes(copy.graph, _with_own_inputs(copy.graph))
    _remove_unused(copy.graph)
    for index, node in enumerate(copy.graph.node):
        node.name = f"{index}_{node.op_type}"
    return copy


def makers(graph: onnx.GraphProto) -> dict[str, NodeProto]:
    """Map the name of each computed tensor to the node that computes it."""
    return {output: node for node in graph.node for output in node.output}


def phases(kernel: Weights) -> tuple[Weights, int, int]:
    """Compute the convolution kernel that is equivalent to a transposed convolution of stride 2.

    ``kernel``: (in, out, k, k) with padding 1 and k = 3 or 4. Returns the kernel (4 out, in, w, w),
    with its outputs in the order of ``DepthToSpace``, and the padding before and after.
    """
    inputs, outputs, size, _ = kernel.shape
    taps = [(phase, (phase + 1 - k) // 2, k) for phase in (0, 1) for k in range(1 - phase, size, 2)]
    before = -min(shift for _, shift, _ in taps)
    after = max(shift for _, shift, _ in taps)
    window = before + 1 + after
    weights = np.zeros((2, 2, outputs, inputs, window, window), np.float32)
    for row, down, i in taps:
        for column, right, j in taps:
            weights[row, column, :, :, before + down, before + right] = kernel[:, :, i, j].T
    return weights.reshape(4 * outputs, inputs, window, window), before, after


def _as_convolutions(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Replace each transposed convolution by a convolution with four interleaved outputs."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if not _is_upsampling(node):
            yield node
            continue
        name = node.output[0]
        weights, before, after = phases(numpy_helper.to_array(tensors[node.input[1]]))
        graph.initializer.append(numpy_helper.from_array(weights, f"{name}_phases"))
        inputs = [node.input[0], f"{name}_phases"]
        if len(node.input) > 2:
            bias = np.tile(numpy_helper.to_array(tensors[node.input[2]]), 4)
            graph.initializer.append(numpy_helper.from_array(bias, f"{name}_biases"))
            inputs.append(f"{name}_biases")
        pads = [before, before, after, after]
        yield helper.make_node("Conv", inputs, [f"{name}_woven"], pads=pads)
        yield helper.make_node("DepthToSpace", [f"{name}_woven"], [name], blocksize=2)


def _is_upsampling(node: NodeProto) -> bool:
    """Return whether a node is a transposed convolution as our networks use it."""
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return (
        node.op_type == "ConvTranspose"
        and given.get("strides") == [2, 2]
        and given.get("pads") == [1, 1, 1, 1]
        and given.get("group", 1) == 1
    )


def _convolution_of(tensor: str, maker: dict[str, NodeProto]) -> NodeProto:
    """Return the convolution that computes a tensor, looking through interleaving."""
    node = maker[tensor]
    return maker[node.input[0]] if node.op_type == "DepthToSpace" else node


def _drop_biases(graph: onnx.GraphProto) -> None:
    """Remove the biases that an instance norm cancels: it begins by subtracting the mean."""
    maker = makers(graph)
    readers: dict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            readers[name].add(node.op_type)
    for name in [name for name, kinds in readers.items() if kinds == {"Sub", "ReduceMean"}]:
        node = _convolution_of(name, maker)
        if node.op_type == "Conv":
            del node.input[2:]


def _with_own_inputs(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Copy convolution inputs that other nodes read too, so that those do not read 8-bit values."""
    uses = Counter(name for node in graph.node for name in node.input)
    for index, node in enumerate(graph.node):
        if node.op_type in ("Pad", "Conv") and uses[node.input[0]] > 1:
            name = f"{node.input[0]}_for_{index}"
            yield helper.make_node("Identity", [node.input[0]], [name])
            node.input[0] = name
        yield node


def _replace_nodes(graph: onnx.GraphProto, nodes: Iterable[NodeProto]) -> None:
    replaced = list(nodes)
    del graph.node[:]
    graph.node.extend(replaced)


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes and tensors on which no output depends."""
    needed = {value.name for value in graph.output}
    used = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            used.append(node)
            needed.update(node.input)
    _replace_nodes(graph, reversed(used))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
