"""The ONNX graph of a model, in single or half precision, and the .onnx file that it makes."""

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtranslate._version import __version__
from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.exporting.network import SourceModel, example_inputs, with_border
from imgtranslate.model_files.checkpoint import METADATA_KEY, ModelHeader, header_json
from imgtranslate.model_files.export_header import FORM_KEY, TRANSLATED, ExportForm, form_json

OPSET = 18
_DIMENSIONS = {
    "float": ("batch", "", "height", "width"),
    "uint8": ("batch", "height", "width", ""),
}
_ERRORS = 3  # ONNX Runtime's severity level; its warnings do not concern the user
MODEST = 2**8  # weights with a norm between 1 / MODEST and MODEST are stored unscaled

Feed = Mapping[str, NDArray[Any]]  # the inputs of a graph by name
RunGraph = Callable[[Feed], NDArray[Any]]  # returns the translated images
WeightLayer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def to_onnx(model: SourceModel) -> onnx.ModelProto:
    """Trace a network with its padding and crop; batch, height and width stay dynamic."""
    half = model.form.format == "onnx-fp16"
    network = in_half_precision(model.network) if half else model.network
    example, dynamic_shapes = example_inputs(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own code
        program = torch.onnx.export(
            with_border(network, model.header, model.form),
            example,
            dynamo=True,
            dynamic_shapes=dynamic_shapes,
            input_names=list(model.border.inputs),
            output_names=list(model.border.outputs),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:  # only the older exporter returns None
        raise TypeError("torch.onnx.export returned no program")
    graph: onnx.ModelProto = program.model_proto
    _name_dimensions(graph, model.form)
    _remove_traces_of_the_exporter(graph)
    return with_metadata(graph, model.header, model.form)


def with_metadata(graph: onnx.ModelProto, header: ModelHeader, form: ExportForm) -> onnx.ModelProto:
    """Write the model's header, the form of the export and the producer into a graph."""
    graph.graph.name = f"{header.source} to {header.target}"
    graph.producer_name, graph.producer_version = "imgtranslate", __version__
    metadata = {METADATA_KEY: header_json(header), FORM_KEY: form_json(form)}
    onnx.helper.set_model_props(graph, metadata)
    return graph


def write_onnx(graph: onnx.ModelProto, path: Path) -> ExportEngine:
    """Write one .onnx file, and load it again."""
    onnx.save(graph, path)
    return ExportEngine.load(path, device="cpu")


def open_session(graph: onnx.ModelProto) -> Any:
    """Load a graph into ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def load_in_onnx_runtime(graph: onnx.ModelProto) -> RunGraph:
    """Load the graph of a generator into ONNX Runtime."""
    session = open_session(graph)
    return lambda feed: session.run([TRANSLATED], dict(feed))[0]


def _name_dimensions(graph: onnx.ModelProto, form: ExportForm) -> None:
    for value in (*graph.graph.input, *graph.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        names = _DIMENSIONS[form.io] if len(dimensions) == 4 else ("batch", "")
        for dimension, name in zip(dimensions, names, strict=True):
            if name:
                dimension.dim_param = name


def _remove_traces_of_the_exporter(graph: onnx.ModelProto) -> None:
    """Remove notes about the traced source code, which contain paths of this machine."""
    for value in (*graph.graph.input, *graph.graph.output):
        value.ClearField("metadata_props")
    for node in graph.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph.graph.ClearField("metadata_props")
    graph.graph.ClearField("value_info")


class HalfPrecision(nn.Module):
    """A layer with float16 weights and products, and float32 inputs and outputs.

    Norms, residual sums and biases stay in float32: a variance over an image can exceed the range
    of float16, and a bias can be far larger than the value to which it is added. Weights beyond the
    range of float16 are multiplied by a power of two, by which the result is divided.
    """

    def __init__(self, layer: WeightLayer) -> None:
        super().__init__()
        self.factor = _factor(layer)
        self.bias = layer.bias
        self.sides = () if isinstance(layer, nn.Linear) else (1, 1)
        layer.bias = None
        layer.weight.mul_(self.factor)
        self.layer = layer.half()

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102  # same as the layer
        y: Tensor = self.layer(x.half()).float()
        y = y if self.factor == 1 else y / self.factor
        return y if self.bias is None else y + self.bias.view(-1, *self.sides)


def in_half_precision(network: nn.Module) -> nn.Module:
    """Copy a network and wrap each layer with weights in ``HalfPrecision``."""
    network = copy.deepcopy(network)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, WeightLayer):
            network.set_submodule(name, HalfPrecision(layer))
    return network


def _factor(layer: WeightLayer) -> float:
    """Compute the power of two that scales the largest weight norm of an output to about 1."""
    outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    weights = layer.weight.transpose(0, outputs).flatten(1)
    largest = float(weights.norm(dim=1).max())
    if not math.isfinite(largest) or largest == 0 or 1 / MODEST <= largest <= MODEST:
        return 1.0
    return 2.0 ** -round(math.log2(largest))
