"""Pictures of one side that are measured: read one by one, resized alike."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from imgtranslate.data.folders import Domain
from imgtranslate.data.loader import resize_shorter
from imgtranslate.images import Pixels
from imgtranslate.settings.config import Resample


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Files of a domain in their order; nothing is held in memory."""

    domain: Domain  # says which half of each file
    files: tuple[Path, ...]
    channels: int
    side: int = 0  # px, of the shorter side after reading; 0: as in the file
    resample: Resample = "bicubic"

    def __len__(self) -> int:
        return len(self.files)

    def read(self, number: int) -> Pixels:
        """Read one picture: uint8 (h, w, channels). Raises ``ImageError``."""
        pixels = self.domain.read(self.files[number], channels=self.channels)
        if not self.side:
            return pixels
        return resize_shorter(pixels, self.side, resample=self.resample)

    def pictures(self) -> Iterator[Pixels]:
        """Read one after another."""
        return (self.read(number) for number in range(len(self)))

    def only(self, numbers: Iterable[int]) -> "Gallery":
        """Some of the pictures, in the order given."""
        return replace(self, files=tuple(self.files[number] for number in numbers))
