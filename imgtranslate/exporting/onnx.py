"""The ONNX graph of a model with padding and crop, and the .onnx file that it makes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from imgtranslate._version import __version__
from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.engines.network_graph import add_encoder, add_generator
from imgtranslate.engines.onnx_graph import Graph, Map
from imgtranslate.engines.onnx_runtime import open_session
from imgtranslate.exporting.half_precision import in_half_precision
from imgtranslate.exporting.source_model import SourceModel
from imgtranslate.model_files.checkpoint import (
    METADATA_KEY,
    ModelHeader,
    header_json,
    load_arrays,
)
from imgtranslate.model_files.export_header import (
    CODE,
    FORM_KEY,
    IMAGE,
    LOG_VARIANCE,
    MEAN,
    TRANSLATED,
    ExportForm,
    form_json,
)

_DIMENSIONS = {
    "float": ("batch", "channels", "height", "width"),
    "uint8": ("batch", "height", "width", "channels"),
}
_ROWS, _COLUMNS = 2, 3  # axes

Feed = Mapping[str, NDArray[Any]]  # the inputs of a graph by name
RunGraph = Callable[[Feed], NDArray[Any]]  # returns the translated images


def to_onnx(model: SourceModel) -> onnx.ModelProto:
    """Build the graph of a model for images of any size; it includes padding, crop and rounding."""
    g, numbers = Graph(), model.border.inputs.get(CODE, 0)
    image = _image_input(g, model)
    x, size = _padded(g, image, *model.sides), g.op("Shape", image.name, start=_ROWS)
    z = g.input(CODE, ("batch", numbers)) if numbers else ""
    if model.form.what == "encoder" and model.header.encoder is not None:
        codes = add_encoder(g, x, model.header.encoder, latent_dim=model.border.outputs[MEAN])
        for name, code in zip((MEAN, LOG_VARIANCE), codes, strict=True):
            g.output(name, code, ("batch", model.border.outputs[name]))
    else:
        out_channels = model.header.out_channels
        y = add_generator(g, x, z, model.header.generator, out_channels=out_channels)
        axes = g.constant([_ROWS, _COLUMNS])
        _image_output(g, model, g.op("Slice", y.name, g.constant([0, 0]), size, axes))
    graph = g.model(load_arrays(model.path))
    if model.form.format == "onnx-fp16":
        graph = in_half_precision(graph)
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


def load_in_onnx_runtime(graph: onnx.ModelProto) -> RunGraph:
    """Load the graph of a generator into ONNX Runtime."""
    session = open_session(graph.SerializeToString())
    return lambda feed: session.run([TRANSLATED], dict(feed))[0]


def _shape(model: SourceModel, channels: int) -> tuple[int | str, ...]:
    return tuple(channels if n == "channels" else n for n in _DIMENSIONS[model.form.io])


def _image_input(g: Graph, model: SourceModel) -> Map:
    """Add the input for images, and convert bytes (n, h, w, c) to (n, c, h, w) in [-1, 1]."""
    channels, shape = model.in_channels, _shape(model, model.in_channels)
    if model.form.io == "float":
        return Map(name=g.input(IMAGE, shape), channels=channels)
    pixels = g.op("Transpose", g.input(IMAGE, shape, TensorProto.UINT8), perm=[0, 3, 1, 2])
    levels = g.op("Cast", pixels, to=TensorProto.FLOAT)
    scaled = g.op("Div", levels, g.constant(127.5, np.float32))
    return Map(name=g.op("Sub", scaled, g.constant(1, np.float32)), channels=channels)


def _image_output(g: Graph, model: SourceModel, values: str) -> None:
    """Add the output of images, rounded to bytes (n, h, w, c) as by ``images.to_pixels``."""
    shape = _shape(model, model.header.out_channels)
    if model.form.io == "float":
        g.output(TRANSLATED, values, shape)
        return
    one, half, zero, white = (g.constant(v, np.float32) for v in (1, 127.5, 0, 255))
    levels = g.op("Mul", g.op("Add", values, one), half)
    levels = g.op("Where", g.op("IsNaN", levels), zero, levels)
    levels = g.op("Transpose", g.op("Round", g.op("Clip", levels, zero, white)), perm=[0, 2, 3, 1])
    pixels = g.op("Cast", levels, to=TensorProto.UINT8)
    g.output(TRANSLATED, pixels, shape, TensorProto.UINT8)


def _padded(g: Graph, image: Map, multiple: int, least: int) -> Map:
    """Extend an image (n, c, h, w) by reflection to an accepted size, as ``images.pad_to``."""
    name = image.name
    for axis in (_ROWS, _COLUMNS):
        side = g.op("Gather", g.op("Shape", name), g.constant(axis))
        name = g.op("Gather", name, mirror_indices(g, side, multiple, least), axis=axis)
    return Map(name=name, channels=image.channels)


def mirror_indices(g: Graph, side: str, multiple: int, least: int) -> str:
    """Compute ``images.mirror_indices`` of a side and its next accepted length."""
    zero, one, two = (g.constant(v) for v in (0, 1, 2))
    steps = g.op("Div", g.op("Add", side, g.constant(multiple - 1)), g.constant(multiple))
    padded = g.op("Max", g.op("Mul", steps, g.constant(multiple)), g.constant(least))
    last = g.op("Sub", side, one)
    period = g.op("Max", g.op("Mul", last, two), one)
    place = g.op("Mod", g.op("Range", zero, padded, one), period)
    return g.op("Sub", last, g.op("Abs", g.op("Sub", place, last)))
