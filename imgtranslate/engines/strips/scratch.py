"""Storage of feature maps between two layers, in memory up to a limit, then in files."""

import contextlib
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, final

import numpy as np
import torch
from torch import Tensor

from imgtranslate.errors import ImageError
from imgtranslate.memory import scratch_folder


@final
class Scratch:
    """Storage for float32 maps; the space of a map is freed with its last reference.

    At most ``memory`` bytes are kept in memory. ``peak``: the most bytes used at a time.
    """

    def __init__(self, *, memory: int, device: torch.device, folder: Path | None = None) -> None:
        self._memory = memory
        self._device = device
        self._folder = folder or scratch_folder()
        self._in_memory = self._used = self.peak = 0

    def new(self, *, channels: int, height: int, width: int) -> "InMemory | InFile":
        """Allocate space for a map; ``ImageError`` if its file cannot be created."""
        size = 4 * channels * height * width
        in_memory = self._in_memory + size <= self._memory
        shape = (channels, height, width)
        kept: InMemory | InFile = (
            InMemory(shape, device=self._device)
            if in_memory
            else InFile(shape, device=self._device, folder=self._folder)
        )
        self._take(size, in_memory=in_memory)
        weakref.finalize(kept, self._take, -size, in_memory=in_memory)
        return kept

    def _take(self, size: int, *, in_memory: bool) -> None:
        self._used += size
        self._in_memory += size if in_memory else 0
        self.peak = max(self.peak, self._used)


@final
class InMemory:
    """A map in main memory."""

    def __init__(self, shape: tuple[int, int, int], *, device: torch.device) -> None:
        self._values = torch.empty((1, *shape))
        self._device = device

    def write(self, start: int, rows: Tensor) -> None:
        """Store (1, channels, n, width) at row ``start``."""
        self._values[:, :, start : start + rows.shape[2]] = rows.cpu()

    def rows(self, start: int, stop: int) -> Tensor:
        """Return (1, channels, stop - start, width)."""
        return self._values[:, :, start:stop].to(self._device)


@final
class InFile:
    """A map in an unnamed file, stored by rows so that a strip is contiguous.

    The file is read and written, not mapped: mapped pages count as memory of this process, and a
    full disk would end the process by a signal.
    """

    def __init__(self, shape: tuple[int, int, int], *, device: torch.device, folder: Path) -> None:
        self._channels, _, self._width = shape
        self._device = device
        self._folder = folder
        with _explained(folder):
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def write(self, start: int, rows: Tensor) -> None:
        """Store (1, channels, n, width) at row ``start``."""
        values = rows[0].transpose(0, 1).contiguous().cpu().numpy()  # (n, channels, width)
        with _explained(self._folder):
            self._file.seek(start * self._row_bytes)
            self._file.write(values.data)
            self._file.flush()

    def rows(self, start: int, stop: int) -> Tensor:
        """Return (1, channels, stop - start, width)."""
        values = np.empty((stop - start, self._channels, self._width), np.float32)
        with _explained(self._folder):
            self._file.seek(start * self._row_bytes)
            self._file.readinto(values.data.cast("B"))  # type: ignore[attr-defined]
        rows = torch.from_numpy(values).to(self._device)
        return rows.transpose(0, 1).contiguous()[None]

    @property
    def _row_bytes(self) -> int:
        return 4 * self._channels * self._width


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ImageError(
            f"{folder}: no space for temporary files: {error.strerror or error}. "
            "Free some, or set TMPDIR to a folder with more space"
        ) from error
