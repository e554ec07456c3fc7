"""Which pictures are run whole and which in strips, and what happens when the memory runs out."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Protocol, final

from imgtranslate.engines.footprint import scratch_bytes, whole_bytes
from imgtranslate.engines.strips.maps import ReadPixels
from imgtranslate.engines.strips.sampled import Tiling
from imgtranslate.engines.strips.scratch import free_space, scratch_folder
from imgtranslate.errors import MemoryShortageError
from imgtranslate.images import Codes, Values
from imgtranslate.memory import Tile, available_memory
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.settings.config import GeneratorConfig, UnetConfig, size_multiple

LARGEST_STRIP = 256 * 2**20  # bytes; larger ones are no faster
SMALLEST_STRIP = 2**18
COPIES = 8  # of a strip, that a stage and its library take meanwhile: measured
GB = 1e9

Parts = Iterator[tuple[int, Values]]


class StripEngine(Protocol):
    """An engine that can also work in parts; see ``TorchEngine`` for what each does."""

    @property
    def header(self) -> ModelHeader: ...  # noqa: D102

    def free_memory(self) -> int: ...  # noqa: D102

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


@final
class AnySize:
    """Runs a picture whole if the memory does, else in strips; both give the same.

    ``tile``: ``auto``, ``off`` for never in strips, or the rows of a strip. ``memory``: bytes to
    work in beside weights and pixels, else half of what there is at the first picture.
    ``notice`` is told, in a line, of what was done otherwise than planned.
    """

    def __init__(
        self,
        engine: StripEngine,
        *,
        tile: Tile,
        memory: int | None,
        notice: Callable[[str], None] | None,
    ) -> None:
        self._engine = engine
        self._tile = tile
        self._memory = memory
        self._notice = notice or (lambda _: None)
        self._too_big = math.inf  # px: so many ran out of memory
        self._largest_strip = LARGEST_STRIP

    def run(
        self,
        read: ReadPixels,
        z: Codes | None = None,
        *,
        size: tuple[int, int],
        whole: Callable[[], Values],
    ) -> Parts:
        """Yield the first row of each part, and the part: (out, n, width).

        After a shortage of memory it begins at the top again. ``size``: the padded height and
        width of what ``read`` gives. Raises ``MemoryShortageError`` if nothing helps.
        """
        if self._is_whole(size):
            try:
                output = whole()
            except (MemoryShortageError, MemoryError):
                if self._tile == "off":
                    raise
            else:
                yield 0, output
                return
            self._too_big = size[0] * size[1]
            self._notice(f"{_spelled(size)} ran out of memory: run in strips instead")
        yield from self._run_parts(read, z, size=size)

    def _is_whole(self, size: tuple[int, int]) -> bool:
        if self._tile != "auto":
            return self._tile == "off"
        pixels = size[0] * size[1]
        return pixels < self._too_big and pixels * self._pixel_bytes <= self._budget

    def _run_parts(self, read: ReadPixels, z: Codes | None, *, size: tuple[int, int]) -> Parts:
        sampled = self._has_no_scratch(size)
        while True:
            strip = self._strip_bytes(size)
            try:
                if sampled:
                    tiling = tiling_of(self._config, pixels=COPIES * strip // self._pixel_bytes)
                    yield from self._engine.run_sampled(read, z, size=size, tiling=tiling)
                else:
                    yield from self._engine.run_strips(
                        read, z, size=size, strip_bytes=strip, kept_bytes=self._kept_bytes
                    )
                return
            except MemoryShortageError:
                if strip <= SMALLEST_STRIP:
                    raise
            self._largest_strip = strip // 2
            self._notice(f"{_spelled(size)} ran out of memory in strips: run in smaller ones")

    def _has_no_scratch(self, size: tuple[int, int]) -> bool:
        """Whether there is no room for what strips keep; then says so."""
        needed = scratch_bytes(self._config, size)
        folder = scratch_folder()
        if needed <= self._kept_bytes or needed <= (free := free_space(folder)):
            return False
        self._notice(
            f"{_spelled(size)} need {needed / GB:.1f} GB in {folder}, which has {free / GB:.1f}: "
            "colours are only estimated, from samples. Set TMPDIR to a larger disk"
        )
        return True

    def _strip_bytes(self, size: tuple[int, int]) -> int:
        if isinstance(self._tile, int):
            row = 4 * self._config.base_channels * size[1]
            return min(self._tile * row, self._largest_strip)
        return min(self._budget // COPIES // 2, self._largest_strip)

    @property
    def _config(self) -> GeneratorConfig:
        return self._engine.header.generator

    @property
    def _pixel_bytes(self) -> int:
        return whole_bytes(self._engine.header)

    @functools.cached_property
    def _budget(self) -> int:
        return self._memory or self._engine.free_memory() // 2

    @functools.cached_property
    def _kept_bytes(self) -> int:
        return (self._memory or available_memory() // 2) // 2


def tiling_of(config: GeneratorConfig, *, pixels: int) -> Tiling:
    """Cut into tiles that have about so many pixels with their margins."""
    unit = size_multiple(config)
    margin = unit if isinstance(config, UnetConfig) else 8 * config.num_blocks + 40  # its field
    core = (math.isqrt(pixels) - 2 * margin) // unit * unit
    sample = _up(256 if isinstance(config, UnetConfig) else 64, unit)  # a UNet sees far
    return Tiling(
        core=max(core, _up(64, unit)),
        margin=margin,
        sample=sample,
        samples=min(max(math.isqrt(pixels) // sample, 1), 16),
    )


def _up(side: int, unit: int) -> int:
    return -(-side // unit) * unit


def _spelled(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} px"
