"""One training step, the same for every method."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.methods.pool import ImagePool


class Method(Protocol):
    """A method is its losses on its networks; terms come already weighted."""

    def generators(self) -> dict[str, nn.Module]: ...  # noqa: D102
    def discriminators(self) -> dict[str, nn.Module]: ...  # noqa: D102
    def translators(self) -> dict[str, nn.Module]: ...  # noqa: D102
    def pools(self) -> dict[str, ImagePool]: ...  # noqa: D102
    def generator_losses(self, batch: Batch) -> tuple[dict[str, Tensor], Any]: ...  # noqa: D102
    def discriminator_losses(  # noqa: D102
        self, batch: Batch, fakes: Any, rng: np.random.Generator
    ) -> dict[str, Tensor]: ...


def train_step(
    method: Method,
    batch: Batch,
    *,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Update the generators, then the discriminators on the same fakes; return every term."""
    with frozen(method.discriminators()):
        losses, fakes = method.generator_losses(batch)
    minimise(losses, generator_optimizer)

    judged = method.discriminator_losses(batch, fakes, rng)
    minimise(judged, discriminator_optimizer)
    return {name: loss.detach() for name, loss in (losses | judged).items()}


@contextlib.contextmanager
def frozen(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Let gradients flow through ``networks`` but not into their weights."""
    for network in networks.values():
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks.values():
            network.requires_grad_(True)


def minimise(losses: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Step ``optimizer`` once down the sum of all terms."""
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
