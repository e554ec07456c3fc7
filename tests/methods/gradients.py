"""Textbook steps by autograd alone: what each network learns from is written, nothing is frozen."""

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from methods.textbook import Losses, floats, random_batch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.methods.learner import Learner

RATE = 1e-3
Gradients = dict[str, dict[str, Tensor]]  # of each network, by the parameter's name
Step = Callable[["Book", Batch, int], Losses]


class Book:
    """Copies of a learner's networks, which learn by Adam as in arXiv 1412.6980, algorithm 1."""

    def __init__(self, ours: Learner) -> None:
        self.nets = {name: copy.deepcopy(network) for name, network in ours.networks.items()}
        self.phases: list[tuple[str, Gradients]] = []
        self.moments: dict[str, tuple[int, Tensor, Tensor]] = {}
        self.max_grad_norm = next(iter(ours.optimizers.values())).param_groups[0]["max_grad_norm"]

    def learn(self, phase: str, terms: Mapping[str, list[Tensor]]) -> None:
        """Each network goes down the sum of its own terms, all gradients taken beforehand."""
        found = {name: self._gradients(name, terms[name]) for name in terms}
        self.phases.append((phase, found))
        for name, gradients in found.items():
            for key, parameter in self.nets[name].named_parameters():
                if key in gradients:
                    self._adam(f"{name}.{key}", parameter, gradients[key])

    def _gradients(self, name: str, terms: list[Tensor]) -> dict[str, Tensor]:
        parameters = dict(self.nets[name].named_parameters())
        total = torch.stack(terms).sum() if terms else torch.zeros((), requires_grad=True)
        taken = torch.autograd.grad(
            total, list(parameters.values()), allow_unused=True, retain_graph=True
        )
        found = {k: g for k, g in zip(parameters, taken, strict=True) if g is not None}
        norm = torch.stack([g.square().sum() for g in found.values()] or [total]).sum().sqrt()
        if self.max_grad_norm and norm > self.max_grad_norm:
            found = {k: g * self.max_grad_norm / (norm + 1e-6) for k, g in found.items()}
        return found

    @torch.no_grad()
    def _adam(self, name: str, parameter: nn.Parameter, gradient: Tensor) -> None:
        t, m, v = self.moments.get(name, (0, torch.zeros(()), torch.zeros(())))
        t, m, v = t + 1, 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
        parameter -= RATE * (m / (1 - 0.5**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        self.moments[name] = t, m, v


def record(ours: Learner) -> list[tuple[str, Gradients]]:
    """Record, from now on, what every optimizer is given."""
    phases: list[tuple[str, Gradients]] = []

    def watch(name: str, optimizer: torch.optim.Optimizer) -> None:
        def look(*_: object) -> None:
            found: Gradients = {
                network_name: {
                    key: parameter.grad.clone()
                    for key, parameter in network.named_parameters()
                    if parameter.grad is not None
                }
                for network_name, network in ours.method.optimized()[name].items()
            }
            phases.append((name, found))

        optimizer.register_step_pre_hook(look)

    for name, optimizer in ours.optimizers.items():
        watch(name, optimizer)
    return phases


def assert_same_phases(found: list[tuple[str, Gradients]], book: Book) -> None:
    """Every gradient to the rounding of double precision, and none too many."""
    assert [name for name, _ in found] == [name for name, _ in book.phases]
    for (phase, ours), (_, wanted) in zip(found, book.phases, strict=True):
        assert ours.keys() == wanted.keys()
        for name in wanted:
            assert ours[name].keys() == wanted[name].keys(), f"{phase}: {name}"
            largest = max((float(g.abs().max()) for g in wanted[name].values()), default=0.0)
            for key, gradient in wanted[name].items():
                assert torch.allclose(ours[name][key], gradient, rtol=1e-6, atol=1e-8 * largest), (
                    f"{phase}: {name}.{key}"
                )


def assert_same_weights(ours: Learner, book: Book) -> None:
    """But for those whose gradient is rounding only, as Adam divides it by itself."""
    for name, network in ours.networks.items():
        wanted = dict(book.nets[name].named_parameters())
        for key, parameter in network.named_parameters():
            _, _, v = book.moments.get(f"{name}.{key}", (0, None, torch.ones(())))
            if v.max() > 1e-20:
                assert torch.allclose(parameter, wanted[key], rtol=0, atol=1e-6), f"{name}.{key}"


def hold(
    ours: Learner, step: Step, *, steps: int = 3, count: int = 2, channels: tuple[int, int] = (3, 3)
) -> Book:
    """Run both side by side: every loss, every gradient, and the weights in the end."""
    book, found = Book(ours), record(ours)
    for number in range(steps):
        batch = random_batch(number, count=count, channels=channels)
        wanted = floats(step(book, batch, number))
        ours.step(batch, learning_rate=RATE)
        assert ours.take_mean_losses() == pytest.approx(wanted, rel=1e-7, abs=1e-12)
        assert_same_phases(found, book)
        found.clear()
        book.phases.clear()
    assert_same_weights(ours, book)
    return book


def summed(maps: Tensor | list[Tensor], loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Over the scales, each by its mean; the judge of one scale gives one map."""
    return torch.stack([loss(one) for one in (maps if isinstance(maps, list) else [maps])]).sum()


def penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """WGAN-GP, equation 3, for the mean of each scale's map."""
    mixed = share[:, None, None, None] * real + (1 - share[:, None, None, None]) * fake
    mixed = mixed.detach().requires_grad_(True)

    def of_one(logits: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(logits.flatten(1).mean(1).sum(), mixed, create_graph=True)
        return ((slope.square().sum(dim=(1, 2, 3)).sqrt() - 1) ** 2).mean()

    return summed(discriminator(mixed), of_one)
