"""The interface of engines, and the terms in which they run pictures; torch is not imported."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import ModelHeader

Ports = Mapping[str, tuple[tuple[Any, ...], str]]  # shape, where a free side is no int, and dtype
Parts = Iterator[tuple[int, Values]]  # the first row of each part, and the part: (out, n, width)


class Engine(Protocol):
    """A loaded model on one device."""

    @property
    def header(self) -> ModelHeader:
        """The header of the model file."""
        ...

    @property
    def device(self) -> str:
        """The device that computes, as in ``cpu`` or ``cuda:0``."""
        ...

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1], sides fitting the network, to (n, out, h, w).

        ``z``: (n, latent_dim), for a generator with a code and for no other.
        """
        ...

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target domain."""
        ...


class ReadPixels(Protocol):
    """A function that gives a window of a picture, padded to fit the network."""

    def __call__(self, rows: slice, columns: slice) -> Values:
        """Give float32 (channels, rows, columns) in [-1, 1]."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The cut of a picture into tiles, in px that fit the network.

    ``core``: side of the part of a tile that is used; ``margin``: width of its surroundings that
    the network sees. ``sample``: side of each of ``samples`` x ``samples`` tiles whose statistics
    are measured, all at once.
    """

    core: int
    margin: int
    sample: int
    samples: int
