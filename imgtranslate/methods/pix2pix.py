"""pix2pix (arXiv 1611.07004): a generator that learns from pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_generator
from imgtranslate.losses import l1
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup
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
    frozen,
    mean_losses,
    update,
)
from imgtranslate.settings.config import Pix2PixConfig, Settings, latent_dim


@dataclass(frozen=True, kw_only=True)
class Pix2Pix:
    """A generator, optionally with a random code z, and a discriminator of pairs."""

    models: ClassVar[Models] = {"ab": ("generator",)}

    config: Pix2PixConfig
    generator: nn.Module
    discriminator: nn.Module | None  # None if its weight is 0
    pool: ImagePool
    adversarial: AdversarialLoss
    latent_dim: int

    def step(
        self, micro_batches: Sequence[MicroBatch], optimizers: Optimizers, *, group: ProcessGroup
    ) -> Losses:
        """Update the discriminator, then the generator against it (section 3.3)."""
        count, terms, fakes = len(micro_batches), list[Losses](), list[Tensor]()
        for batch in micro_batches:
            with batch.dropout():
                fakes.append(self.translate(batch))

        # Discriminator: equation 1 (or 2)
        if self.discriminator is not None:
            for batch, fake_b in zip(micro_batches, fakes, strict=True):
                losses = self.discriminator_losses(batch, fake_b.detach(), group=group)
                terms.append(backward(losses, micro_batches=count))
            update(optimizers["discriminators"], group=group)

        # Generator: equation 4, on the same fakes, with the frozen discriminator
        with frozen(*self.discriminators().values()):
            for batch, fake_b in zip(micro_batches, fakes, strict=True):
                with batch.dropout():  # recomputed layers need their masks again
                    losses = self.generator_losses(batch, fake_b)
                    terms.append(backward(losses, micro_batches=count))
        update(optimizers["generators"], group=group)
        return mean_losses(terms, group=group)

    def translate(self, batch: MicroBatch) -> Tensor:
        """Translate A, with a random code if the generator takes one."""
        z = [batch.noise(self.latent_dim)] if self.latent_dim else []
        fake_b: Tensor = self.generator(batch.real_a, *z)
        return fake_b

    def generator_losses(self, batch: MicroBatch, fake_b: Tensor) -> Losses:
        """Return the weighted terms of the generator: equations 1 (or 2) and 3."""
        losses: Losses = {}
        if self.discriminator is not None:
            judged = self._judged(batch.real_a, fake_b)
            gan = self.adversarial.of_generator(self.discriminator, judged)
            losses["gan"] = gan * self.config.lambda_gan
        if self.config.lambda_l1:
            losses["l1"] = l1(fake_b, batch.real_b) * self.config.lambda_l1
        return losses

    def discriminator_losses(
        self, batch: MicroBatch, fake_b: Tensor, *, group: ProcessGroup = SINGLE_PROCESS
    ) -> Losses:
        """Return half the sum of real and fake term."""
        if self.discriminator is None:
            return {}
        real = self._judged(batch.real_a, batch.real_b)
        fake = self._judged(batch.real_a, fake_b)
        fake = self.pool.query(fake, batch.rng, rows=batch.rows, group=group)
        loss = self.adversarial.of_discriminator(self.discriminator, real, fake, batch)
        return {"discriminator": 0.5 * loss}

    def discriminators(self) -> Networks:
        """Return the discriminator by name, if its weight is above 0."""
        return {} if self.discriminator is None else {"discriminator": self.discriminator}

    def optimized(self) -> dict[str, Networks]:
        """Return the networks of two optimizers: the generator, and the discriminator."""
        return {
            "generators": {"generator": self.generator},
            "discriminators": self.discriminators(),
        }

    def pools(self) -> dict[str, ImagePool]:
        """Return the image pool, which stores inputs of the discriminator."""
        return {"pool": self.pool}

    def _judged(self, real_a: Tensor, image_b: Tensor) -> Tensor:
        """Return the input of the discriminator: the pair, or the output alone."""
        return torch.cat([real_a, image_b], dim=1) if self.config.conditional else image_b


def build_pix2pix(config: Pix2PixConfig, settings: Settings) -> Pix2Pix:
    """Build the networks of pix2pix, uninitialised."""
    data = settings.data
    seen = data.channels_b + (data.channels_a if config.conditional else 0)
    return Pix2Pix(
        config=config,
        generator=build_generator(
            settings.generator,
            in_channels=data.channels_a,
            out_channels=data.channels_b,
            recompute=settings.train.recompute,
        ),
        discriminator=build_discriminator(settings.discriminator, in_channels=seen)
        if config.lambda_gan
        else None,
        pool=ImagePool(config.pool_size),
        adversarial=build_adversarial_loss(settings),
        latent_dim=latent_dim(settings.generator),
    )
