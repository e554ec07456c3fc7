"""ONNX files, read field by field: their metadata, and a check of their tensors.

An ONNX file is one protobuf message. Each field has its length, so a reader can skip fields: a file
of any size needs few reads, and no tensor is loaded.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_METADATA, _KEY, _VALUE = 14, 1, 2  # ModelProto.metadata_props, and the fields of an entry
_LONGEST = 1 << 20  # bytes of an entry; imgtranslate writes about 1,000
_MOST_FIELDS = 10_000  # fields at the top level of a file

_CHILDREN: dict[str, dict[int, str]] = {  # messages of onnx.proto that contain tensors, by field
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DIMENSIONS, _EXTERNAL, _LOCATION = 1, 13, 14  # fields of a tensor
_TEXTS = (8, 12)  # fields of a tensor: its name and its description
_DEEPEST = 32  # depth of nested graphs
_PER_BYTE = 8  # numbers per byte of the densest type


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file. Raises ``ValueError`` if the file is damaged."""
    metadata: dict[str, str] = {}
    with path.open("rb") as file:
        for count, (number, _, stop) in enumerate(_fields(file, end=path.stat().st_size)):
            if count == _MOST_FIELDS:
                raise ValueError("too many fields")
            if number == _METADATA and stop - file.tell() <= _LONGEST:
                entry = {n: file.read(end - file.tell()) for n, _, end in _fields(file, end=stop)}
                if entry.keys() >= {_KEY, _VALUE}:
                    metadata[_text(entry[_KEY])] = _text(entry[_VALUE])
    return metadata


def refuse_outside_tensors(path: Path) -> None:
    """Raise ``ValueError`` if a tensor is in another file, or has fewer bytes than it states.

    A tensor may name any other file as its content, which ``imgtranslate export`` never writes.
    """
    with path.open("rb") as file:
        _check(file, "model", end=path.stat().st_size, depth=0)


def _check(file: BinaryIO, kind: str, *, end: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("graphs are nested too deeply")
    if kind == "tensor":
        _check_tensor(file, end=end)
        return
    for number, value, stop in _fields(file, end=end):
        child = _CHILDREN[kind].get(number)
        if child and value is None:
            _check(file, child, end=stop, depth=depth + 1)


def _check_tensor(file: BinaryIO, *, end: int) -> None:
    count, held = 1, 0
    for number, value, stop in _fields(file, end=end):
        if number == _EXTERNAL or (number == _LOCATION and value):
            raise ValueError("a tensor is in another file")
        if number == _DIMENSIONS:
            count *= math.prod(_packed(file, stop) if value is None else [value])
        elif number not in _TEXTS:
            held += stop - file.tell() if value is None else 8
    if count > _PER_BYTE * held:
        raise ValueError("a tensor states more numbers than it has")


def _fields(file: BinaryIO, *, end: int) -> Iterator[tuple[int, int | None, int]]:
    """Yield the number, the value if it is an integer, and the end of each field.

    While a field is yielded, the file is at its content, which may be read.
    """
    while file.tell() < end:
        number, wire = divmod(_varint(file), 8)
        value, length = None, 0
        match wire:
            case 0:
                value = _varint(file)
            case 2:
                length = _varint(file)
            case 1 | 5:
                length = 8 if wire == 1 else 4
            case _:
                raise ValueError(f"unknown kind of field: {wire}")
        stop = file.tell() + length
        if stop > end:
            raise ValueError("a field extends beyond the end")
        yield number, value, stop
        file.seek(stop)


def _varint(file: BinaryIO) -> int:
    """Read an integer in groups of 7 bits, lowest bits first."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("the file ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number longer than 64 bits")


def _packed(file: BinaryIO, stop: int) -> Iterator[int]:
    while file.tell() < stop:
        yield _varint(file)


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
