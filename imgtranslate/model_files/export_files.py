"""Exports, which are recognised by name, and their metadata, which is read without the graph.

An export is an ``.onnx`` file, a ``.pt2`` archive, or a folder for OpenVINO with a graph, weights
and metadata. This module neither unpickles nor runs anything in it.
"""

import json
import re
from pathlib import Path
from xml.parsers import expat

from imgtranslate.model_files.onnx_file import check_onnx_graph, read_onnx_metadata
from imgtranslate.model_files.torch_archive import opened_archive

GRAPH, WEIGHTS = "model.xml", "model.bin"  # files of an OpenVINO folder
METADATA = "imgtranslate.json"
_PT2_EXTRA = "/extra/"  # where torch.export.save stores extra files
_LONGEST = 1 << 20  # bytes of metadata; imgtranslate writes about 1,000
_LONGEST_GRAPH = 1 << 26  # bytes
_CONTROL_FLOW = {"If", "Loop", "TensorIterator"}
_OPENVINO_BEGINNING = re.compile(rb"<\?xml[^>]*\?>\s*<net\s")


def is_onnx(path: Path) -> bool:
    """Return whether a path is an ONNX file, by its name."""
    return path.suffix.lower() == ".onnx"


def is_pt2(path: Path) -> bool:
    """Return whether a path is a torch.export archive, by its name."""
    return path.suffix.lower() == ".pt2"


def is_openvino(path: Path) -> bool:
    """Return whether a path is a folder for OpenVINO."""
    return (path / GRAPH).is_file()


def is_export(path: Path) -> bool:
    """Return whether a path is an export in any format."""
    return is_onnx(path) or is_pt2(path) or is_openvino(path)


def read_export_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of an export. Raises ``ValueError`` if it is damaged."""
    if is_openvino(path):
        return _read_openvino(path)
    return read_onnx_metadata(path) if is_onnx(path) else _read_pt2(path)


def refuse_foreign_graph(path: Path) -> None:
    """Raise ``ValueError`` if ``imgtranslate export`` would not write a graph, see ``onnx_file``.

    OpenVINO converts operators in its own way, so any of them may be in its folder, except those
    that contain graphs and may run for ever. It recognises formats by content: it would accept an
    ONNX graph, whose tensors may be in any other file.
    """
    if is_onnx(path):
        check_onnx_graph(path)
        return
    _refuse_special(path / WEIGHTS)
    with (path / GRAPH).open("rb") as file:
        if not _OPENVINO_BEGINNING.match(file.read(200)):
            raise ValueError(f"{GRAPH} is not in the format of OpenVINO")
        if file.seek(0, 2) > _LONGEST_GRAPH:
            raise ValueError(f"{GRAPH} is too long")
        file.seek(0)
        parser = expat.ParserCreate()
        parser.StartElementHandler = _check_element
        parser.StartDoctypeDeclHandler = _refuse_document_type
        try:
            parser.ParseFile(file)
        except expat.ExpatError as error:
            raise ValueError(f"{GRAPH}: {error}") from error


def _check_element(_: str, attributes: dict[str, str]) -> None:
    kind = attributes.get("type")
    if kind in _CONTROL_FLOW:
        raise ValueError(f"it contains the operator {kind!r}")


def _refuse_document_type(*_: object) -> None:
    raise ValueError(f"{GRAPH} declares a document type")


def _read_openvino(path: Path) -> dict[str, str]:
    _refuse_special(path / METADATA)
    with (path / METADATA).open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise ValueError(f"{METADATA} is too long")
    try:
        metadata = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{METADATA} is nested too deeply") from error
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} contains values other than text")
    return metadata


def _refuse_special(path: Path) -> None:
    """Refuse a pipe, which would block."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    if not path.exists():
        raise ValueError(f"{path.name} is missing")


def _read_pt2(path: Path) -> dict[str, str]:
    with opened_archive(path) as archive:
        return {
            entry.filename.partition(_PT2_EXTRA)[2]: archive.read(entry).decode(errors="replace")
            for entry in archive.infolist()
            if _PT2_EXTRA in entry.filename and entry.file_size <= _LONGEST
        }
