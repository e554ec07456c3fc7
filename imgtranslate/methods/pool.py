"""The history of generated images (arXiv 1612.07828, section 2.3; CycleGAN, section 4)."""

import torch
from torch import Tensor

from imgtranslate.data.share import WHOLE
from imgtranslate.methods.draws import Draws
from imgtranslate.methods.team import ALONE


class ImagePool:
    """Up to ``size`` earlier fakes, so that a discriminator does not forget them.

    Where a batch is shared, every process of ``team`` keeps the same pool: it takes in the fakes of
    all, with the draws that one process would make for the whole batch.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self.team = ALONE
        self.share = WHOLE  # of the batch that is learnt from at the moment

    def query(self, fakes: Tensor, rng: Draws) -> Tensor:
        """Exchange new fakes (n, c, h, w) for a mix of new and stored ones, image by image."""
        if self.size == 0:
            return fakes
        own, everyone = len(fakes), self.team.gather(fakes)
        draws = [self._draw(rng) for _ in range(own * self.share.count)]
        first = self.share.index - self.team.rank  # of the shares that are learnt from together
        mixed = [
            self._exchange(image, swap, slot)
            for image, (swap, slot) in zip(everyone, draws[first * own :], strict=False)
        ]
        return torch.stack(mixed[self.team.rank * own :][:own])

    def tensors(self) -> dict[str, Tensor]:
        """All stored images as one tensor (count, c, h, w); nothing while there is none."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take up what ``tensors()`` gave."""
        stored = tensors["images"].to(device) if tensors else ()
        self.images = [image.clone() for image in stored]

    def _draw(self, rng: Draws) -> tuple[bool, int]:
        """Whether an image is exchanged, and for which."""
        return rng.random() < 0.5, int(rng.integers(self.size))

    def _exchange(self, image: Tensor, swap: bool, slot: int) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep its whole batch alive
            return image
        if not swap:
            return image  # not stored
        stored, self.images[slot] = self.images[slot], image.clone()
        return stored
