"""ONNX graphs that are written node by node, with weights that are named but not loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from imgtranslate.model_files.checkpoint import Layout

OPSET, IR_VERSION = 18, 8  # ONNX Runtime 1.16 loads these
SIDES = ("height", "width")

Tensors = Mapping[str, NDArray[Any]]  # by name


@dataclass(frozen=True, kw_only=True)
class Map:
    """A feature map of a graph: (n, channels, h, w)."""

    name: str  # of its tensor
    channels: int


@final
class Graph:
    """A graph under construction.

    ``layout``: name, dtype and shape of the weights, as a checkpoint must contain them.
    """

    def __init__(self) -> None:
        self.layout: Layout = {}
        self._nodes: list[onnx.NodeProto] = []
        self._makers: dict[str, onnx.NodeProto] = {}  # by name of the output
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self.weights: list[str] = []

    def input(self, name: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input; a side of any length has a name in place of its length."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(
        self, name: str, value: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT
    ) -> None:
        """Name a value that no node reads, and declare it as an output."""
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))
        self._makers[value].output[:] = [name]

    def weight(self, name: str, *shape: int) -> str:
        """Declare a tensor of the checkpoint."""
        self.layout[name] = ("F32", shape)
        self.weights.append(name)
        return name

    def constant(self, values: Any, dtype: type = np.int64) -> str:
        """Return the name of a constant; equal constants are stored once."""
        array: NDArray[Any] = np.asarray(values, dtype)
        key = (array.dtype.str, array.tobytes(), array.shape)
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(array, name)
        return str(self._constants[key].name)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output."""
        output = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        self._makers[output] = self._nodes[-1]
        return output

    def same(self, kind: str, x: Map, *inputs: str, **attributes: Any) -> Map:
        """Add a node whose output has the shape of its first input."""
        return Map(name=self.op(kind, x.name, *inputs, **attributes), channels=x.channels)

    def model(self, tensors: Tensors | None = None) -> onnx.ModelProto:
        """Build the model with these weights; without them it names them as external data."""
        weights = [
            _external(name, self.layout[name][1])
            if tensors is None
            else numpy_helper.from_array(tensors[name], name)
            for name in self.weights
        ]
        graph = helper.make_graph(
            self._nodes,
            "imgtranslate",
            self._inputs,
            self._outputs,
            [*self._constants.values(), *weights],
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )


def _external(name: str, shape: tuple[int, ...]) -> TensorProto:
    tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    return tensor
