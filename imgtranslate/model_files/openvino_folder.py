"""An export for OpenVINO is a folder: graph, weights, and what they are."""

import json
import re
from pathlib import Path

GRAPH, WEIGHTS = "model.xml", "model.bin"
METADATA = "imgtranslate.json"
_LONGEST = 1 << 20  # bytes of the metadata; ours have about 1,000
_BEGINNING = re.compile(rb"<\?xml[^>]*\?>\s*<net\s")


def is_openvino(path: Path) -> bool:
    """Whether this is such a folder."""
    return (path / GRAPH).is_file()


def read_openvino_metadata(path: Path) -> dict[str, str]:
    """Read what stands beside the graph; ``ValueError`` if it is none, ``OSError`` if unread."""
    _refuse_no_file(path / METADATA)
    with (path / METADATA).open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise ValueError(f"{METADATA} is too long")
    try:
        metadata = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{METADATA} is too deep") from error
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} is not of texts")
    return metadata


def refuse_foreign_graph(path: Path) -> None:
    """Raise ``ValueError`` if the graph is not OpenVINO's own, or the weights are no file.

    OpenVINO goes by the content, whatever the name: it would take an ONNX graph, whose tensors
    may lie in any other file.
    """
    _refuse_no_file(path / WEIGHTS)
    with (path / GRAPH).open("rb") as file:
        if not _BEGINNING.match(file.read(200)):
            raise ValueError(f"{GRAPH} is not a graph of OpenVINO's own")


def _refuse_no_file(path: Path) -> None:
    """A pipe would be waited for without end."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    if not path.exists():
        raise ValueError(f"{path.name} is not there")
