"""Random numbers that depend on the sample they are for, not on who learns from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.data.share import WHOLE, Share


@dataclass(frozen=True)
class SharedDraws:
    """Draws for the whole batch and gives the rows of one share; single numbers are as drawn."""

    rng: np.random.Generator
    share: Share

    def standard_normal(self, size: tuple[int, int]) -> Any:
        """Normal(0, 1), (rows, numbers)."""
        rows, numbers = size
        return self.share.of(self.rng.standard_normal((rows * self.share.count, numbers)))

    def random(self, size: int | None = None) -> Any:
        """Uniform in [0, 1): one number, or one for each row."""
        if size is None:
            return self.rng.random()
        return self.share.of(self.rng.random(size * self.share.count))

    def integers(self, low: int) -> Any:
        """One number below ``low``."""
        return self.rng.integers(low)


Draws = np.random.Generator | SharedDraws
"""What a step draws from."""


def draws_of(rng: np.random.Generator, share: Share) -> Draws:
    """The numbers of a share."""
    return rng if share == WHOLE else SharedDraws(rng, share)


class SharedDropout(nn.Module):
    """Dropout with the share's rows of the whole batch's mask."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.share = WHOLE

    def forward(self, x: Tensor) -> Tensor:
        """Of (n, c, h, w), n a multiple of the share's rows."""
        if not self.training:
            return x
        rows, *sides = x.shape
        mask = torch.empty((rows * self.share.count, *sides), dtype=x.dtype, device=x.device)
        mask = mask.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * self.share.of(mask)


def share_dropout(networks: Iterable[nn.Module]) -> list[SharedDropout]:
    """Put a dropout that can be shared in the place of each other; return them."""
    found = []
    for module in [each for network in networks for each in network.modules()]:
        for name, child in [*module.named_children()]:
            if isinstance(child, nn.Dropout):
                found.append(SharedDropout(child.p))
                module.register_module(name, found[-1])
    return found
