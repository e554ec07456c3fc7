"""What runs a generator. The translator knows this protocol and nothing of what is behind it."""

from typing import Protocol

from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import ModelHeader


class Engine(Protocol):
    """A loaded model on one device."""

    @property
    def header(self) -> ModelHeader:
        """What the model file says of itself."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, as in ``cpu`` or ``cuda:0``."""
        ...

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1], sides fitting the network, to (n, out, h, w).

        ``z``: (n, latent_dim), for a generator that takes a code and for no other.
        """
        ...

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target domain."""
        ...
