"""Profiles that are three curves and a matrix, or one curve, computed in full precision.

The format is ICC.1:2022, sections 10.6 (curveType), 10.18 (parametricCurveType) and F.3.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TABLES = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")  # which go before the matrix
_CURVES = {1: (b"kTRC",), 3: (b"rTRC", b"gTRC", b"bTRC")}  # by the number of channels
_ENDS = np.array([0.0, 1.0])
_SRGB_TO_PCS = np.array(  # primaries of sRGB (IEC 61966-2-1), adapted to the white of D50
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)


def shares_of_srgb(shares: Floats, profile: bytes) -> Floats | None:
    """Convert shares of white (..., 1 | 3) to those of sRGB; None if that takes more.

    It takes more where there are tables, or where black is not 0 and white not 1.
    Raises ``ValueError`` and its like for a damaged profile.
    """
    tags = _tags(profile)
    if any(name in tags for name in _TABLES):
        return None
    curves = [tags[name] for name in _CURVES[shares.shape[-1]]]
    if not all(np.allclose(_light(_ENDS, curve), _ENDS, atol=1e-3) for curve in curves):
        return None
    light = [_light(shares[..., band], curve) for band, curve in enumerate(curves)]
    if len(light) == 1:
        return _encoded(np.stack(light, axis=-1))
    primaries = np.stack([_colour(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
    matrix = np.linalg.solve(_SRGB_TO_PCS, primaries)
    matrix /= matrix.sum(axis=1, keepdims=True)  # rounded numbers in a file must not tint white
    return _encoded(np.stack(light, axis=-1) @ matrix.T)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * min(count, 1000)])
    return {name: profile[start : start + size] for name, start, size in entries}


def _colour(tag: bytes) -> Floats:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65_536


def _light(shares: Floats, tag: bytes) -> Floats:
    """Undo a curve."""
    values = np.clip(np.nan_to_num(shares), 0, 1)
    if tag[:4] == b"para":
        return _parametric(values, tag)
    (count,) = struct.unpack_from(">I", tag, 8)
    if tag[:4] != b"curv" or count > 65_536:
        raise ValueError("a curve of an unknown kind")
    points = np.frombuffer(tag, ">u2", count=count, offset=12)
    if count <= 1:
        return values ** (float(points[0]) / 256 if count else 1.0)
    curve: Floats = np.interp(values, np.linspace(0, 1, count), points / 65_535)
    return curve


def _parametric(values: Floats, tag: bytes) -> Floats:
    (kind,) = struct.unpack_from(">H", tag, 8)
    numbers = np.array(struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)) / 65_536
    g, a, b, c, d, e, f = _all_seven(kind, [float(number) for number in numbers])
    power = np.maximum(a * values + b, 0) ** g + e
    return np.clip(np.where(values >= d, power, c * values + f), 0, 1)


def _all_seven(kind: int, numbers: list[float]) -> list[float]:
    """Kinds 0 to 3 as the last, of which they are special cases."""
    match kind, numbers:
        case 0, [g]:
            return [g, 1, 0, 0, 0, 0, 0]
        case 1, [g, a, b]:
            return [g, a, b, 0, -b / a, 0, 0]
        case 2, [g, a, b, c]:
            return [g, a, b, 0, -b / a, c, c]
        case 3, [g, a, b, c, d]:
            return [g, a, b, c, d, 0, 0]
        case _:
            return numbers


def _encoded(light: Any) -> Floats:
    """The curve of sRGB."""
    plain = np.clip(light, 0, 1)
    encoded: Floats = np.where(
        plain <= 0.0031308, 12.92 * plain, 1.055 * plain ** (1 / 2.4) - 0.055
    )
    return encoded
