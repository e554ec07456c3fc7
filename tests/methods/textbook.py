"""A learner to hold to the formulas of ``benchmarks.textbook``."""

from typing import Any

import torch

from benchmarks.textbook import Losses, TextbookPool, gan, generator_gan
from imgtranslate.data.loader import Batch
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.parsing import build_settings, nested

__all__ = ["Losses", "TextbookPool", "floats", "gan", "generator_gan", "learner", "random_batch"]
SMALL: dict[str, Any] = {
    "data.a": "a",
    "data.b": "b",
    "data.crop_size": 32,
    "generator.base_channels": 4,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 2,
    "optimizer.lr": 1e-3,
}


def learner(method: str = "cyclegan", **changes: Any) -> Learner:
    """Small networks in float64; ``section__name`` changes a setting."""
    own = {"generator.num_blocks": 1, "method.pool_size": 3} if method == "cyclegan" else {}
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    layers = [nested({**SMALL, **own, **settings})]
    found = Learner(build_settings(method=method, layers=layers), torch.device("cpu"))
    for network in found.networks.values():
        network.double()
    return found


def random_batch(index: int, *, count: int = 2, channels: tuple[int, int] = (3, 3)) -> Batch:
    generator = torch.Generator().manual_seed(index)
    a, b = (
        torch.rand(count, c, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1
        for c in channels
    )
    return Batch(a, b)


def floats(losses: Losses) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}
