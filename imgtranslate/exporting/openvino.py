"""The OpenVINO export: a folder with graph, weights and metadata."""

import json
from pathlib import Path

import onnx

from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.engines.openvino_runtime import answer_of, compile_model, import_openvino
from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.onnx import RunGraph
from imgtranslate.exporting.source_model import SourceModel
from imgtranslate.model_files.checkpoint import METADATA_KEY, header_json
from imgtranslate.model_files.export_files import GRAPH, METADATA, WEIGHTS
from imgtranslate.model_files.export_header import FORM_KEY, TRANSLATED, form_json


def write_openvino(graph: onnx.ModelProto, model: SourceModel, folder: Path) -> ExportEngine:
    """Convert an ONNX graph to a folder for OpenVINO, and load the folder."""
    openvino = import_openvino()
    converted = openvino.Core().read_model(graph.SerializeToString())
    try:
        openvino.save_model(converted, folder / GRAPH, compress_to_fp16=False)
    except RuntimeError as error:
        (folder / WEIGHTS).write_bytes(bytes(graph.ByteSize()))  # raises the OSError that it hides
        raise ImgTranslateError(f"OpenVINO cannot write its files: {error}") from error
    metadata = {METADATA_KEY: header_json(model.header), FORM_KEY: form_json(model.form)}
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    return ExportEngine.load(folder, device="cpu")


def load_in_openvino(graph: onnx.ModelProto) -> RunGraph:
    """Compile the ONNX graph of a generator for OpenVINO."""
    compiled = compile_model(graph.SerializeToString())
    return lambda feed: answer_of(compiled, dict(feed))[TRANSLATED]
