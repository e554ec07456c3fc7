"""The joint update against the textbook's: one forward pass for each term, float64."""

import copy
from typing import Any

import pytest
import torch
from textbook import (
    Losses,
    TextbookPool,
    adam,
    assert_same_weights,
    descend,
    floats,
    gan,
    generator_gan,
    learner,
    penalty,
    random_batch,
)
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.data.stream import Purpose, random_at
from imgtranslate.methods.learner import Learner


class Textbook:
    """The joint update of section 3, written out."""

    def __init__(self, ours: Learner, **config: Any) -> None:
        self.nets = {name: copy.deepcopy(net) for name, net in ours.networks.items()}
        self.config = {"mode": "lsgan", "a": 10.0, "b": 10.0, "idt": 0.5, "ab": 1.0, "ba": 1.0}
        self.config |= config
        self.pool_a, self.pool_b = TextbookPool(3), TextbookPool(3)
        judges = [net for name, net in self.nets.items() if name.startswith("discriminator")]
        self.adam_g = adam(self.nets["generator_ab"], self.nets["generator_ba"])
        self.adam_d = adam(*judges) if judges else None

    def step(self, batch: Batch, number: int) -> Losses:
        nets, config, mode = self.nets, self.config, self.config["mode"]
        ab, ba = nets["generator_ab"], nets["generator_ba"]
        rng = random_at(0, Purpose.POOL, number)
        a, b = batch.real_a, batch.real_b
        fake_b, fake_a = ab(a), ba(b)
        terms = {}
        if config["ab"]:
            terms["gan_ab"] = generator_gan(nets["discriminator_b"](fake_b), mode) * config["ab"]
        if config["ba"]:
            terms["gan_ba"] = generator_gan(nets["discriminator_a"](fake_a), mode) * config["ba"]
        if config["a"]:
            terms["cycle_a"] = (ba(fake_b) - a).abs().mean() * config["a"]
        if config["b"]:
            terms["cycle_b"] = (ab(fake_a) - b).abs().mean() * config["b"]
        if config["a"] * config["idt"]:
            terms["identity_a"] = (ba(a) - a).abs().mean() * config["idt"] * config["a"]
        if config["b"] * config["idt"]:
            terms["identity_b"] = (ab(b) - b).abs().mean() * config["idt"] * config["b"]
        descend(terms, self.adam_g)
        if self.adam_d is None:
            return terms

        judged = {}
        for letter, pool, real, fake, weight in (
            ("a", self.pool_a, a, fake_a.detach(), config["ba"]),
            ("b", self.pool_b, b, fake_b.detach(), config["ab"]),
        ):
            if not weight:
                continue
            d, fake = nets[f"discriminator_{letter}"], pool.query(fake, rng)
            loss = gan(d(real), 1.0, mode) + gan(d(fake), 0.0, mode)
            if mode == "wgangp":
                mix = torch.from_numpy(rng.random(len(real)))[:, None, None, None]
                loss = loss + 10 * penalty(d, mix * real + (1 - mix) * fake)
            judged[f"discriminator_{letter}"] = loss / 2
        descend(judged, self.adam_d)
        return terms | judged


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lsgan": ({}, {}),
    "vanilla": ({"method__gan_mode": "vanilla"}, {"mode": "vanilla"}),
    "hinge": ({"method__gan_mode": "hinge"}, {"mode": "hinge"}),
    "wgangp": ({"method__gan_mode": "wgangp"}, {"mode": "wgangp"}),
    "batch norm": ({"generator__norm": "batch", "discriminator__norm": "batch"}, {}),
    "weights": (
        {
            "method__lambda_a": 3.0,
            "method__lambda_b": 7.0,
            "method__lambda_identity": 0.25,
            "method__lambda_gan_ab": 2.0,
        },
        {"a": 3.0, "b": 7.0, "idt": 0.25, "ab": 2.0},
    ),
    "cycle alone": (
        {
            "method__lambda_gan_ab": 0.0,
            "method__lambda_gan_ba": 0.0,
            "method__lambda_identity": 0.0,
        },
        {"ab": 0.0, "ba": 0.0, "idt": 0.0},
    ),
    "gan alone": ({"method__lambda_a": 0.0, "method__lambda_b": 0.0}, {"a": 0.0, "b": 0.0}),
    "gan and forward cycle": (
        {"method__lambda_b": 0.0, "method__lambda_identity": 0.0},
        {"b": 0.0, "idt": 0.0},
    ),
    "gan and backward cycle": (
        {"method__lambda_a": 0.0, "method__lambda_identity": 0.0},
        {"a": 0.0, "idt": 0.0},
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_six_steps_are_the_textbooks(variant: str) -> None:
    settings, config = VARIANTS[variant]
    ours = learner(**settings)
    textbook = Textbook(ours, **config)
    for number in range(6):
        wanted = textbook.step(random_batch(number), number)
        ours.step(random_batch(number), learning_rate=1e-3)
        assert ours.take_mean_losses() == pytest.approx(floats(wanted), rel=1e-6)
    assert_same_weights(ours, textbook.nets)


def calls_of(ours: Learner) -> dict[str, int]:
    """How many images each network is shown in one step."""
    counts = dict.fromkeys(ours.networks, 0)
    for name, network in ours.networks.items():

        def count(_: nn.Module, arguments: tuple[Tensor, ...], name: str = name) -> None:
            counts[name] += len(arguments[0])

        network.register_forward_pre_hook(count)
    ours.step(random_batch(0, count=1), learning_rate=1e-3)
    return counts


def test_a_fake_is_made_once_and_a_weight_of_zero_runs_nothing() -> None:
    full = {"generator_ab": 3, "generator_ba": 3, "discriminator_a": 3, "discriminator_b": 3}
    assert calls_of(learner()) == full
    assert calls_of(learner(method__lambda_identity=0.0))["generator_ab"] == 2
    assert calls_of(learner(method__lambda_b=0.0)) == {**full, "generator_ab": 1}
    assert calls_of(learner(method__lambda_gan_ab=0.0)) == {
        name: count for name, count in full.items() if name != "discriminator_b"
    }


def test_channels_belong_to_their_domain() -> None:
    ours = learner(data__channels_a=1, data__channels_b=3)
    ours.step(random_batch(0, channels=(1, 3)), learning_rate=1e-3)
    losses = ours.take_mean_losses()
    assert "cycle_a" in losses
    assert not any(name.startswith("identity") for name in losses)
    shapes = {name: next(net.parameters()).shape[1] for name, net in ours.networks.items()}
    assert shapes == {
        "generator_ab": 1,
        "generator_ba": 3,
        "discriminator_a": 1,
        "discriminator_b": 3,
    }


def test_gradients_reach_exactly_the_networks_that_learn() -> None:
    ours = learner()
    seen: dict[str, set[str]] = {}
    inner = ours._minimise

    def minimise(name: str, losses: dict[str, Tensor]) -> None:
        inner(name, losses)
        seen[name] = {
            n
            for n, net in ours.networks.items()
            if any(p.grad is not None for p in net.parameters())
        }
        for network in ours.networks.values():
            network.zero_grad(set_to_none=True)

    ours._minimise = minimise  # type: ignore[method-assign]
    ours.step(random_batch(0), learning_rate=1e-3)
    assert seen == {
        "generators": {"generator_ab", "generator_ba"},
        "discriminators": {"discriminator_a", "discriminator_b"},
    }
