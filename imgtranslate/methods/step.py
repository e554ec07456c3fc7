"""What the steps of all methods are made of."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.methods.pool import ImagePool

LARGEST_GRADIENT = 1e6  # of one weight; those of ordinary pictures are below 1e3

Losses = dict[str, Tensor]
Networks = dict[str, nn.Module]
Minimise = Callable[[str, Mapping[str, Tensor]], None]
"""Step the optimizer of that name once down the sum of the terms."""


class Method(Protocol):
    """A method is its losses on its networks; terms come already weighted.

    ``optimized``: the networks that learn, by the optimizer that steps them. ``models``: what is
    kept for use, by direction: the generator's name and, where there is one, the encoder's.
    ``number`` counts steps from 0; all randomness is drawn from ``rng``.
    """

    def optimized(self) -> dict[str, Networks]: ...  # noqa: D102
    def models(self) -> dict[str, tuple[str, ...]]: ...  # noqa: D102
    def pools(self) -> dict[str, ImagePool]: ...  # noqa: D102
    def step(  # noqa: D102
        self, batch: Batch, minimise: Minimise, rng: np.random.Generator, *, number: int
    ) -> Losses: ...
    def measures(self, batch: Batch, rng: np.random.Generator) -> Losses: ...  # noqa: D102


class GeneratorsFirst(Protocol):
    """A method whose discriminators learn after its generators, on the same fakes."""

    def discriminators(self) -> Networks: ...  # noqa: D102
    def generator_losses(  # noqa: D102
        self, batch: Batch, rng: np.random.Generator
    ) -> tuple[Losses, Any]: ...
    def discriminator_losses(  # noqa: D102
        self, batch: Batch, fakes: Any, rng: np.random.Generator
    ) -> Losses: ...


def generators_first(
    method: GeneratorsFirst, batch: Batch, minimise: Minimise, rng: np.random.Generator
) -> Losses:
    """Update the generators, then the discriminators on the same fakes; return every term."""
    with frozen(*method.discriminators().values()):
        losses, fakes = method.generator_losses(batch, rng)
    minimise("generators", losses)

    judged = method.discriminator_losses(batch, fakes, rng)
    minimise("discriminators", judged)
    return losses | judged


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients flow through ``networks`` but not into their weights.

    What counts is where the forward pass is made: the backward pass may follow later.
    """
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)


@contextlib.contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Dropout off and norms with their statistics, as in translation; nothing is compiled."""
    for network in networks:
        network.eval()
    try:
        with torch.compiler.set_stance("force_eager"):  # for each size it would take minutes
            yield
    finally:
        for network in networks:
            network.train()


def minimise(
    losses: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, *, max_grad_norm: float = 0.0
) -> None:
    """Step ``optimizer`` once down the sum of all terms.

    ``max_grad_norm`` clips the gradient's norm of each of its parameter groups, of which there is
    one for each network; 0 clips nothing.
    """
    optimizer.zero_grad(set_to_none=True)
    if not losses:
        return
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    for group in optimizer.param_groups:
        _tame(group["params"])
        if max_grad_norm:
            nn.utils.clip_grad_norm_(group["params"], max_grad_norm)
    optimizer.step()


def _tame(weights: list[nn.Parameter]) -> None:
    """Bound gradients that have exploded, as they do behind many norms of flat pictures.

    Each such norm multiplies by up to 316, and Adam keeps squares. Of a loss that is not finite
    nothing is learnt.
    """
    for weight in weights:
        if weight.grad is not None:
            weight.grad.nan_to_num_(0.0).clamp_(-LARGEST_GRADIENT, LARGEST_GRADIENT)


def detached(fake: Tensor | None) -> Tensor | None:
    """What the discriminators see of a fake, if it was made."""
    return None if fake is None else fake.detach()


def noise(rng: np.random.Generator, count: int, numbers: int, *, like: Tensor) -> Tensor:
    """Codes of normal(0, 1), (count, numbers): the same on every device."""
    return torch.from_numpy(rng.standard_normal((count, numbers))).to(like)
