"""BicycleGAN's step: every gradient of arXiv 1711.11586, equations 3 to 8, G's and E's apart."""

from typing import Any

import pytest
import torch
from methods.gradients import Book, hold, penalty, summed
from methods.textbook import Losses, gan, generator_gan, learner, random_batch
from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.config import BicycleGanConfig

SHARED = {"method__shared_discriminator": True}
VARIANTS: dict[str, dict[str, Any]] = {
    "lsgan": {},
    "vanilla": {"method__gan_mode": "vanilla"},
    "hinge": {"method__gan_mode": "hinge"},
    "wgangp": {"method__gan_mode": "wgangp"},
    "wgangp, conditional": {"method__gan_mode": "wgangp", "method__conditional": True},
    "conditional": {"method__conditional": True},
    "shared": SHARED,
    "shared and conditional": {**SHARED, "method__conditional": True},
    "cVAE-GAN": {"method__paths": "cvae"},
    "cLR-GAN": {"method__paths": "clr"},
    "cVAE-GAN with a shared judge": {"method__paths": "cvae", **SHARED},
    "cLR-GAN with a shared judge": {"method__paths": "clr", **SHARED},
    "one map": {"discriminator__kind": "patchgan"},
    "batch norm": {
        "generator__norm": "batch",
        "discriminator__norm": "batch",
        "encoder__norm": "batch",
    },
    "clipped": {"optimizer__max_grad_norm": 0.5},
    "weights": {
        "method__lambda_gan": 2.0,
        "method__lambda_l1": 3.0,
        "method__lambda_latent": 4.0,
        "method__lambda_kl": 0.5,
    },
    "no GAN": {"method__lambda_gan": 0.0},
    "no L1": {"method__lambda_l1": 0.0},
    "no latent": {"method__lambda_latent": 0.0},
    "no KL": {"method__lambda_kl": 0.0},
    "KL and latent alone": {"method__lambda_gan": 0.0, "method__lambda_l1": 0.0},
    "cVAE alone": {"method__lambda_gan": 0.0, "method__lambda_latent": 0.0},
}


class Hybrid:
    """One step: which network learns from which term is written in its two sums."""

    def __init__(self, ours: Learner) -> None:
        config = ours.method.config  # type: ignore[attr-defined]
        assert isinstance(config, BicycleGanConfig)
        self.config = config

    def __call__(self, book: Book, batch: Batch, number: int) -> Losses:
        config, g, e = self.config, book.nets["generator"], book.nets["encoder"]
        rng, half = random_at(0, Purpose.POOL, number), -(-len(batch.real_a) // 2)
        a1, b1 = batch.real_a[:half], batch.real_b[:half]
        a2, b2 = batch.real_a[-half:], batch.real_b[-half:]
        eps, z = (torch.from_numpy(rng.standard_normal((half, 8))) for _ in range(2))
        vae, lr = config.paths != "clr", config.paths != "cvae"
        mean, log_variance = e(b1)
        fake_vae, fake_lr = g(a1, mean + log_variance.exp().sqrt() * eps), g(a1, z)
        judges = self.judges(book)

        direct = {
            "gan_vae": (vae * config.lambda_gan, lambda: self.flatter(judges["vae"], a1, fake_vae)),
            "l1": (vae * config.lambda_l1, lambda: (b1 - fake_vae).abs().mean()),
            "kl": (vae * config.lambda_kl, lambda: kl(mean, log_variance)),
        }
        back = {
            "gan_lr": (lr * config.lambda_gan, lambda: self.flatter(judges["lr"], a1, fake_lr)),
            "latent": (lr * config.lambda_latent, lambda: (z - e(fake_lr)[0]).abs().mean()),
        }
        of_vae = {name: weight * term() for name, (weight, term) in direct.items() if weight}
        of_lr = {name: weight * term() for name, (weight, term) in back.items() if weight}
        all_terms = [*of_vae.values(), *of_lr.values()]
        for_encoder = list((of_vae if vae else of_lr).values())
        book.learn("generators", {"generator": all_terms, "encoder": for_encoder})

        judged: Losses = {}
        if "vae" in judges and vae:
            real, fake = self.seen(a1, b1), self.seen(a1, fake_vae.detach())
            judged["discriminator_vae"] = self.judge(judges["vae"], real, fake, rng)
        if "lr" in judges and lr:
            real, fake = self.seen(a2, b2), self.seen(a1, fake_lr.detach())
            judged["discriminator_lr"] = self.judge(judges["lr"], real, fake, rng)
        if judged:
            names = [name for name in book.nets if name.startswith("discriminator")]
            total = list(judged.values())  # of a judge of its own, only its own term matters
            book.learn("discriminators", dict.fromkeys(names, total))
        return of_vae | of_lr | judged

    def judges(self, book: Book) -> dict[str, nn.Module]:
        own = {
            path: book.nets[f"discriminator_{path}"]
            for path in ("vae", "lr")
            if f"discriminator_{path}" in book.nets
        }
        return dict.fromkeys(("vae", "lr"), *own.values()) if len(own) == 1 else own

    def seen(self, a: Tensor, image: Tensor) -> Tensor:
        return torch.cat([a, image], 1) if self.config.conditional else image

    def flatter(self, judge: nn.Module, a: Tensor, fake: Tensor) -> Tensor:
        mode = self.config.gan_mode
        return summed(judge(self.seen(a, fake)), lambda x: generator_gan(x, mode))

    def judge(self, judge: nn.Module, real: Tensor, fake: Tensor, rng: Any) -> Tensor:
        mode = self.config.gan_mode
        loss = summed(judge(real), lambda x: gan(x, 1.0, mode))
        loss = loss + summed(judge(fake), lambda x: gan(x, 0.0, mode))
        if mode == "wgangp":
            share = torch.from_numpy(rng.random(len(real)))
            loss = loss + self.config.lambda_penalty * penalty(judge, real, fake, share)
        return loss


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """In closed form, summed over the code and averaged over images."""
    code = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return torch.distributions.kl_divergence(code, unit).sum() / len(mean)


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_gradients_and_weights(variant: str) -> None:
    ours = learner("bicyclegan", **VARIANTS[variant])
    hold(ours, Hybrid(ours), steps=2)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("paths", ["both", "cvae", "clr"])
def test_any_batch_size(count: int, paths: str) -> None:
    ours = learner("bicyclegan", method__paths=paths, method__conditional=True)
    hold(ours, Hybrid(ours), steps=2, count=count)


def test_pictures_of_different_channels() -> None:
    ours = learner("bicyclegan", data__channels_a=1, method__conditional=True)
    hold(ours, Hybrid(ours), steps=1, channels=(1, 3))
    shapes = {name: network.scales[0] for name, network in ours.networks.items() if "disc" in name}
    assert [next(net.parameters()).shape[1] for net in shapes.values()] == [4, 4]
    assert next(ours.networks["encoder"].parameters()).shape[1] == 3


def test_the_encoder_learns_from_the_latent_term_only_where_it_has_no_other() -> None:
    def moved(paths: str) -> bool:
        options = {f"method__lambda_{name}": 0.0 for name in ("gan", "l1", "kl")}
        if paths == "cvae":
            options["method__lambda_l1"] = 1.0
        ours = learner("bicyclegan", method__paths=paths, **options)
        before = [p.clone() for p in ours.networks["encoder"].parameters()]
        ours.step(random_batch(0), learning_rate=1e-3)
        after = ours.networks["encoder"].parameters()
        return any(not torch.equal(p, q) for p, q in zip(before, after, strict=True))

    assert [moved(paths) for paths in ("both", "cvae", "clr")] == [False, True, True]


def test_what_no_term_needs_is_not_made() -> None:
    ours = learner("bicyclegan", method__lambda_gan=0.0, method__lambda_latent=0.0)
    seen: list[int] = []
    for name in ("generator", "encoder"):
        ours.networks[name].register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    ours.step(random_batch(0, count=2), learning_rate=1e-3)
    assert seen == [1, 1]  # E(b1), G(a1, z of b1)


@pytest.mark.parametrize("method", ["bicyclegan", "pix2pix-noise"])
def test_measuring_changes_nothing_and_dropout_is_no_diversity(method: str) -> None:
    ours = learner(method, generator__norm="batch", generator__dropout=True, generator__depth=6,
                   data__crop_size=64)  # fmt: skip
    before = {k: v.clone() for k, v in ours.networks["generator"].state_dict().items()}
    small = random_batch(0)
    batch = Batch(*(side.repeat(1, 1, 2, 2) for side in (small.real_a, small.real_b)))
    assert ours.measures(batch)["diversity"] > 0
    after = ours.networks["generator"].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert ours.networks["generator"].training
    first_of_code = ours.networks["generator"].down
    with torch.no_grad():
        for layer in first_of_code:
            layer.conv.weight[:, -8:] = 0  # where z enters
    assert ours.measures(batch)["diversity"] == 0


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
