"""BicycleGAN (arXiv 1711.11586): many outputs for one input, chosen by a code z."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_encoder, build_generator
from imgtranslate.data.loader import Batch
from imgtranslate.losses import kl_divergence, l1, reparameterise
from imgtranslate.methods.draws import Draws
from imgtranslate.methods.judging import Judging
from imgtranslate.methods.pool import ImagePool
from imgtranslate.methods.step import (
    Losses,
    Networks,
    Phases,
    detached,
    frozen,
    generators_first,
    noise,
)
from imgtranslate.settings.config import BicycleGanConfig, Settings, latent_dim


@dataclass(frozen=True)
class Fakes:
    """What the generator made in this step, detached; what no term needs is not made."""

    vae: Tensor | None
    lr: Tensor | None


@dataclass(frozen=True, kw_only=True)
class BicycleGan:
    """A generator with a code, an encoder, and a discriminator for each of two paths.

    cVAE-GAN: B -> z -> B, with the code of the true output. cLR-GAN: z -> B -> z, with a code
    of noise. Of a batch the first half goes through both; the real images of cLR-GAN's
    discriminator are the second half, so that its two discriminators see different ones. Halves
    overlap by one image where the batch is odd, so every image is used and a batch of 1 works.
    """

    config: BicycleGanConfig
    generator: nn.Module
    encoder: nn.Module
    discriminator_vae: nn.Module | None
    discriminator_lr: nn.Module | None  # the same as the other where one is shared
    judging: Judging
    latent_dim: int
    batched: bool  # whether the generator's images of one batch leave each other alone

    def discriminators(self) -> Networks:
        """The networks that the second optimizer steps."""
        found: Networks = {}
        if self.discriminator_vae is not None:
            found["discriminator_vae"] = self.discriminator_vae
        if self.discriminator_lr not in (None, self.discriminator_vae):
            found["discriminator_lr"] = self.discriminator_lr
        return found

    def optimized(self) -> dict[str, Networks]:
        """One for generator and encoder (for Adam as good as one each), one for the rest."""
        return {
            "generators": {"generator": self.generator, "encoder": self.encoder},
            "discriminators": self.discriminators(),
        }

    def models(self) -> dict[str, tuple[str, ...]]:
        """A translator from A to B, with the encoder that reads a look from a picture."""
        return {"ab": ("generator", "encoder")}

    def pools(self) -> dict[str, ImagePool]:
        """None."""
        return {}

    def step(
        self,
        batch: Batch,
        rng: Draws,
        *,
        number: int,  # noqa: ARG002 - every step is alike
    ) -> Phases:
        """Generator and encoder, then the discriminators on the same fakes."""
        return generators_first(self, batch, rng)

    def measures(self, batch: Batch, rng: Draws) -> Losses:
        """How far apart two samples of one input are, a fraction of the range: 0 ignores z."""
        count = batch.real_a.shape[0]
        codes = (noise(rng, count, self.latent_dim, like=batch.real_a) for _ in range(2))
        one, other = (self.generator(batch.real_a, z) for z in codes)
        return {"diversity": l1(one, other) / 2}

    def generator_losses(self, batch: Batch, rng: Draws) -> tuple[Losses, Fakes]:
        """Weighted terms of generator and encoder, equations 3 to 8.

        The encoder learns from cVAE-GAN's terms only: were it to learn from the latent term too,
        it and the generator would hide the code in the image. In cLR-GAN alone it has no other.
        """
        first, config, losses = _first_half(batch), self.config, Losses()
        count = len(first.real_a)
        z_vae, z_lr = (noise(rng, count, self.latent_dim, like=first.real_a) for _ in range(2))
        makes_vae = config.paths != "clr" and (config.lambda_gan or config.lambda_l1)
        makes_lr = config.paths != "cvae" and (config.lambda_gan or config.lambda_latent)
        if makes_vae or (config.paths != "clr" and config.lambda_kl):
            mean, log_variance = self.encoder(first.real_b)
            z_vae = reparameterise(mean, log_variance, z_vae)
            if config.lambda_kl:
                losses["kl"] = kl_divergence(mean, log_variance) * config.lambda_kl  # equation 5

        fake_vae, fake_lr = self._translate(
            first.real_a, z_vae if makes_vae else None, z_lr if makes_lr else None
        )
        if fake_vae is not None:
            losses |= self._vae_losses(first, fake_vae)
        if fake_lr is not None:
            losses |= self._lr_losses(first, fake_lr, z_lr)
        return losses, Fakes(vae=detached(fake_vae), lr=detached(fake_lr))

    def discriminator_losses(self, batch: Batch, fakes: Fakes, rng: Draws) -> Losses:
        """Real + fake, not halved, each discriminator on its path."""
        first, second = _first_half(batch), _second_half(batch)
        losses: Losses = {}
        if fakes.vae is not None and self.discriminator_vae is not None:
            losses["discriminator_vae"] = self.judging.judge(
                self.discriminator_vae,
                self._seen(first.real_a, first.real_b),
                self._seen(first.real_a, fakes.vae),
                rng,
            )
        if fakes.lr is not None and self.discriminator_lr is not None:
            losses["discriminator_lr"] = self.judging.judge(
                self.discriminator_lr,
                self._seen(second.real_a, second.real_b),
                self._seen(first.real_a, fakes.lr),
                rng,
            )
        return losses

    def _translate(
        self, real_a: Tensor, z_vae: Tensor | None, z_lr: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Translate with the codes there are: together where that is exact."""
        if self.batched and z_vae is not None and z_lr is not None:
            both = self.generator(torch.cat([real_a, real_a]), torch.cat([z_vae, z_lr]))
            fake_vae, fake_lr = both.chunk(2)
            return fake_vae, fake_lr
        fake = None if z_vae is None else self.generator(real_a, z_vae)
        return fake, None if z_lr is None else self.generator(real_a, z_lr)

    def _vae_losses(self, batch: Batch, fake: Tensor) -> Losses:
        """cVAE-GAN: the true output, made again from its own code."""
        config, losses = self.config, Losses()
        if self.discriminator_vae is not None:
            seen = self._seen(batch.real_a, fake)
            gan = self.judging.adversarial(self.discriminator_vae, seen)
            losses["gan_vae"] = gan * config.lambda_gan  # equation 3
        if config.lambda_l1:
            losses["l1"] = l1(fake, batch.real_b) * config.lambda_l1  # equation 4
        return losses

    def _lr_losses(self, batch: Batch, fake: Tensor, z: Tensor) -> Losses:
        """cLR-GAN: a code of noise, read again from what was made with it."""
        config, losses = self.config, Losses()
        if self.discriminator_lr is not None:
            seen = self._seen(batch.real_a, fake)
            gan = self.judging.adversarial(self.discriminator_lr, seen)
            losses["gan_lr"] = gan * config.lambda_gan  # equation 7
        if config.lambda_latent:
            with frozen(*([] if config.paths == "clr" else [self.encoder])):
                mean, _ = self.encoder(fake)
            losses["latent"] = l1(mean, z) * config.lambda_latent  # equation 6
        return losses

    def _seen(self, real_a: Tensor, image_b: Tensor) -> Tensor:
        """What a discriminator sees: the output alone, or the input beside it."""
        return torch.cat([real_a, image_b], dim=1) if self.config.conditional else image_b


def build_bicyclegan(settings: Settings) -> BicycleGan:
    """Build the networks of BicycleGAN, uninitialised."""
    config, data, numbers = settings.method, settings.data, latent_dim(settings.generator)
    if not isinstance(config, BicycleGanConfig) or settings.encoder is None:
        raise TypeError(f"settings of {config.kind}, encoder {settings.encoder}")
    seen = data.channels_b + (data.channels_a if config.conditional else 0)

    def discriminator(path: str) -> nn.Module | None:
        if not config.lambda_gan or config.paths not in ("both", path):
            return None
        return build_discriminator(settings.discriminator, in_channels=seen)

    vae = discriminator("cvae")
    lr = vae if config.shared_discriminator and vae is not None else discriminator("clr")
    return BicycleGan(
        config=config,
        generator=build_generator(
            settings.generator, in_channels=data.channels_a, out_channels=data.channels_b
        ),
        encoder=build_encoder(settings.encoder, in_channels=data.channels_b, latent_dim=numbers),
        discriminator_vae=vae,
        discriminator_lr=lr if config.paths != "cvae" else None,
        judging=Judging(
            gan_mode=config.gan_mode,
            lambda_penalty=config.lambda_penalty,
            batched=settings.discriminator.norm != "batch",
        ),
        latent_dim=numbers,
        batched=settings.generator.norm != "batch",
    )


def _first_half(batch: Batch) -> Batch:
    half = (len(batch.real_a) + 1) // 2
    return Batch(batch.real_a[:half], batch.real_b[:half])


def _second_half(batch: Batch) -> Batch:
    half = (len(batch.real_a) + 1) // 2
    return Batch(batch.real_a[-half:], batch.real_b[-half:])
