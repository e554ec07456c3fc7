"""The interface of engines; torch is not imported."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from imgtranslate.errors import MemoryShortageError
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
    runtime: str  # name of the library

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] with sides that fit the network to (n, out, h, w).

        ``z``: (n, latent_dim), given if and only if the generator has a code.
        """
        ...

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target domain."""
        ...


_SHORTAGE = re.compile("alloc|out of memory|not enough memory", re.IGNORECASE)


@contextlib.contextmanager
def explained_shortage(size: tuple[int, ...]) -> Iterator[None]:
    """Convert a shortage of memory, which only the text of a runtime shows, to one line.

    ``size``: height and width of the picture.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _SHORTAGE.search(str(error)):
            raise
        height, width = size
        raise MemoryShortageError(
            f"{width} x {height} px do not fit into the memory. Resize or crop it first"
        ) from error
