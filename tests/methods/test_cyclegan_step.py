"""The joint update: every gradient of arXiv 1703.10593, equations 1 to 3 and section 5.2."""

from typing import Any

import pytest
import torch
from methods.gradients import Book, hold, penalty, summed
from methods.textbook import Losses, TextbookPool, gan, generator_gan, learner, random_batch
from torch import Tensor

from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.config import CycleGanConfig

BATCH = {"generator__norm": "batch", "discriminator__norm": "batch"}
VARIANTS: dict[str, dict[str, Any]] = {
    "lsgan": {},
    "vanilla": {"method__gan_mode": "vanilla"},
    "hinge": {"method__gan_mode": "hinge"},
    "wgangp": {"method__gan_mode": "wgangp", "method__lambda_penalty": 3.0},
    "wgangp at two scales": {
        "method__gan_mode": "wgangp",
        "discriminator__kind": "multiscale",
        "discriminator__num_scales": 2,
    },
    "one logit": {"discriminator__kind": "averaging", "method__gan_mode": "vanilla"},
    "batch norm": BATCH,
    "no pool": {"method__pool_size": 0},
    "clipped": {"optimizer__max_grad_norm": 0.5},
    "directions": {
        "method__lambda_a": 3.0,
        "method__lambda_b": 7.0,
        "method__lambda_gan_ab": 2.0,
        "method__lambda_gan_ba": 0.25,
        "method__lambda_identity": 0.25,
    },
    "cycle alone": {
        "method__lambda_gan_ab": 0.0,
        "method__lambda_gan_ba": 0.0,
        "method__lambda_identity": 0.0,
    },
    "GAN alone": {"method__lambda_a": 0.0, "method__lambda_b": 0.0},
    "GAN and forward cycle": {"method__lambda_b": 0.0, "method__lambda_identity": 0.0},
    "GAN and backward cycle": {"method__lambda_a": 0.0, "method__lambda_identity": 0.0},
    "one way": {"method__lambda_gan_ba": 0.0, "method__lambda_b": 0.0},
}


class Joint:
    """One step, term by term; what has no weight is not computed."""

    def __init__(self, ours: Learner) -> None:
        config = ours.method.config  # type: ignore[attr-defined]
        assert isinstance(config, CycleGanConfig)
        self.config, self.size = config, config.pool_size
        self.identity = ours.method.identity  # type: ignore[attr-defined]
        self.pools = {"a": TextbookPool(self.size), "b": TextbookPool(self.size)}

    def __call__(self, book: Book, batch: Batch, number: int) -> Losses:
        config, mode, a, b = self.config, self.config.gan_mode, batch.real_a, batch.real_b
        ab, ba = book.nets["generator_ab"], book.nets["generator_ba"]
        fake_b, fake_a = ab(a), ba(b)
        idt = config.lambda_identity * self.identity
        terms = {
            "gan_ab": (config.lambda_gan_ab, lambda: self.flatter(book, "b", fake_b)),
            "gan_ba": (config.lambda_gan_ba, lambda: self.flatter(book, "a", fake_a)),
            "cycle_a": (config.lambda_a, lambda: (ba(fake_b) - a).abs().mean()),
            "cycle_b": (config.lambda_b, lambda: (ab(fake_a) - b).abs().mean()),
            "identity_a": (idt * config.lambda_a, lambda: (ba(a) - a).abs().mean()),
            "identity_b": (idt * config.lambda_b, lambda: (ab(b) - b).abs().mean()),
        }
        losses = {name: weight * term() for name, (weight, term) in terms.items() if weight}
        total = list(losses.values())
        book.learn("generators", {"generator_ab": total, "generator_ba": total})

        rng = random_at(0, Purpose.POOL, number)
        judged = {}
        for side, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
            judge = book.nets.get(f"discriminator_{side}")
            if judge is None:
                continue
            fake = fake.detach()
            seen = self.pools[side].query(fake, rng) if self.size else fake
            loss = summed(judge(real), lambda x: gan(x, 1.0, mode))
            loss = loss + summed(judge(seen), lambda x: gan(x, 0.0, mode))
            if mode == "wgangp":
                share = torch.from_numpy(rng.random(len(real)))
                loss = loss + config.lambda_penalty * penalty(judge, real, seen, share)
            judged[f"discriminator_{side}"] = loss / 2
        if judged:
            book.learn("discriminators", {name: [loss] for name, loss in judged.items()})
        return losses | judged

    def flatter(self, book: Book, side: str, fake: Tensor) -> Tensor:
        logits = book.nets[f"discriminator_{side}"](fake)
        return summed(logits, lambda x: generator_gan(x, self.config.gan_mode))


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_weights(variant: str) -> None:
    ours = learner(**VARIANTS[variant])
    hold(ours, Joint(ours))


@pytest.mark.parametrize("count", [1, 3])
def test_any_batch_size_over_six_steps_with_the_pools(count: int) -> None:
    ours = learner()
    hold(ours, Joint(ours), steps=6, count=count)


def test_domains_of_different_channels() -> None:
    ours = learner(data__channels_a=1)
    hold(ours, Joint(ours), channels=(1, 3))


def test_a_fake_that_no_term_needs_is_not_made() -> None:
    ours = learner(method__lambda_gan_ba=0.0, method__lambda_b=0.0, method__lambda_identity=0.0)
    seen: list[int] = []
    ours.networks["generator_ba"].register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    ours.step(random_batch(0, count=1), learning_rate=1e-3)
    assert seen == [1]  # G_ba(G_ab(a)), and no G_ba(b)
