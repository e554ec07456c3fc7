"""pix2pix (arXiv 1611.07004): a translator learnt from pairs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_generator
from imgtranslate.data.loader import Batch
from imgtranslate.losses import l1
from imgtranslate.methods.draws import Draws
from imgtranslate.methods.judging import Judging
from imgtranslate.methods.pool import ImagePool
from imgtranslate.methods.step import Losses, Networks, Phases, frozen, noise
from imgtranslate.settings.config import Pix2PixConfig, Settings, latent_dim


@dataclass(frozen=True, kw_only=True)
class Pix2Pix:
    """A generator, with a code of noise if it takes one, and a discriminator of pairs."""

    config: Pix2PixConfig
    generator: nn.Module
    discriminator: nn.Module | None  # not there if its weight is 0
    pool: ImagePool
    judging: Judging
    latent_dim: int

    def optimized(self) -> dict[str, Networks]:
        """One optimizer each."""
        found: dict[str, Networks] = {"generators": {"generator": self.generator}}
        if self.discriminator is not None:
            found["discriminators"] = {"discriminator": self.discriminator}
        return found

    def models(self) -> dict[str, tuple[str, ...]]:
        """A translator from A to B."""
        return {"ab": ("generator",)}

    def pools(self) -> dict[str, ImagePool]:
        """What the discriminator remembers, of what it sees."""
        return {"pool": self.pool}

    def step(
        self,
        batch: Batch,
        rng: Draws,
        *,
        number: int,  # noqa: ARG002 - every step is alike
    ) -> Phases:
        """The discriminator first, then the generator judged by the updated one (section 3.3)."""
        fake_b = self.translate(batch.real_a, rng)

        yield "discriminators", self.discriminator_losses(batch, fake_b.detach(), rng)

        with frozen(*([self.discriminator] if self.discriminator is not None else [])):
            losses = self.generator_losses(batch, fake_b)
        yield "generators", losses

    def measures(self, batch: Batch, rng: Draws) -> Losses:
        """How far apart two samples of one input are, a fraction of the range: 0 ignores z."""
        if not self.latent_dim:
            return {}
        one, other = (self.translate(batch.real_a, rng) for _ in range(2))
        return {"diversity": l1(one, other) / 2}

    def translate(self, real_a: Tensor, rng: Draws) -> Tensor:
        """Translate with a code of noise, if the generator takes one."""
        count, numbers = real_a.shape[0], self.latent_dim
        z = [noise(rng, count, numbers, like=real_a)] if numbers else []
        fake_b: Tensor = self.generator(real_a, *z)
        return fake_b

    def generator_losses(self, batch: Batch, fake_b: Tensor) -> Losses:
        """Weighted terms of the generator: equations 1 (or 2) and 3."""
        losses: Losses = {}
        if self.discriminator is not None:
            gan = self.judging.adversarial(self.discriminator, self._seen(batch.real_a, fake_b))
            losses["gan"] = gan * self.config.lambda_gan
        if self.config.lambda_l1:
            losses["l1"] = l1(fake_b, batch.real_b) * self.config.lambda_l1
        return losses

    def discriminator_losses(self, batch: Batch, fake_b: Tensor, rng: Draws) -> Losses:
        """Half the sum of the real and the fake term."""
        if self.discriminator is None:
            return {}
        fake = self.pool.query(self._seen(batch.real_a, fake_b), rng)
        real = self._seen(batch.real_a, batch.real_b)
        return {"discriminator": 0.5 * self.judging.judge(self.discriminator, real, fake, rng)}

    def _seen(self, real_a: Tensor, image_b: Tensor) -> Tensor:
        """What the discriminator sees: the input beside the output, or the output alone."""
        return torch.cat([real_a, image_b], dim=1) if self.config.conditional else image_b


def build_pix2pix(settings: Settings) -> Pix2Pix:
    """Build the networks of pix2pix, uninitialised."""
    config, data = settings.method, settings.data
    if not isinstance(config, Pix2PixConfig):
        raise TypeError(f"settings of {config.kind}")
    seen = data.channels_b + (data.channels_a if config.conditional else 0)
    return Pix2Pix(
        config=config,
        generator=build_generator(
            settings.generator, in_channels=data.channels_a, out_channels=data.channels_b
        ),
        discriminator=build_discriminator(settings.discriminator, in_channels=seen)
        if config.lambda_gan
        else None,
        pool=ImagePool(config.pool_size),
        judging=Judging(
            gan_mode=config.gan_mode,
            lambda_penalty=config.lambda_penalty,
            batched=settings.discriminator.norm != "batch",
        ),
        latent_dim=latent_dim(settings.generator),
    )
