"""BicycleGAN (arXiv 1711.11586): many outputs for one input, chosen by a latent code z."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_encoder, build_generator
from imgtranslate.losses import kl_divergence, l1, reparameterise
from imgtranslate.methods.process_group import ProcessGroup
from imgtranslate.methods.step import (
    AdversarialLoss,
    ImagePool,
    Losses,
    MicroBatch,
    Models,
    Networks,
    Optimizers,
    backward,
    build_adversarial_loss,
    detached,
    frozen,
    mean_losses,
    update,
)
from imgtranslate.settings.config import BicycleGanConfig, Settings, latent_dim


@dataclass(frozen=True)
class Fakes:
    """The detached fakes of one micro-batch, by path; a fake that no term needs is not made."""

    vae: Tensor | None
    lr: Tensor | None


@dataclass(frozen=True, kw_only=True)
class BicycleGan:
    """A generator with a latent code, an encoder, and a discriminator for each of two paths.

    cVAE-GAN is B -> z -> B with the code of the true output, cLR-GAN is z -> B -> z with a random
    code. The first half of a batch takes both paths. The second half provides the real pictures for
    the discriminator of cLR-GAN, so that the two discriminators see different ones. The halves of
    an odd batch share the middle picture, so every picture is used and a batch of 1 works.
    """

    models: ClassVar[Models] = {"ab": ("generator", "encoder")}

    config: BicycleGanConfig
    generator: nn.Module
    encoder: nn.Module
    discriminator_vae: nn.Module | None
    discriminator_lr: nn.Module | None  # the same network as discriminator_vae if shared
    adversarial: AdversarialLoss
    latent_dim: int
    stackable: bool  # whether images of a batch are independent: the generator has no batch norm

    def step(
        self, micro_batches: Sequence[MicroBatch], optimizers: Optimizers, *, group: ProcessGroup
    ) -> Losses:
        """Update generator and encoder, then the discriminators on the same fakes."""
        count, terms, fakes = len(micro_batches), list[Losses](), list[Fakes]()

        # Generator and encoder: equation 8, with frozen discriminators
        with frozen(*self.discriminators().values()):
            for batch in micro_batches:
                with batch.dropout():
                    losses, fake = self.generator_losses(batch)
                    terms.append(backward(losses, micro_batches=count))
                fakes.append(fake)
        update(optimizers["generators"], group=group)

        # Discriminators: equations 3 and 7, each for its path
        if self.discriminators():
            for batch, fake in zip(micro_batches, fakes, strict=True):
                losses = self.discriminator_losses(batch, fake)
                terms.append(backward(losses, micro_batches=count))
            update(optimizers["discriminators"], group=group)
        return mean_losses(terms, group=group)

    def generator_losses(self, batch: MicroBatch) -> tuple[Losses, Fakes]:
        """Return the weighted terms of generator and encoder, equations 3 to 8.

        The encoder learns from the terms of cVAE-GAN only. If it learnt from the latent term too,
        encoder and generator would hide the code in the image. With cLR-GAN alone it has no other
        term.
        """
        (first, _), config, losses = _halves(batch), self.config, Losses()
        makes_vae = config.paths != "clr" and (config.lambda_gan or config.lambda_l1)
        makes_lr = config.paths != "cvae" and (config.lambda_gan or config.lambda_latent)

        # Codes: encoded from the true output, and random
        z_vae, z_lr = first.noise(self.latent_dim), first.noise(self.latent_dim)
        if makes_vae or (config.paths != "clr" and config.lambda_kl):
            mean, log_variance = self.encoder(first.real_b)
            z_vae = reparameterise(mean, log_variance, z_vae)
            if config.lambda_kl:
                losses["kl"] = kl_divergence(mean, log_variance) * config.lambda_kl  # equation 5
        fake_vae, fake_lr = self._translate(
            first.real_a, z_vae if makes_vae else None, z_lr if makes_lr else None
        )

        # cVAE-GAN: the true output, reconstructed from its own code
        if fake_vae is not None and self.discriminator_vae is not None:
            judged = self._judged(first.real_a, fake_vae)
            gan_vae = self.adversarial.of_generator(self.discriminator_vae, judged)
            losses["gan_vae"] = gan_vae * config.lambda_gan  # equation 3
        if fake_vae is not None and config.lambda_l1:
            losses["l1"] = l1(fake_vae, first.real_b) * config.lambda_l1  # equation 4

        # cLR-GAN: a random code, reconstructed from the image made with it
        if fake_lr is not None and self.discriminator_lr is not None:
            judged = self._judged(first.real_a, fake_lr)
            gan_lr = self.adversarial.of_generator(self.discriminator_lr, judged)
            losses["gan_lr"] = gan_lr * config.lambda_gan  # equation 7
        if fake_lr is not None and config.lambda_latent:
            with frozen(*([] if config.paths == "clr" else [self.encoder])):
                mean, _ = self.encoder(fake_lr)
            losses["latent"] = l1(mean, z_lr) * config.lambda_latent  # equation 6
        return losses, Fakes(vae=detached(fake_vae), lr=detached(fake_lr))

    def discriminator_losses(self, batch: MicroBatch, fakes: Fakes) -> Losses:
        """Return the sum of real and fake term of each discriminator, not halved."""
        (first, second), losses = _halves(batch), Losses()
        for name, discriminator, half, fake_b in (
            ("discriminator_vae", self.discriminator_vae, first, fakes.vae),
            ("discriminator_lr", self.discriminator_lr, second, fakes.lr),
        ):
            if discriminator is not None and fake_b is not None:
                real = self._judged(half.real_a, half.real_b)
                fake = self._judged(first.real_a, fake_b)
                losses[name] = self.adversarial.of_discriminator(discriminator, real, fake, first)
        return losses

    def discriminators(self) -> Networks:
        """Return the discriminators by name; a shared one appears once."""
        found: Networks = {}
        if self.discriminator_vae is not None:
            found["discriminator_vae"] = self.discriminator_vae
        if self.discriminator_lr not in (None, self.discriminator_vae):
            found["discriminator_lr"] = self.discriminator_lr
        return found

    def optimized(self) -> dict[str, Networks]:
        """Return the networks of two optimizers: generator and encoder, and the discriminators.

        With Adam, one optimizer for two networks is equivalent to one each.
        """
        return {
            "generators": {"generator": self.generator, "encoder": self.encoder},
            "discriminators": self.discriminators(),
        }

    def pools(self) -> dict[str, ImagePool]:
        """Return no pools: BicycleGAN uses none."""
        return {}

    def _translate(
        self, real_a: Tensor, z_vae: Tensor | None, z_lr: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Translate with each given code, in one pass if that gives the same result."""
        if self.stackable and z_vae is not None and z_lr is not None:
            both = self.generator(torch.cat([real_a, real_a]), torch.cat([z_vae, z_lr]))
            fake_vae, fake_lr = both.chunk(2)
            return fake_vae, fake_lr
        fake = None if z_vae is None else self.generator(real_a, z_vae)
        return fake, None if z_lr is None else self.generator(real_a, z_lr)

    def _judged(self, real_a: Tensor, image_b: Tensor) -> Tensor:
        """Return the input of a discriminator: the output alone, or input and output."""
        return torch.cat([real_a, image_b], dim=1) if self.config.conditional else image_b


def build_bicyclegan(config: BicycleGanConfig, settings: Settings) -> BicycleGan:
    """Build the networks of BicycleGAN, uninitialised."""
    data, numbers = settings.data, latent_dim(settings.generator)
    if settings.encoder is None:  # ``check_settings`` refuses it
        raise TypeError("bicyclegan without an encoder")
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
            settings.generator,
            in_channels=data.channels_a,
            out_channels=data.channels_b,
            recompute=settings.train.recompute,
        ),
        encoder=build_encoder(settings.encoder, in_channels=data.channels_b, latent_dim=numbers),
        discriminator_vae=vae,
        discriminator_lr=lr if config.paths != "cvae" else None,
        adversarial=build_adversarial_loss(settings),
        latent_dim=numbers,
        stackable=settings.generator.norm != "batch",
    )


def _halves(batch: MicroBatch) -> tuple[MicroBatch, MicroBatch]:
    """Divide a micro-batch; both halves of an odd one contain the middle picture."""
    half = (len(batch.real_a) + 1) // 2
    return (
        replace(batch, real_a=batch.real_a[:half], real_b=batch.real_b[:half]),
        replace(batch, real_a=batch.real_a[-half:], real_b=batch.real_b[-half:]),
    )
