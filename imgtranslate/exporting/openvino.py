"""A network as a folder for OpenVINO: single precision, or 8 bits."""

import json
from pathlib import Path

import onnx

from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.engines.openvino_runtime import answer_of, compile_model, import_openvino
from imgtranslate.exporting.calibration import Calibration, Precision, in_eight_bits, to_bytes
from imgtranslate.exporting.int8.quantise import Run, Target
from imgtranslate.exporting.onnx import to_onnx
from imgtranslate.exporting.original import Original
from imgtranslate.model_files.checkpoint import METADATA_KEY, header_json
from imgtranslate.model_files.export_files import GRAPH, METADATA
from imgtranslate.model_files.export_header import FORM_KEY, TRANSLATED, form_json


def write_openvino(original: Original, folder: Path) -> ExportEngine:
    """Write graph, weights and metadata into a folder, and load them again."""
    return _save(to_onnx(original), original, folder)


def write_openvino_int8(
    original: Original, folder: Path, calibration: Calibration
) -> tuple[ExportEngine, Precision]:
    """Write the same in 8 bits, chosen by what OpenVINO makes of it."""
    target = Target(load=_load, results_in_bytes=False)
    model, precision = in_eight_bits(original, calibration, target=target)
    return _save(model, original, folder), precision


def _load(model: onnx.ModelProto) -> Run:
    compiled = compile_model(model.SerializeToString())
    return lambda feed: to_bytes(answer_of(compiled, dict(feed))[TRANSLATED])


def _save(model: onnx.ModelProto, original: Original, folder: Path) -> ExportEngine:
    openvino = import_openvino()
    graph = openvino.Core().read_model(model.SerializeToString())
    openvino.save_model(graph, folder / GRAPH, compress_to_fp16=False)
    metadata = {METADATA_KEY: header_json(original.header), FORM_KEY: form_json(original.form)}
    (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")
    return ExportEngine.load(folder, device="cpu")
