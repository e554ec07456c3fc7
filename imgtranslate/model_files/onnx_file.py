"""ONNX files, read field by field: their metadata, and a check of their graph.

An ONNX file is one protobuf message. Each field has its length, so a reader can skip fields: a file
of any size needs few reads, and no tensor is loaded.
"""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, final

# fmt: off
OPERATORS = {  # of the graphs that `imgtranslate export` writes
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv",
    "ConvTranspose", "DepthToSpace", "DequantizeLinear", "Div", "Expand", "Gather", "Gemm",
    "Identity", "IsNaN", "LeakyRelu", "Max", "MaxPool", "Mod", "Mul", "Pad", "QuantizeLinear",
    "Range", "Reciprocal", "ReduceMean", "ReduceSumSquare", "Relu", "Reshape", "Resize", "Round",
    "Shape", "Slice", "Sqrt", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
}
_FORMER_OPERATORS = {  # further ones of the graphs that it wrote by torch.onnx
    "And", "Greater", "InstanceNormalization", "IsInf", "Less", "ReduceMax", "Squeeze",
}
# fmt: on
_METADATA, _KEY, _VALUE = 14, 1, 2  # ModelProto.metadata_props, and the fields of an entry
_LONGEST = 1 << 20  # bytes of an entry; imgtranslate writes about 1,000
_MOST_FIELDS = 200_000  # of a file; imgtranslate writes about 50 for each layer
_LONGEST_NAME = 100  # bytes of an operator or its domain, or of the dimensions of a tensor

_CHILDREN: dict[str, dict[int, str]] = {  # messages of onnx.proto to check, by field
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
}
_FOREIGN: dict[str, dict[int, str]] = {  # fields that `imgtranslate export` never writes
    "model": {20: "a training graph", 25: "a function"},
    "graph": {15: "a sparse tensor"},
    "attribute": {6: "a nested graph", 10: "a list of tensors", 11: "a nested graph"}
    | dict.fromkeys((22, 23), "a sparse tensor"),
}
_OPERATOR, _DOMAIN = 4, 7  # fields of a node
_DIMENSIONS, _EXTERNAL, _LOCATION = 1, 13, 14  # fields of a tensor
_TEXTS = (8, 12)  # fields of a tensor: its name and its description
_PER_BYTE = 8  # numbers per byte of the densest type


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file. Raises ``ValueError`` if the file is damaged."""
    metadata: dict[str, str] = {}
    with path.open("rb") as file:
        reader = _Reader(file)
        for number, _, stop in reader.fields(end=path.stat().st_size):
            if number == _METADATA and stop - file.tell() <= _LONGEST:
                entry = {n: file.read(end - file.tell()) for n, _, end in reader.fields(end=stop)}
                if entry.keys() >= {_KEY, _VALUE}:
                    metadata[_text(entry[_KEY])] = _text(entry[_VALUE])
    return metadata


def check_onnx_graph(path: Path) -> None:
    """Raise ``ValueError`` for a graph that ``imgtranslate export`` would not write.

    Other operators, nested graphs and functions may run for ever. A tensor may name any other file
    as its content, or state more numbers than it has.
    """
    with path.open("rb") as file:
        _check(_Reader(file), "model", end=path.stat().st_size)


def _check(reader: "_Reader", kind: str, *, end: int) -> None:
    if kind == "tensor":
        _check_tensor(reader, end=end)
        return
    foreign, children = _FOREIGN.get(kind, {}), _CHILDREN[kind]
    for number, value, stop in reader.fields(end=end):
        if number in foreign:
            raise ValueError(f"it contains {foreign[number]}")
        if kind == "node" and number in (_OPERATOR, _DOMAIN):
            _check_operator(number, reader.short(stop))
        if number in children and value is None:
            _check(reader, children[number], end=stop)


def _check_operator(number: int, content: bytes) -> None:
    name = _text(content)
    if number == _DOMAIN and name not in ("", "ai.onnx"):
        raise ValueError(f"it contains an operator of {name!r}")
    if number == _OPERATOR and name not in OPERATORS | _FORMER_OPERATORS:
        raise ValueError(f"it contains the operator {name!r}")


def _check_tensor(reader: "_Reader", *, end: int) -> None:
    count, held = 1, 0
    for number, value, stop in reader.fields(end=end):
        if number == _EXTERNAL or (number == _LOCATION and value):
            raise ValueError("a tensor is in another file")
        if number == _DIMENSIONS:
            count *= math.prod(_packed(reader.short(stop)) if value is None else [value])
        elif number not in _TEXTS:
            held += reader.left(stop) if value is None else 8
    if count > _PER_BYTE * held:
        raise ValueError("a tensor states more numbers than it has")


@final
class _Reader:
    """A file of protobuf messages, of which a limited number of fields is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0

    def fields(self, *, end: int) -> Iterator[tuple[int, int | None, int]]:
        """Yield the number, the value if it is an integer, and the end of each field.

        While a field is yielded, the file is at its content, which may be read.
        """
        file = self._file
        while file.tell() < end:
            self._count += 1
            if self._count > _MOST_FIELDS:
                raise ValueError("too many fields")
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

    def left(self, stop: int) -> int:
        """Return the length of the content up to ``stop``."""
        return stop - self._file.tell()

    def short(self, stop: int) -> bytes:
        """Read the content up to ``stop``. Raises ``ValueError`` if it is long."""
        if self.left(stop) > _LONGEST_NAME:
            raise ValueError("a name or a shape is too long")
        return self._file.read(self.left(stop))


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


def _packed(content: bytes) -> Iterator[int]:
    file = io.BytesIO(content)
    while file.tell() < len(content):
        yield _varint(file)


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
