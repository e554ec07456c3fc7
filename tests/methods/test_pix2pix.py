"""pix2pix's step against the textbook's: the discriminator first."""

import copy
from typing import Any

import pytest
import torch
from textbook import (
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

from imgtranslate.data.stream import Purpose, random_at

VARIANTS: dict[str, dict[str, Any]] = {
    "conditional": {},
    "unconditional": {"method__conditional": False},
    "lsgan": {"method__gan_mode": "lsgan"},
    "wgangp": {"method__gan_mode": "wgangp"},
    "pool": {"method__pool_size": 3},
    "l1 alone": {"method__lambda_gan": 0.0},
    "gan alone": {"method__lambda_l1": 0.0},
    "batch norm": {"generator__norm": "batch", "discriminator__norm": "batch"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_six_steps_are_the_textbooks(variant: str) -> None:
    ours = learner("pix2pix", **VARIANTS[variant])
    config = ours.method.config  # type: ignore[attr-defined]
    mode, nets = config.gan_mode, {n: copy.deepcopy(net) for n, net in ours.networks.items()}
    g, d = nets["generator"], nets.get("discriminator")
    adam_g, adam_d = adam(g), adam(d) if d else None
    pool = TextbookPool(config.pool_size)
    for number in range(6):
        batch, rng = random_batch(number), random_at(0, Purpose.POOL, number)
        a, b = batch.real_a, batch.real_b
        given = [a] if config.conditional else []
        wanted, fake = {}, g(a)
        if d and adam_d:
            seen = torch.cat([*given, fake.detach()], 1)
            seen = pool.query(seen, rng) if config.pool_size else seen
            real = torch.cat([*given, b], 1)
            loss = gan(d(real), 1.0, mode) + gan(d(seen), 0.0, mode)
            if mode == "wgangp":
                mix = torch.from_numpy(rng.random(len(real)))[:, None, None, None]
                loss = loss + 10 * penalty(d, mix * real + (1 - mix) * seen)
            wanted["discriminator"] = loss / 2
            descend(wanted, adam_d)
        terms = {}
        if d:
            terms["gan"] = generator_gan(d(torch.cat([*given, fake], 1)), mode)
        if config.lambda_l1:
            terms["l1"] = 100 * (fake - b).abs().mean()
        descend(terms, adam_g)

        ours.step(batch, learning_rate=1e-3)
        assert ours.take_mean_losses() == pytest.approx(floats(wanted | terms), rel=1e-6)
    assert_same_weights(ours, nets)


def test_noise_goes_into_the_generator_that_takes_it() -> None:
    ours = learner("pix2pix-noise")
    ours.step(random_batch(0), learning_rate=1e-3)
    assert ours.take_mean_losses().keys() == {"gan", "l1", "discriminator"}
    assert ours.measures(random_batch(0))["diversity"] > 0
    assert learner("pix2pix").measures(random_batch(0)) == {}
