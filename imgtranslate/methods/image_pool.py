"""The history of generated images (arXiv 1612.07828, section 2.3; CycleGAN, section 4)."""

import numpy as np
import torch
from torch import Tensor

from imgtranslate.data.micro_batches import ALL_ROWS, Rows
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup


class ImagePool:
    """Up to ``size`` earlier fakes, so that a discriminator does not forget them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(
        self,
        fakes: Tensor,
        rng: np.random.Generator,
        *,
        rows: Rows = ALL_ROWS,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> Tensor:
        """Exchange new fakes (n, c, h, w) for a mix of new and stored ones, image by image.

        ``rows``: the rows of the batch that ``fakes`` were made of. Every rank of ``group`` keeps
        the same pool: it takes in the fakes of all ranks, with the draws that one process would
        make for the whole batch.
        """
        if self.size == 0:
            return fakes
        own, everyone = len(fakes), group.gather(fakes)
        count = own * rows.count
        draws = [(rng.random() < 0.5, int(rng.integers(self.size))) for _ in range(count)]
        first = (rows.index - group.rank) * own  # of this micro-batch of all ranks
        mixed = [
            self._exchange(image, swap, slot)
            for image, (swap, slot) in zip(everyone, draws[first:], strict=False)
        ]
        return torch.stack(mixed[group.rank * own :][:own])

    def tensors(self) -> dict[str, Tensor]:
        """Return all stored images as one tensor (count, c, h, w); an empty pool has none."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Restore what ``tensors()`` returned."""
        stored = tensors["images"].to(device) if tensors else ()
        self.images = [image.clone() for image in stored]

    def _exchange(self, image: Tensor, swap: bool, slot: int) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep its whole batch alive
            return image
        if not swap:
            return image  # not stored
        stored, self.images[slot] = self.images[slot], image.clone()
        return stored
