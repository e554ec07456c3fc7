"""BicycleGAN's step against the textbook's: two backward passes, E frozen for the second."""

import copy
from typing import Any

import pytest
import torch
from textbook import (
    Losses,
    adam,
    assert_same_weights,
    descend,
    floats,
    gan,
    learner,
    random_batch,
)
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.data.stream import Purpose, random_at

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "conditional": {"method__conditional": True},
    "shared": {"method__shared_discriminator": True},
    "cvae": {"method__paths": "cvae"},
    "clr": {"method__paths": "clr"},
    "one scale": {"discriminator__num_scales": 1},
    "input": {"generator__z_at": "input"},
}


def summed(maps: list[Tensor], target: float) -> Tensor:
    return sum((gan(one, target, "lsgan") for one in maps), torch.tensor(0.0))


class Textbook:
    def __init__(self, nets: dict[str, nn.Module], paths: str, conditional: bool) -> None:
        self.nets, self.paths, self.conditional = nets, paths, conditional
        self.g, self.e = nets["generator"], nets["encoder"]
        self.d_vae = nets.get("discriminator_vae")
        self.d_lr = nets.get("discriminator_lr", self.d_vae)
        self.adam_g, self.adam_e = adam(self.g), adam(self.e)
        self.adam_d = adam(*(n for name, n in nets.items() if name.startswith("disc")))

    def seen(self, a: Tensor, image: Tensor) -> Tensor:
        return torch.cat([a, image], 1) if self.conditional else image

    def step(self, batch: Batch, number: int) -> Losses:
        rng, half = random_at(0, Purpose.POOL, number), (len(batch.real_a) + 1) // 2
        a1, b1 = batch.real_a[:half], batch.real_b[:half]
        a2, b2 = batch.real_a[-half:], batch.real_b[-half:]
        eps, z = (torch.from_numpy(rng.standard_normal((half, 8))) for _ in range(2))
        terms: Losses = {}
        judged: Losses = {}
        if self.paths != "clr":
            mean, log_variance = self.e(b1)
            fake_vae = self.g(a1, mean + torch.exp(log_variance / 2) * eps)
            terms["gan_vae"] = summed(self.d_vae(self.seen(a1, fake_vae)), 1.0)
            terms["l1"] = 10 * (fake_vae - b1).abs().mean()
            kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance)
            terms["kl"] = 0.01 * kl.sum() / half
        if self.paths != "cvae":
            fake_lr = self.g(a1, z)
            terms["gan_lr"] = summed(self.d_lr(self.seen(a1, fake_lr)), 1.0)
        self.adam_g.zero_grad()
        self.adam_e.zero_grad()
        torch.stack(list(terms.values())).sum().backward(retain_graph=True)
        if self.paths != "cvae":
            before = [None if p.grad is None else p.grad.clone() for p in self.e.parameters()]
            terms["latent"] = 0.5 * (self.e(fake_lr)[0] - z).abs().mean()
            terms["latent"].backward()
            if self.paths == "both":  # what the latent term gave the encoder is thrown away
                for p, grad in zip(self.e.parameters(), before, strict=True):
                    p.grad = grad
        self.adam_g.step()
        self.adam_e.step()

        if self.paths != "clr":
            real = summed(self.d_vae(self.seen(a1, b1)), 1.0)
            judged["discriminator_vae"] = real + summed(
                self.d_vae(self.seen(a1, fake_vae.detach())), 0.0
            )
        if self.paths != "cvae":
            real = summed(self.d_lr(self.seen(a2, b2)), 1.0)
            judged["discriminator_lr"] = real + summed(
                self.d_lr(self.seen(a1, fake_lr.detach())), 0.0
            )
        descend(judged, self.adam_d)
        return terms | judged


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_steps_of_any_batch_are_the_textbooks(count: int) -> None:
    ours = learner("bicyclegan")
    textbook = Textbook({n: copy.deepcopy(m) for n, m in ours.networks.items()}, "both", False)
    for number in range(2):
        batch = random_batch(number, count=count)
        wanted = floats(textbook.step(batch, number))
        ours.step(batch, learning_rate=1e-3)
        assert ours.take_mean_losses() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_are_the_textbooks(variant: str) -> None:
    ours = learner("bicyclegan", **VARIANTS[variant])
    nets = {name: copy.deepcopy(network) for name, network in ours.networks.items()}
    config = ours.method.config  # type: ignore[attr-defined]
    textbook = Textbook(nets, config.paths, config.conditional)
    for number in range(4):
        wanted = floats(textbook.step(random_batch(number), number))
        ours.step(random_batch(number), learning_rate=1e-3)
        assert ours.take_mean_losses() == pytest.approx(wanted, rel=1e-6)
    assert_same_weights(ours, nets)


def test_a_shared_discriminator_is_one() -> None:
    assert (
        "discriminator_lr" not in learner("bicyclegan", method__shared_discriminator=True).networks
    )
    assert "discriminator_lr" in learner("bicyclegan").networks


@pytest.mark.parametrize("kind", ["residual", "resnet18"])
@pytest.mark.parametrize("z_at", ["input", "all", "middle", "plane"])
def test_every_encoder_and_place_of_the_code_learns(kind: str, z_at: str) -> None:
    encoder = {"encoder__base_channels": 4} if kind == "residual" else {}
    ours = learner("bicyclegan", generator__z_at=z_at, encoder__kind=kind, **encoder)
    before = [p.clone() for p in ours.networks["encoder"].parameters()]
    ours.step(random_batch(0), learning_rate=1e-3)
    after = ours.networks["encoder"].parameters()
    moved = [not torch.equal(p, q) for p, q in zip(after, before, strict=True)]
    assert sum(moved) > len(moved) / 2
    assert ours.measures(random_batch(0))["diversity"] > 0
