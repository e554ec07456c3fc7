"""Colour profiles, built from their numbers."""

import struct


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65_536)) for number in numbers)


def _colour(*xyz: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*xyz)


def power(gamma: float) -> bytes:
    """A curve: light is the level to the power of gamma."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def parametric(*numbers: float) -> bytes:
    """A curve of the kind that has so many numbers."""
    kind = (1, 3, 4, 5, 7).index(len(numbers))
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*numbers)


def srgb_curve() -> bytes:
    return parametric(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def build(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2.4 for displays."""
    white = (0.9642, 1.0, 0.8249)
    name = b"desc\0\0\0\0\0\0\0\5Test\0" + bytes(79)
    tags = {b"desc": name, b"wtpt": _colour(*white), b"cprt": b"text\0\0\0\0x\0", **tags}
    start, table, data = 132 + 12 * len(tags), b"", b""
    for tag, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += tag + struct.pack(">II", start + len(data), len(padded))
        data += padded
    head = struct.pack(
        ">I4sI4s4s4s", start + len(data), bytes(4), 0x02400000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + _fixed(*white) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + data


def adobe_rgb() -> bytes:
    """Adobe RGB (1998), by its published primaries."""
    curve = power(2.19921875)
    return build(
        b"RGB ",
        {
            b"rXYZ": _colour(0.60974, 0.31111, 0.01947),
            b"gXYZ": _colour(0.20528, 0.62567, 0.06087),
            b"bXYZ": _colour(0.14919, 0.06322, 0.74457),
            b"rTRC": curve,
            b"gTRC": curve,
            b"bTRC": curve,
        },
    )


def grey(curve: bytes) -> bytes:
    return build(b"GRAY", {b"kTRC": curve})
