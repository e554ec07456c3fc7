"""Colour profiles, built from their numbers."""

import itertools
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


ADOBE_GAMMA = 2.19921875
ADOBE_PRIMARIES = (
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
)


def adobe_rgb() -> bytes:
    """Adobe RGB (1998), by its published primaries."""
    red, green, blue = (_colour(*xyz) for xyz in ADOBE_PRIMARIES)
    tags = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    return build(
        b"RGB ", {**tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), power(ADOBE_GAMMA))}
    )


def adobe_rgb_as_tables() -> bytes:
    """Adobe RGB as a lookup table (lut16Type) to XYZ: curves, then a grid of 2 nodes a side."""
    curve = [round(65_535 * (level / 4095) ** ADOBE_GAMMA) for level in range(4096)]
    corners = [
        round(
            32_768 * sum(share * xyz[i] for share, xyz in zip(node, ADOBE_PRIMARIES, strict=True))
        )
        for node in itertools.product((0, 1), repeat=3)
        for i in range(3)
    ]
    numbers = [*curve * 3, *corners, *(0, 65_535) * 3]
    table = b"mft2\0\0\0\0" + bytes([3, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += struct.pack(f">HH{len(numbers)}H", 4096, 2, *numbers)
    return build(b"RGB ", {b"A2B0": table})


def grey(curve: bytes) -> bytes:
    return build(b"GRAY", {b"kTRC": curve})
