"""The formulas of the methods as everyone writes them, and a learner to hold to them."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.methods.learner import Learner
from imgtranslate.settings import build_settings, nested

Losses = dict[str, Tensor]
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


def gan(logits: Tensor, target: float, mode: str) -> Tensor:
    """Of section 2 of the methods; a critic's sign comes from the target."""
    match mode:
        case "lsgan":
            return ((logits - target) ** 2).mean()
        case "vanilla":
            return F.binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, target))
        case "hinge":
            return torch.clamp(1 - logits if target else 1 + logits, min=0).mean()
        case _:
            return -logits.mean() if target else logits.mean()


def generator_gan(logits: Tensor, mode: str) -> Tensor:
    return -logits.mean() if mode in ("hinge", "wgangp") else gan(logits, 1.0, mode)


def penalty(d: nn.Module, mixed: Tensor) -> Tensor:
    mixed = mixed.detach().requires_grad_(True)
    per_image = d(mixed).mean(dim=(1, 2, 3))
    (gradient,) = torch.autograd.grad(per_image.sum(), mixed, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


class TextbookPool:
    """The image history, image by image; draws as ours does."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        out = []
        for fake in fakes:
            swap, slot = rng.random() < 0.5, int(rng.integers(self.size))
            if len(self.images) < self.size:
                self.images.append(fake.clone())
                out.append(fake)
            elif swap:
                out.append(self.images[slot].clone())
                self.images[slot] = fake.clone()
            else:
                out.append(fake)
        return torch.stack(out)


def floats(losses: Losses) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}


def descend(losses: Losses, *optimizers: torch.optim.Optimizer) -> None:
    """One step of each optimizer down the sum."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    for optimizer in optimizers:
        optimizer.step()


def adam(*networks: nn.Module) -> torch.optim.Adam:
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(parameters, lr=1e-3, betas=(0.5, 0.999))


def assert_same_weights(ours: Learner, textbook: dict[str, nn.Module]) -> None:
    """But for biases before an instance norm, where Adam divides rounding by itself."""
    for name, network in ours.networks.items():
        pairs = zip(network.named_parameters(), textbook[name].parameters(), strict=True)
        for (key, p), q in pairs:
            if not key.endswith("bias"):
                assert torch.allclose(p, q, rtol=1e-3, atol=1e-5), f"{name}.{key}"
