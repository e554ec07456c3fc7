"""The interfaces of engines, strips and runtimes; torch is not imported."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import ModelHeader

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


class StripEngine(Protocol):
    """An engine that can also run a picture in parts; see ``TorchEngine`` for each method."""

    @property
    def header(self) -> ModelHeader: ...  # noqa: D102

    def free_memory(self) -> int: ...  # noqa: D102

    def run(self, values: Values, z: Codes | None = None) -> Values: ...  # noqa: D102

    def run_strips(  # noqa: D102
        self,
        read: ReadPixels,
        z: Codes | None = None,
        *,
        size: tuple[int, int],
        strip_bytes: int,
        kept_bytes: int,
    ) -> Parts: ...

    def run_sampled(  # noqa: D102
        self, read: ReadPixels, z: Codes | None = None, *, size: tuple[int, int], tiling: Tiling
    ) -> Parts: ...


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of a graph; a side that is free is no integer."""

    shape: tuple[Any, ...]
    dtype: str  # float32 or uint8


class Runtime(Protocol):
    """A graph, loaded by the library that runs it."""

    @property
    def device(self) -> str:
        """The device that computes."""
        ...

    @property
    def ports(self) -> dict[str, Port]:
        """The inputs and outputs by name."""
        ...

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Compute the outputs by name. Raises ``RuntimeError`` with the library's words."""
        ...
