"""What an ONNX file says beside its graph, read without the graph.

ONNX is one protobuf message. Its fields stand one after the other, each with its length, so what
is not wanted is stepped over: a file of any size costs a few reads, and no tensor is touched.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ONNX_SUFFIX = ".onnx"

_METADATA_PROPS = 14  # of ModelProto: repeated StringStringEntryProto, key = 1, value = 2
_BYTES = 2  # the wire type of what has a length of its own
_LONGEST = 1 << 20  # bytes of an entry; ours has about 1,000
_MOST_FIELDS = 10_000


def is_onnx(path: Path) -> bool:
    """Whether the name is an ONNX file's."""
    return path.suffix.lower() == ONNX_SUFFIX


def read_onnx_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file; ``ValueError`` if it is none, ``OSError`` if unread."""
    with path.open("rb") as file:
        size = path.stat().st_size
        entries = [dict(_fields_of(content)) for content in _entries(file, size=size)]
    return {
        entry[1].decode(errors="replace"): entry[2].decode(errors="replace")
        for entry in entries
        if entry.keys() >= {1, 2}
    }


def _entries(file: BinaryIO, *, size: int) -> Iterator[bytes]:
    """The metadata entries of a file; what else stands there is stepped over."""
    for _ in range(_MOST_FIELDS):
        if file.tell() == size:
            return
        number, wire = divmod(read_varint(file), 8)
        length = read_length(file, wire)
        if length > size - file.tell():
            raise ValueError("a field reaches beyond the end")
        if (number, wire) == (_METADATA_PROPS, _BYTES) and length <= _LONGEST:
            yield file.read(length)
        else:
            file.seek(length, 1)
    raise ValueError("too many fields")


def _fields_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of an entry: number and bytes."""
    file = io.BytesIO(content)
    while file.tell() < len(content):
        number, wire = divmod(read_varint(file), 8)
        yield number, file.read(read_length(file, wire))


def read_length(file: BinaryIO, wire: int) -> int:
    """How many bytes of a field follow; ``ValueError`` if no such kind of field is."""
    match wire:
        case 0:  # a number
            read_varint(file)
            return 0
        case 1:
            return 8
        case 2:
            return read_varint(file)
        case 5:
            return 4
        case _:
            raise ValueError(f"no such kind of field: {wire}")


def read_varint(file: BinaryIO) -> int:
    """Read a number in groups of 7 bits, the lowest first; ``ValueError`` if it has no end."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("it ends in the middle of a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number longer than 64 bits")
