"""Running a padded picture of any size: whole if it fits into memory, otherwise in strips."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from imgtranslate.engines.engine import Parts, ReadPixels
from imgtranslate.errors import ImageError, MemoryShortageError
from imgtranslate.images import Codes
from imgtranslate.memory import Tile, available_memory, free_space, scratch_folder
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.settings.config import GeneratorConfig, ResnetConfig, UnetConfig

if TYPE_CHECKING:
    from imgtranslate.engines.graph_engine import GraphEngine
    from imgtranslate.engines.torch_engine import TorchEngine

LARGEST_STRIP = 256 * 2**20  # bytes; larger strips are not faster
SMALLEST_STRIP = 2**18
COPIES = 8  # memory of a stage and its library, as a multiple of a strip: measured
GB = 1e9


@final
class AnySize:
    """A runner for pictures of any size, whole or in strips with the same result.

    ``tile``: ``auto``, ``off`` for always whole, or the rows of a strip. ``memory``: bytes for the
    computation besides weights and pixels, by default half of the free memory. ``notice`` receives
    a line when a shortage changes the plan.
    """

    def __init__(
        self,
        engine: "TorchEngine | GraphEngine",
        *,
        tile: Tile,
        memory: int | None,
        notice: Callable[[str], None] | None,
    ) -> None:
        self._engine = engine
        self._config = engine.header.generator
        self._tile = tile
        self._budget = memory or engine.free_memory() // 2
        self._kept_bytes = (memory or available_memory() // 2) // 2
        self._notice = notice or (lambda _: None)
        self._pixel_bytes = whole_bytes(engine.header)
        self._in_strips = False  # some picture before
        self._too_big = math.inf  # number of pixels that ran out of memory
        self._largest_strip = LARGEST_STRIP

    def run(self, read: ReadPixels, z: Codes | None = None, *, size: tuple[int, int]) -> Parts:
        """Yield the rows of the result from top to bottom; after a shortage from the top again.

        ``size``: height and width of the padded picture. Raises ``ImageError`` before the first
        strip if the disk has no space for the maps between stages, ``MemoryShortageError`` if the
        smallest strips are still too large.
        """
        height, width = size
        pixels, name = height * width, f"{width} x {height} px"

        # Whole, if it is expected to fit
        fits = pixels < self._too_big and pixels * self._pixel_bytes <= self._budget
        if self._tile == "off" or (self._tile == "auto" and fits):
            try:
                whole = self._engine.run(read(slice(0, height), slice(0, width))[None], z)[0]
            except (MemoryShortageError, MemoryError):
                if self._tile == "off":
                    raise
            else:
                yield 0, whole
                return
            self._too_big = pixels
            self._notice(f"{name}: out of memory, so torch runs it in strips")
        elif self._tile == "auto" and not self._in_strips:
            self._notice(f"{name}: too large for the memory as a whole, so torch runs it in strips")
        self._in_strips = True

        # In strips, if the maps between stages fit into the memory or on the disk
        needed, folder = scratch_bytes(self._config, size), scratch_folder()
        if needed > self._kept_bytes and needed > (free := free_space(folder)):
            raise ImageError(
                f"{name} need {needed / GB:.3g} GB in {folder}, which has "
                f"{free / GB:.3g} GB. Set TMPDIR to a larger disk, or give more `memory`"
            )
        requested = self._budget // COPIES // 2
        if isinstance(self._tile, int):
            requested = self._tile * 4 * self._config.base_channels * width
        while True:
            strip = min(requested, self._largest_strip)
            try:
                yield from self._engine.run_strips(
                    read, z, size=size, strip_bytes=strip, kept_bytes=self._kept_bytes
                )
                return
            except MemoryShortageError:
                if strip <= SMALLEST_STRIP:
                    raise
            self._largest_strip = strip // 2
            self._notice(f"{name}: out of memory, so it runs in smaller strips")


def whole_bytes(header: ModelHeader) -> int:
    """Estimate the memory per pixel for a whole picture.

    It is an upper bound of measurements in torch, and in ONNX Runtime, which needs less.
    """
    config = header.generator
    match config:
        case ResnetConfig():
            copies = 32 if config.antialias or config.upsample == "resize" else 16
        case UnetConfig():
            copies = 20 if config.upsample == "resize" else 10
    return copies * config.base_channels + 16 * (header.in_channels + header.out_channels)


def scratch_bytes(config: GeneratorConfig, size: tuple[int, int]) -> int:
    """Return the most bytes that strips store at a time: three quarters of the largest map."""
    return 3 * config.base_channels * size[0] * size[1]
