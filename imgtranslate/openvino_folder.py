"""An export for OpenVINO is a folder: graph, weights, and what they are."""

import json
from pathlib import Path

GRAPH = "model.xml"  # beside it the weights, model.bin
METADATA = "imgtranslate.json"
_LONGEST = 1 << 20  # bytes of the metadata; ours have about 1,000


def is_openvino(path: Path) -> bool:
    """Whether this is such a folder."""
    return (path / GRAPH).is_file()


def read_openvino_metadata(path: Path) -> dict[str, str]:
    """Read what stands beside the graph; ``ValueError`` if it is none, ``OSError`` if unread."""
    with (path / METADATA).open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise ValueError(f"{METADATA} is too long")
    metadata = json.loads(content)
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{METADATA} is not of texts")
    return metadata
