"""pix2pix's step: every gradient of arXiv 1611.07004, equations 1 to 4, the judge first."""

from typing import Any

import pytest
import torch
from methods.gradients import Book, hold, penalty, summed
from methods.textbook import Losses, TextbookPool, gan, generator_gan, learner
from torch import Tensor

from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.config import Pix2PixConfig

VARIANTS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "lsgan": {"method__gan_mode": "lsgan"},
    "hinge": {"method__gan_mode": "hinge"},
    "wgangp": {"method__gan_mode": "wgangp"},
    "wgangp, output alone": {"method__gan_mode": "wgangp", "method__conditional": False},
    "output alone": {"method__conditional": False},
    "two scales": {"discriminator__kind": "multiscale"},
    "batch norm": {"generator__norm": "batch", "discriminator__norm": "batch"},
    "pool": {"method__pool_size": 2},
    "clipped": {"optimizer__max_grad_norm": 0.5},
    "weights": {"method__lambda_gan": 3.0, "method__lambda_l1": 7.0},
    "L1 alone": {"method__lambda_gan": 0.0},
    "GAN alone": {"method__lambda_l1": 0.0},
    "code": {"generator__latent_dim": 4, "generator__z_at": "all"},
}


class Paired:
    """One step; the generator is judged by the discriminator that has already learnt."""

    def __init__(self, ours: Learner) -> None:
        config = ours.method.config  # type: ignore[attr-defined]
        assert isinstance(config, Pix2PixConfig)
        self.config, self.numbers = config, ours.method.latent_dim  # type: ignore[attr-defined]
        self.pool = TextbookPool(config.pool_size)

    def __call__(self, book: Book, batch: Batch, number: int) -> Losses:
        config, mode, a, b = self.config, self.config.gan_mode, batch.real_a, batch.real_b
        rng, judge = random_at(0, Purpose.POOL, number), book.nets.get("discriminator")
        z = torch.from_numpy(rng.standard_normal((len(a), self.numbers)))
        fake = book.nets["generator"](a, z) if self.numbers else book.nets["generator"](a)
        losses: Losses = {}
        if judge is not None:
            real, shown = self.seen(a, b), self.seen(a, fake.detach())
            if config.pool_size:
                shown = self.pool.query(shown, rng)
            loss = summed(judge(real), lambda x: gan(x, 1.0, mode))
            loss = loss + summed(judge(shown), lambda x: gan(x, 0.0, mode))
            if mode == "wgangp":
                share = torch.from_numpy(rng.random(len(real)))
                loss = loss + config.lambda_penalty * penalty(judge, real, shown, share)
            losses["discriminator"] = loss / 2
            book.learn("discriminators", {"discriminator": [loss / 2]})
        terms: Losses = {}
        if judge is not None:
            logits = judge(self.seen(a, fake))
            terms["gan"] = config.lambda_gan * summed(logits, lambda x: generator_gan(x, mode))
        if config.lambda_l1:
            terms["l1"] = config.lambda_l1 * (b - fake).abs().mean()
        book.learn("generators", {"generator": list(terms.values())})
        return losses | terms

    def seen(self, a: Tensor, image: Tensor) -> Tensor:
        return torch.cat([a, image], 1) if self.config.conditional else image


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_weights(variant: str) -> None:
    ours = learner("pix2pix", **VARIANTS[variant])
    hold(ours, Paired(ours))


@pytest.mark.parametrize("count", [1, 3])
def test_any_batch_size_over_six_steps_with_the_pool(count: int) -> None:
    ours = learner("pix2pix", method__pool_size=2)
    hold(ours, Paired(ours), steps=6, count=count)


def test_pictures_of_different_channels() -> None:
    ours = learner("pix2pix", data__channels_a=1)
    hold(ours, Paired(ours), channels=(1, 3))
    shapes = {name: next(net.parameters()).shape[1] for name, net in ours.networks.items()}
    assert shapes == {"generator": 1, "discriminator": 4}
