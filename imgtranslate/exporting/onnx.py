"""A network as one ONNX graph."""

import warnings
from pathlib import Path

import onnx
import torch

from imgtranslate._version import __version__
from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.exporting.network import example_of, free_sides
from imgtranslate.exporting.original import Original
from imgtranslate.model_files.checkpoint import METADATA_KEY, ModelHeader, header_json
from imgtranslate.model_files.export_header import FORM_KEY, ExportForm, border_of, form_json

OPSET = 18
_SIDES = {"float": ("batch", "", "height", "width"), "uint8": ("batch", "height", "width", "")}


def write_onnx(original: Original, path: Path) -> ExportEngine:
    """Write one .onnx file, and load it again."""
    onnx.save(to_onnx(original), path)
    return ExportEngine.load(path, device="cpu")


def to_onnx(original: Original) -> onnx.ModelProto:
    """Trace a network with its border; batch, height and width stay free.

    The model's header and the form of the export travel in the metadata.
    """
    header, form = original.header, original.form
    border = border_of(header, form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about itself
        program = torch.onnx.export(
            original.network,
            example_of(header, form),
            dynamo=True,
            dynamic_shapes=free_sides(header, form),
            input_names=list(border.inputs),
            output_names=list(border.outputs),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:  # of the older exporter only
        raise TypeError("torch.onnx.export gave no program")
    return with_metadata(_clean(program.model_proto, form), header, form)


def with_metadata(proto: onnx.ModelProto, header: ModelHeader, form: ExportForm) -> onnx.ModelProto:
    """Write header and form into the metadata, and who wrote the file."""
    proto.graph.name = f"{header.source} to {header.target}"
    proto.producer_name, proto.producer_version = "imgtranslate", __version__
    metadata = {METADATA_KEY: header_json(header), FORM_KEY: form_json(form)}
    onnx.helper.set_model_props(proto, metadata)
    return proto


def _clean(proto: onnx.ModelProto, form: ExportForm) -> onnx.ModelProto:
    """Name the free sides, drop what the exporter notes about this machine."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.ClearField("metadata_props")
        _name_sides(value, form)
    for node in proto.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    proto.graph.ClearField("metadata_props")
    proto.graph.ClearField("value_info")
    return proto


def _name_sides(value: onnx.ValueInfoProto, form: ExportForm) -> None:
    sides = value.type.tensor_type.shape.dim
    names = _SIDES[form.io] if len(sides) == 4 else ("batch", "")
    for side, name in zip(sides, names, strict=True):
        if name:
            side.dim_param = name
