"""What the steps of all methods are made of."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.methods.draws import Draws
from imgtranslate.methods.pool import ImagePool
from imgtranslate.methods.team import ALONE, Team

LARGEST_GRADIENT = 1e6  # of one weight; those of ordinary pictures are below 1e3

Losses = dict[str, Tensor]
Networks = dict[str, nn.Module]
Phases = Iterator[tuple[str, Losses]]
"""One after the other: terms, and the name of the optimizer that is to step down their sum once,
before the next phase is asked for."""


class Method(Protocol):
    """A method is its losses on its networks; terms come already weighted.

    ``optimized``: the networks that learn, by the optimizer that steps them. ``models``: what is
    kept for use, by direction: the generator's name and, where there is one, the encoder's.
    ``number`` counts steps from 0; all randomness is drawn from ``rng``.
    """

    def optimized(self) -> dict[str, Networks]: ...  # noqa: D102
    def models(self) -> dict[str, tuple[str, ...]]: ...  # noqa: D102
    def pools(self) -> dict[str, ImagePool]: ...  # noqa: D102
    def step(self, batch: Batch, rng: Draws, *, number: int) -> Phases: ...  # noqa: D102
    def measures(self, batch: Batch, rng: Draws) -> Losses: ...  # noqa: D102


class GeneratorsFirst(Protocol):
    """A method whose discriminators learn after its generators, on the same fakes."""

    def discriminators(self) -> Networks: ...  # noqa: D102
    def generator_losses(  # noqa: D102
        self, batch: Batch, rng: Draws
    ) -> tuple[Losses, Any]: ...
    def discriminator_losses(  # noqa: D102
        self, batch: Batch, fakes: Any, rng: Draws
    ) -> Losses: ...


def generators_first(method: GeneratorsFirst, batch: Batch, rng: Draws) -> Phases:
    """Update the generators, then the discriminators on the same fakes."""
    with frozen(*method.discriminators().values()):
        losses, fakes = method.generator_losses(batch, rng)
    yield "generators", losses
    yield "discriminators", method.discriminator_losses(batch, fakes, rng)


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
    losses: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float = 0.0,
    part: int = 0,
    parts: int = 1,
    team: Team = ALONE,
) -> None:
    """Step ``optimizer`` once down the sum of all terms.

    ``max_grad_norm`` clips the gradient's norm of each of its parameter groups, of which there is
    one for each network; 0 clips nothing. Of a batch in several parts the gradients are gathered,
    and the last one steps down their mean; of a batch that a team shares, down the mean of all.
    """
    if part == 0:
        optimizer.zero_grad(set_to_none=True)
    if not losses:
        return
    total = torch.stack(list(losses.values())).sum()
    (total / parts if parts > 1 else total).backward()  # type: ignore[no-untyped-call]
    if part < parts - 1:
        return
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    team.average([weight.grad for weight in weights if weight.grad is not None])
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


def noise(rng: Draws, count: int, numbers: int, *, like: Tensor) -> Tensor:
    """Codes of normal(0, 1), (count, numbers): the same on every device."""
    return torch.from_numpy(rng.standard_normal((count, numbers))).to(like)
