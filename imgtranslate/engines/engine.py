"""The interface of engines, and the terms in which they run pictures; torch is not imported."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import ModelHeader

Ports = Mapping[str, tuple[tuple[Any, ...], str]]  # shape, where a free side is no int, and dtype
Parts = Iterator[tuple[int, Values]]  # the first row of each part, and the part: (out, n, width)

# Gives rows and columns of a picture, padded to fit the network: (channels, n, m) in [-1, 1].
ReadPixels = Callable[[slice, slice], Values]


class Engine(Protocol):
    """A loaded model on one device."""

    header: ModelHeader
    device: str  # that computes, as in ``cpu`` or ``cuda:0``

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1], sides fitting the network, to (n, out, h, w).

        ``z``: (n, latent_dim), for a generator with a code and for no other.
        """
        ...

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target domain."""
        ...
