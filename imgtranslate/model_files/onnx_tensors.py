"""Are all tensors of an ONNX file in it? Read field by field, without one of them.

A tensor may name another file, anywhere, to be read in its place; and it may claim any size.
Neither is in what ``imgtranslate export`` writes.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from imgtranslate.model_files.onnx_metadata import read_length, read_varint

_CHILDREN: dict[str, dict[int, str]] = {  # of onnx.proto: messages that hold tensors, by field
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DIMENSIONS, _EXTERNAL, _LOCATION = 1, 13, 14  # of a tensor
_NAMES = (8, 12)  # of a tensor: its name and what it says of itself
_DEEPEST = 32  # graphs in graphs
_PER_BYTE = 8  # numbers that the densest type packs


def refuse_outside_tensors(path: Path) -> None:
    """Raise ``ValueError`` if a tensor lies elsewhere or is larger than its bytes."""
    with path.open("rb") as file:
        _walk(file, "model", end=path.stat().st_size, depth=0)


def _walk(file: BinaryIO, kind: str, *, end: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("graphs in graphs without end")
    if kind == "tensor":
        _check_tensor(file, end=end)
        return
    for number, value, stop in _fields(file, end=end):
        child = _CHILDREN[kind].get(number)
        if child and value is None:
            _walk(file, child, end=stop, depth=depth + 1)
        file.seek(stop)


def _check_tensor(file: BinaryIO, *, end: int) -> None:
    count, held = 1, 0
    for number, value, stop in _fields(file, end=end):
        if number == _EXTERNAL or (number == _LOCATION and value):
            raise ValueError("a tensor lies in another file")
        if number == _DIMENSIONS:
            count *= math.prod(_packed(file, stop) if value is None else [value])
        elif number not in _NAMES:
            held += stop - file.tell() if value is None else 8
        file.seek(stop)
    if count > _PER_BYTE * held:
        raise ValueError("a tensor claims more numbers than it has")


def _packed(file: BinaryIO, stop: int) -> Iterator[int]:
    while file.tell() < stop:
        yield read_varint(file)


def _fields(file: BinaryIO, *, end: int) -> Iterator[tuple[int, int | None, int]]:
    """Number, value if it is one, and end of each field; the file stands at its content."""
    while file.tell() < end:
        number, wire = divmod(read_varint(file), 8)
        value = read_varint(file) if wire == 0 else None
        length = 0 if wire == 0 else read_length(file, wire)
        if file.tell() + length > end:
            raise ValueError("a field reaches beyond its end")
        yield number, value, file.tell() + length
