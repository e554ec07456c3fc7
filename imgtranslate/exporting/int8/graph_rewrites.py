"""The same graph in a form whose convolutions can be computed in integers.

Runtimes have no transposed convolution in integers, or a slow one. What is subtracted before an
instance norm against rounding costs a pass over the memory. A bias before it changes nothing, but
in 8 bits the biases of what becomes neighbouring pixels are rounded apart, which the norm makes a
pattern of full contrast where a picture is flat: without, it stays flat.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

Weights = NDArray[np.float32]
_PADS = {"Pad", "Conv"}  # what reads the pixels of a convolution


def to_integer_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph; the copy gives the same values, but for what rounding does to flat pictures.

    Every node gets a name, and what convolutions read is read by nothing else.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _replace_nodes(copy.graph, _as_convolutions(copy.graph))
    _drop_biases(copy.graph)
    _replace_nodes(copy.graph, _read_alone(copy.graph))
    _remove_unused(copy.graph)
    for index, node in enumerate(copy.graph.node):
        node.name = f"{index}_{node.op_type}"
    return copy


def _as_convolutions(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Each transposed convolution as a convolution to four pictures, woven into one."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "ConvTranspose" or not _doubles(node):
            yield node
            continue
        name = node.output[0]
        kernel = numpy_helper.to_array(tensors[node.input[1]])
        weights, before, after = phases(kernel)
        graph.initializer.append(numpy_helper.from_array(weights, f"{name}_phases"))
        inputs = [node.input[0], f"{name}_phases"]
        if len(node.input) > 2:
            bias = np.tile(numpy_helper.to_array(tensors[node.input[2]]), 4)
            graph.initializer.append(numpy_helper.from_array(bias, f"{name}_biases"))
            inputs.append(f"{name}_biases")
        pads = [before, before, after, after]
        yield helper.make_node("Conv", inputs, [f"{name}_woven"], pads=pads)
        yield helper.make_node("DepthToSpace", [f"{name}_woven"], [name], blocksize=2)


def phases(kernel: Weights) -> tuple[Weights, int, int]:
    """The kernel of the convolution whose four outputs are a transposed convolution's.

    ``kernel``: (in, out, k, k) of one with stride 2 and a padding of 1, k = 3 or 4. Gives (4 out,
    in, w, w), the outputs in the order of ``DepthToSpace``, and the padding before and after.
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


def _doubles(node: NodeProto) -> bool:
    """Whether this is the upsampling of our networks."""
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    ours = given.get("strides") == [2, 2] and given.get("pads") == [1, 1, 1, 1]
    return ours and given.get("group", 1) == 1


def without_first_values(model: onnx.ModelProto, *, kept: frozenset[str]) -> onnx.ModelProto:
    """Copy an integer form; after convolutions but the ``kept`` ones norms read what these give.

    Networks take the first value away in between, against rounding: integers have none.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    makers = _makers(copy.graph)
    for norm, before in _norms(copy.graph):
        maker = makers[before]
        maker = makers[maker.input[0]] if maker.op_type == "DepthToSpace" else maker
        if maker.op_type == "Conv" and maker.name not in kept:
            norm.input[0] = before
    _remove_unused(copy.graph)
    return copy


def _norms(graph: onnx.GraphProto) -> Iterator[tuple[NodeProto, str]]:
    """Instance norms, each with the tensor that the first value is taken away from."""
    makers = _makers(graph)
    for node in graph.node:
        if node.op_type == "InstanceNormalization":
            difference = makers[node.input[0]]
            is_ours = difference.op_type == "Sub" and makers[difference.input[1]].op_type == "Slice"
            yield node, difference.input[0] if is_ours else node.input[0]


def _makers(graph: onnx.GraphProto) -> dict[str, NodeProto]:
    return {output: node for node in graph.node for output in node.output}


def _drop_biases(graph: onnx.GraphProto) -> None:
    """Leave out the biases that an instance norm takes away again."""
    makers = _makers(graph)
    readers: dict[str, set[str]] = defaultdict(set)
    for node in graph.node:
        for name in node.input:
            readers[name].add(node.op_type)
    for _, before in _norms(graph):
        alone = readers[before] <= {"InstanceNormalization", "Sub", "Slice"}
        maker = makers[before]
        if maker.op_type == "DepthToSpace":
            maker = makers[maker.input[0]]
        if alone and maker.op_type == "Conv":
            del maker.input[2:]


def _read_alone(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Name the input of a convolution apart, so that nothing else reads it in few bits."""
    uses = Counter(name for node in graph.node for name in node.input)
    for index, node in enumerate(graph.node):
        if node.op_type in _PADS and uses[node.input[0]] > 1:
            name = f"{node.input[0]}_for_{index}"
            yield helper.make_node("Identity", [node.input[0]], [name])
            node.input[0] = name
        yield node


def _replace_nodes(graph: onnx.GraphProto, nodes: Iterator[NodeProto]) -> None:
    made = list(nodes)
    del graph.node[:]
    graph.node.extend(made)


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Drop the nodes and tensors that no output depends on."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    _replace_nodes(graph, reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
