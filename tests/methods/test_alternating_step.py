"""The alternating update: every gradient, each network by itself and in its turn."""

from typing import Any

import pytest
import torch
from methods.gradients import Book, hold, penalty
from methods.textbook import Losses, TextbookPool, gan, generator_gan, learner, random_batch
from torch import Tensor

from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.methods.cyclegan import AlternatingCycleGan
from imgtranslate.methods.learner import Learner

NO_IDENTITY = {"method__lambda_identity": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "lsgan": {},
    "vanilla": {"method__gan_mode": "vanilla"},
    "hinge": {"method__gan_mode": "hinge"},
    "wgangp": {"method__gan_mode": "wgangp"},
    "clipped": {"optimizer__max_grad_norm": 0.5},
    "hardly clipped": {"optimizer__max_grad_norm": 50.0},
    "every second": {"method__d_ratio": 2},
    "from identity": {"method__cycle_from_identity": True},
    "from identity without its loss": {"method__cycle_from_identity": True, **NO_IDENTITY},
    "batch norm": {"generator__norm": "batch", "discriminator__norm": "batch"},
    "directions": {
        "method__lambda_a": 3.0,
        "method__lambda_b": 7.0,
        "method__lambda_gan_ab": 2.0,
        "method__lambda_gan_ba": 0.25,
        "method__lambda_identity": 0.25,
    },
    "cycle alone": {"method__lambda_gan_ab": 0.0, "method__lambda_gan_ba": 0.0, **NO_IDENTITY},
    "GAN alone": {"method__lambda_a": 0.0, "method__lambda_b": 0.0},
    "GAN and forward cycle": {"method__lambda_b": 0.0, **NO_IDENTITY},
    "GAN and backward cycle": {"method__lambda_a": 0.0, **NO_IDENTITY},
}


class InTurn:
    """Phases 1 to 3."""

    def __init__(self, ours: Learner) -> None:
        assert isinstance(ours.method, AlternatingCycleGan)
        self.config, self.identity = ours.method.joint.config, ours.method.joint.identity
        self.pools = {"a": TextbookPool(3), "b": TextbookPool(3)}

    def __call__(self, book: Book, batch: Batch, number: int) -> Losses:
        a, b = {"a": batch.real_a}, {"b": batch.real_b}
        there, fake_b = self.phase(book, "ab", a | b)
        back, fake_a = self.phase(book, "ba", a | b)
        losses = there | back
        if (number + 1) % self.config.d_ratio == 0:
            losses |= self.judge(book, batch, fake_a, fake_b, number)
        return losses

    def phase(self, book: Book, direction: str, real: dict[str, Tensor]) -> tuple[Losses, Tensor]:
        config, (source, target) = self.config, direction
        weights = {"a": config.lambda_a, "b": config.lambda_b}
        lambda_gan = {"ab": config.lambda_gan_ab, "ba": config.lambda_gan_ba}[direction]
        g, back = book.nets[f"generator_{direction}"], book.nets[f"generator_{target}{source}"]
        x, y = real[source], real[target]
        fake = g(x)
        start = g(y) if config.cycle_from_identity else y
        idt = config.lambda_identity * self.identity * weights[target]
        terms = {
            "gan": (lambda_gan, lambda: self.flatter(book, target, fake)),
            "identity": (idt, lambda: (g(y) - y).abs().mean()),
            "cycle_there": (weights[source], lambda: (back(fake) - x).abs().mean()),
            "cycle_back": (weights[target], lambda: (g(back(start)) - y).abs().mean()),
        }
        losses = {
            f"{name}_{direction}": weight * term()
            for name, (weight, term) in terms.items()
            if weight
        }
        name = f"generator_{direction}"
        book.learn(f"{name}_optimizer", {name: list(losses.values())})
        return losses, fake.detach()

    def flatter(self, book: Book, side: str, fake: Tensor) -> Tensor:
        return generator_gan(book.nets[f"discriminator_{side}"](fake), self.config.gan_mode)

    def judge(
        self, book: Book, batch: Batch, fake_a: Tensor, fake_b: Tensor, number: int
    ) -> Losses:
        rng, mode, judged = random_at(0, Purpose.POOL, number), self.config.gan_mode, {}
        for side, real, fake in (("a", batch.real_a, fake_a), ("b", batch.real_b, fake_b)):
            name = f"discriminator_{side}"
            if name not in book.nets:
                continue
            d, seen = book.nets[name], self.pools[side].query(fake, rng)
            loss = gan(d(real), 1.0, mode) + gan(d(seen), 0.0, mode)
            if mode == "wgangp":
                share = torch.from_numpy(rng.random(len(real)))
                loss = loss + self.config.lambda_penalty * penalty(d, real, seen, share)
            judged[name] = loss / 2
        for name in sorted(judged, reverse=True):  # b, then a
            book.learn(f"{name}_optimizer", {name: [judged[name]]})
        return judged


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_weights(variant: str) -> None:
    ours = learner(method__update="alternating", **VARIANTS[variant])
    hold(ours, InTurn(ours), steps=4)


def test_it_goes_on_where_it_stopped() -> None:
    ours, again = (learner(method__update="alternating") for _ in range(2))
    ours.step(random_batch(0), learning_rate=1e-3)
    again.restore({k: t.clone() for k, t in ours.state_tensors().items()}, steps_done=1)
    for each in (ours, again):
        each.take_mean_losses()
        each.step(random_batch(1), learning_rate=1e-3)
    assert ours.take_mean_losses() == again.take_mean_losses()
    first, second = (each.state_tensors() for each in (ours, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_domains_of_different_channels() -> None:
    ours = learner(method__update="alternating", data__channels_b=2)
    hold(ours, InTurn(ours), channels=(3, 2))


def test_what_no_term_needs_is_not_made() -> None:
    ours = learner(
        method__update="alternating",
        method__cycle_from_identity=True,
        method__lambda_gan_ab=0.0,
        method__lambda_a=0.0,
        **NO_IDENTITY,
    )
    seen: list[str] = []
    for name in ("generator_ab", "generator_ba"):
        hook = lambda _, x, name=name: seen.append(name)  # noqa: E731, ARG005
        ours.networks[name].register_forward_pre_hook(hook)
    ours.step(random_batch(0), learning_rate=1e-3)
    there = ["generator_ab", "generator_ba", "generator_ab"]  # G_ab(G_ba(G_ab(b))), no G_ab(a)
    assert seen == [*there, "generator_ba", "generator_ab"]  # no G_ba(a): its cycle is off
