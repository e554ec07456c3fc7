"""The history of generated images (arXiv 1612.07828, section 2.3; CycleGAN, section 4)."""

import numpy as np
import torch
from torch import Tensor


class ImagePool:
    """Up to ``size`` earlier fakes, so that a discriminator does not forget them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """Exchange new fakes (n, c, h, w) for a mix of new and stored ones, image by image."""
        if self.size == 0:
            return fakes
        return torch.stack([self._exchange(image, rng) for image in fakes])

    def tensors(self) -> dict[str, Tensor]:
        """All stored images as one tensor (count, c, h, w); nothing while there is none."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def restore(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take up what ``tensors()`` gave."""
        stored = tensors["images"].to(device) if tensors else ()
        self.images = [image.clone() for image in stored]

    def _exchange(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        swap, slot = rng.random() < 0.5, int(rng.integers(self.size))
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep its whole batch alive
            return image
        if not swap:
            return image  # not stored
        stored, self.images[slot] = self.images[slot], image.clone()
        return stored
