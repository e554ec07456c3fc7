"""The interface of engines; torch is not imported."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import ModelHeader

Ports = Mapping[
    str, tuple[tuple[Any, ...], str]
]  # shape, in which a dynamic side is not an int, and dtype
Parts = Iterator[tuple[int, Values]]  # the first row of each part, and the part (out, n, width)

# Reads rows and columns of a padded picture: (channels, n, m) in [-1, 1].
ReadPixels = Callable[[slice, slice], Values]


class Engine(Protocol):
    """A loaded model on one device."""

    header: ModelHeader
    device: str  # such as ``cpu`` or ``cuda:0``

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] with sides that fit the network to (n, out, h, w).

        ``z``: (n, latent_dim), given if and only if the generator has a code.
        """
        ...

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target domain."""
        ...
