"""The methods as everyone writes them: plain eager PyTorch, one forward pass for each term.

The formulas are also what the tests hold the package's steps to.
"""

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor, nn

from benchmarks import stock
from imgtranslate.data.loader import Batch
from imgtranslate.settings.config import (
    CutConfig,
    MultiScaleConfig,
    PatchGanConfig,
    ResidualEncoderConfig,
    ResnetConfig,
    Settings,
    UnetConfig,
)

Losses = dict[str, Tensor]
Networks = dict[str, nn.Module]


def gan(logits: Tensor, target: float, mode: str) -> Tensor:
    """Of section 2 of the methods; a critic's sign comes from the target."""
    match mode:
        case "lsgan":
            return ((logits - target) ** 2).mean()
        case "vanilla":
            return F.binary_cross_entropy(torch.sigmoid(logits), torch.full_like(logits, target))
        case "hinge":
            return torch.clamp(1 - logits if target else 1 + logits, min=0).mean()
        case _:
            return -logits.mean() if target else logits.mean()


def generator_gan(logits: Tensor, mode: str) -> Tensor:
    """What a generator pays."""
    return -logits.mean() if mode in ("hinge", "wgangp") else gan(logits, 1.0, mode)


class TextbookPool:
    """The image history, image by image; draws as ours does."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def query(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """Exchange new fakes for a mix of new and stored ones."""
        out = []
        for fake in fakes:
            swap, slot = rng.random() < 0.5, int(rng.integers(self.size))
            if len(self.images) < self.size:
                self.images.append(fake.clone())
                out.append(fake)
            elif swap:
                out.append(self.images[slot].clone())
                self.images[slot] = fake.clone()
            else:
                out.append(fake)
        return torch.stack(out)


def descend(losses: Losses, *optimizers: torch.optim.Optimizer) -> None:
    """One step of each optimizer down the sum."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    for optimizer in optimizers:
        optimizer.step()


def adam(*networks: nn.Module, lr: float = 1e-3) -> torch.optim.Adam:
    """Adam with the papers' moments."""
    parameters = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.999))


class Textbook(Protocol):
    """One method with its networks, by the names of ours."""

    nets: Networks

    def step(self, batch: Batch, rng: np.random.Generator) -> Losses: ...  # noqa: D102


class CycleGan:
    """arXiv 1703.10593 with the identity loss, pools and least squares."""

    def __init__(self, settings: Settings) -> None:
        names = ("generator_ab", "generator_ba")
        self.nets = {name: _generator(settings) for name in names}
        self.nets |= {f"discriminator_{side}": _discriminator(settings, 3) for side in "ab"}
        self.pool_a, self.pool_b = TextbookPool(50), TextbookPool(50)
        self.judges = (self.nets["discriminator_a"], self.nets["discriminator_b"])
        self.generators = adam(*(self.nets[name] for name in names), lr=settings.optimizer.lr)
        self.discriminators = adam(*self.judges, lr=settings.optimizer.lr)

    def step(self, batch: Batch, rng: np.random.Generator) -> Losses:
        """The generators, then the discriminators."""
        a, b = batch.real_a, batch.real_b
        ab, ba = self.nets["generator_ab"], self.nets["generator_ba"]
        judge_a, judge_b = self.judges
        _let_learn(self.judges, False)
        fake_b = ab(a)
        rec_a = ba(fake_b)
        fake_a = ba(b)
        rec_b = ab(fake_a)
        losses = {
            "identity_b": (ab(b) - b).abs().mean() * 5.0,
            "identity_a": (ba(a) - a).abs().mean() * 5.0,
            "gan_ab": gan(judge_b(fake_b), 1.0, "lsgan"),
            "gan_ba": gan(judge_a(fake_a), 1.0, "lsgan"),
            "cycle_a": (rec_a - a).abs().mean() * 10.0,
            "cycle_b": (rec_b - b).abs().mean() * 10.0,
        }
        descend(losses, self.generators)

        _let_learn(self.judges, True)
        pooled_a = self.pool_a.query(fake_a.detach(), rng)
        pooled_b = self.pool_b.query(fake_b.detach(), rng)
        judged = {
            "discriminator_a": 0.5 * _judge(judge_a, a, pooled_a, "lsgan"),
            "discriminator_b": 0.5 * _judge(judge_b, b, pooled_b, "lsgan"),
        }
        descend(judged, self.discriminators)
        return losses | judged


class Pix2Pix:
    """arXiv 1611.07004: the discriminator first, which sees the input beside the output."""

    def __init__(self, settings: Settings) -> None:
        self.nets = {
            "generator": _generator(settings),
            "discriminator": _discriminator(settings, 6),
        }
        self.generators = adam(self.nets["generator"], lr=settings.optimizer.lr)
        self.discriminators = adam(self.nets["discriminator"], lr=settings.optimizer.lr)

    def step(self, batch: Batch, rng: np.random.Generator) -> Losses:  # noqa: ARG002
        """The discriminator, then the generator."""
        a, b, judge = batch.real_a, batch.real_b, self.nets["discriminator"]
        fake = self.nets["generator"](a)
        _let_learn([judge], True)
        real, seen = torch.cat([a, b], 1), torch.cat([a, fake.detach()], 1)
        judged = {"discriminator": 0.5 * _judge(judge, real, seen, "vanilla")}
        descend(judged, self.discriminators)

        _let_learn([judge], False)
        losses = {
            "gan": generator_gan(judge(torch.cat([a, fake], 1)), "vanilla"),
            "l1": (fake - b).abs().mean() * 100.0,
        }
        descend(losses, self.generators)
        return losses | judged


class BicycleGan:
    """arXiv 1711.11586: B -> z -> B and z -> B -> z."""

    def __init__(self, settings: Settings) -> None:
        self.nets = {"generator": _generator(settings), "encoder": _encoder(settings)}
        self.generators = adam(*self.nets.values(), lr=settings.optimizer.lr)
        names = ("discriminator_vae", "discriminator_lr")
        self.nets |= {name: _discriminator(settings, 3) for name in names}
        self.judges = [self.nets[name] for name in names]
        self.discriminators = adam(*self.judges, lr=settings.optimizer.lr)

    def step(self, batch: Batch, rng: np.random.Generator) -> Losses:
        """Generator and encoder, then the discriminators."""
        generator, encoder = self.nets["generator"], self.nets["encoder"]
        half = -(-len(batch.real_a) // 2)
        a, b, other_b = batch.real_a[:half], batch.real_b[:half], batch.real_b[-half:]
        epsilon, z = (torch.from_numpy(rng.standard_normal((half, 8))).to(a) for _ in range(2))
        judge_vae, judge_lr = self.judges
        _let_learn(self.judges, False)
        mean, log_variance = encoder(b)
        fake_vae = generator(a, mean + (0.5 * log_variance).exp() * epsilon)
        fake_lr = generator(a, z)
        _let_learn([encoder], False)
        found, _ = encoder(fake_lr)
        _let_learn([encoder], True)
        kl = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(1).mean()
        losses = {
            "kl": kl * 0.01,
            "gan_vae": _over_scales(judge_vae(fake_vae), 1.0),
            "l1": (fake_vae - b).abs().mean() * 10.0,
            "gan_lr": _over_scales(judge_lr(fake_lr), 1.0),
            "latent": (found - z).abs().mean() * 0.5,
        }
        descend(losses, self.generators)

        _let_learn(self.judges, True)
        vae, lr = fake_vae.detach(), fake_lr.detach()
        judged = {
            "discriminator_vae": _over_scales(judge_vae(b), 1.0)
            + _over_scales(judge_vae(vae), 0.0),
            "discriminator_lr": _over_scales(judge_lr(other_b), 1.0)
            + _over_scales(judge_lr(lr), 0.0),
        }
        descend(judged, self.discriminators)
        return losses | judged


class Cut:
    """arXiv 2007.15651: one direction, by contrast of patches; FastCUT mirrors some steps."""

    def __init__(self, settings: Settings) -> None:
        if not isinstance(settings.method, CutConfig):
            raise TypeError("settings of another method")
        self.method = settings.method
        self.nets = {"generator": _generator(settings)}
        self.layers, widths = _contrasted_layers(settings)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256)) for width in widths
        )
        self.nets |= {"projection": self.mlps, "discriminator": _discriminator(settings, 3)}
        learning = (self.nets["generator"], self.mlps)
        self.generators = adam(*learning, lr=settings.optimizer.lr)
        self.discriminators = adam(self.nets["discriminator"], lr=settings.optimizer.lr)

    def step(self, batch: Batch, rng: np.random.Generator) -> Losses:
        """The discriminator, then the generator and the projection."""
        a, b, judge = batch.real_a, batch.real_b, self.nets["discriminator"]
        generator, identity = self.nets["generator"], self.method.nce_identity
        mirrored = self.method.flip_equivariance and rng.random() < 0.5
        fake = generator(a.flip(3) if mirrored else a)
        same = generator(b.flip(3) if mirrored else b) if identity else None
        _let_learn([judge], True)
        judged = {"discriminator": 0.5 * _judge(judge, b, fake.detach(), "lsgan")}
        descend(judged, self.discriminators)

        _let_learn([judge], False)
        weight = self.method.lambda_nce / (2 if identity else 1)
        losses = {
            "gan": gan(judge(fake), 1.0, "lsgan"),
            "nce": self._contrast(a, fake, rng, mirrored=mirrored) * weight,
        }
        if same is not None:
            losses["nce_identity"] = self._contrast(b, same, rng, mirrored=mirrored) * weight
        descend(losses, self.generators)
        return losses | judged

    def _contrast(
        self, picture: Tensor, made: Tensor, rng: np.random.Generator, *, mirrored: bool
    ) -> Tensor:
        """Equation 4, with the keys of the unmirrored picture."""
        each = []
        found = zip(self._features(picture), self._features(made), self.mlps, strict=True)
        for key_map, query_map, mlp in found:
            if mirrored:
                query_map = query_map.flip(3)
            count = key_map.shape[2] * key_map.shape[3]
            size = min(self.method.nce_patches, count)
            places = rng.choice(count, size=size, replace=False, shuffle=False)
            keys, queries = (
                _unit(mlp(features.flatten(2).transpose(1, 2)[:, places]))
                for features in (key_map, query_map)
            )
            logits = queries @ keys.detach().transpose(1, 2) / self.method.nce_temperature
            own = logits.diagonal(dim1=1, dim2=2)
            each.append((logits.logsumexp(2) - own).mean())
        return torch.stack(each).mean()

    def _features(self, x: Tensor) -> list[Tensor]:
        found = []
        for index, layer in enumerate(self.nets["generator"].children()):
            x = layer(x)
            if index in self.layers:
                found.append(x)
            if index == self.layers[-1]:
                break
        return found


def build_textbook(settings: Settings) -> Textbook:
    """Build a method with the papers' weights of losses; its networks' weights are torch's."""
    match settings.method.kind:
        case "cyclegan":
            return CycleGan(settings)
        case "pix2pix":
            return Pix2Pix(settings)
        case "bicyclegan":
            return BicycleGan(settings)
        case "cut":
            return Cut(settings)


def _judge(judge: nn.Module, real: Tensor, fake: Tensor, mode: str) -> Tensor:
    return gan(judge(real), 1.0, mode) + gan(judge(fake), 0.0, mode)


def _unit(vectors: Tensor) -> Tensor:
    """Divide by the length; the published form has no gradient at 0, here it is 0."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return torch.where(length > 0, vectors / (length + 1e-7), 0.0)


def _contrasted_layers(settings: Settings) -> tuple[list[int], list[int]]:
    """Return indices and channels: the padded picture, two convolutions, blocks 1 and 5."""
    config = settings.generator
    if not isinstance(config, ResnetConfig):
        raise TypeError("not the paper's generator")
    c, first = config.base_channels, 12 if config.antialias else 10
    last = first + max(0, min(4, config.num_blocks - 2))
    indices = [0, 4, 8 if config.antialias else 7, *sorted({first, last})]
    return indices, [3, 2 * c, 4 * c, 4 * c, 4 * c][: len(indices)]


def _over_scales(maps: list[Tensor], target: float) -> Tensor:
    return torch.stack([gan(logits, target, "lsgan") for logits in maps]).sum()


def _let_learn(networks: Iterable[nn.Module], on: bool) -> None:
    for network in networks:
        for parameter in network.parameters():
            parameter.requires_grad = on


def _generator(settings: Settings) -> nn.Module:
    match settings.generator:
        case ResnetConfig() as config:
            return stock.resnet(
                in_channels=3,
                out_channels=3,
                base_channels=config.base_channels,
                blocks=config.num_blocks,
                antialias=config.antialias,
            )
        case UnetConfig() as config:
            return stock.unet(
                in_channels=3,
                out_channels=3,
                base_channels=config.base_channels,
                depth=config.depth,
                latent_dim=config.latent_dim,
                skip_first=config.skip_order == "skip_first",
            )


def _discriminator(settings: Settings, in_channels: int) -> nn.Module:
    match settings.discriminator:
        case PatchGanConfig() as config:
            return stock.patchgan(
                in_channels=in_channels,
                base_channels=config.base_channels,
                layers=config.num_layers,
                antialias=config.antialias,
            )
        case MultiScaleConfig() as config:
            return stock.Scales(
                in_channels=in_channels,
                base_channels=config.base_channels,
                layers=config.num_layers,
                scales=config.num_scales,
            )
        case other:
            raise ValueError(f"{other.kind} is none of the papers' discriminators")


def _encoder(settings: Settings) -> nn.Module:
    match settings.encoder:
        case ResidualEncoderConfig() as config:
            return stock.Encoder(
                in_channels=3,
                base_channels=config.base_channels,
                blocks=config.num_blocks,
                latent_dim=8,
            )
        case other:
            raise ValueError(f"{other} is not the paper's encoder")
