"""CycleGAN (arXiv 1703.10593): two generators that invert each other."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    Networks,
    Optimizers,
    backward,
    build_adversarial_loss,
    detached,
    frozen,
    mean_losses,
    update,
)
from imgtranslate.settings.config import CycleGanConfig, Direction, Settings


@dataclass(frozen=True)
class Fakes:
    """The detached fakes of one micro-batch; a fake that no term needs is not made."""

    fake_a: Tensor | None
    fake_b: Tensor | None


@dataclass(frozen=True, kw_only=True)
class CycleGan:
    """The generators ab and ba and the discriminators a and b, with the joint update.

    Discriminator a judges images of A. A discriminator with a weight of 0 is absent.
    """

    config: CycleGanConfig
    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module | None
    discriminator_b: nn.Module | None
    pool_a: ImagePool
    pool_b: ImagePool
    adversarial: AdversarialLoss
    identity: bool  # whether A and B have the same number of channels
    stackable: (
        bool  # whether the generators have no batch norm, so that images of a batch are independent
    )

    def step(
        self, micro_batches: Sequence[MicroBatch], optimizers: Optimizers, *, group: ProcessGroup
    ) -> Losses:
        """Update both generators, then both discriminators on the same fakes."""
        count, terms, fakes = len(micro_batches), list[Losses](), list[Fakes]()

        # Generators: equations 1 to 3 and the identity term, with frozen discriminators
        with frozen(*self.discriminators().values()):
            for batch in micro_batches:
                with batch.dropout():
                    losses, fake = self.generator_losses(batch)
                    terms.append(backward(losses, micro_batches=count))
                fakes.append(fake)
        update(optimizers["generators"], group=group)

        # Discriminators: equation 1, on these fakes or earlier ones from the image pools
        if self.discriminators():
            for batch, fake in zip(micro_batches, fakes, strict=True):
                losses = self.discriminator_losses(batch, fake, group=group)
                terms.append(backward(losses, micro_batches=count))
            update(optimizers["discriminators"], group=group)
        return mean_losses(terms, group=group)

    def generator_losses(self, batch: MicroBatch) -> tuple[Losses, Fakes]:
        """Return the weighted terms of both generators: equations 1 to 3, and section 5.2."""
        config, (real_a, real_b) = self.config, (batch.real_a, batch.real_b)
        lambda_idt_a = self.lambda_identity(config.lambda_a)
        lambda_idt_b = self.lambda_identity(config.lambda_b)

        # Translations, except those that no term with a weight needs
        fake_b, idt_b = self._translate(
            self.generator_ab,
            real_a if config.lambda_gan_ab or config.lambda_a else None,
            real_b if lambda_idt_b else None,
        )
        fake_a, idt_a, rec_a = self._translate(
            self.generator_ba,
            real_b if config.lambda_gan_ba or config.lambda_b else None,
            real_a if lambda_idt_a else None,
            fake_b if config.lambda_a else None,
        )
        (rec_b,) = self._translate(self.generator_ab, fake_a if config.lambda_b else None)

        # Terms
        losses: Losses = {}
        if self.discriminator_b is not None and fake_b is not None:
            gan_ab = self.adversarial.of_generator(self.discriminator_b, fake_b)
            losses["gan_ab"] = gan_ab * config.lambda_gan_ab
        if self.discriminator_a is not None and fake_a is not None:
            gan_ba = self.adversarial.of_generator(self.discriminator_a, fake_a)
            losses["gan_ba"] = gan_ba * config.lambda_gan_ba
        if rec_a is not None:
            losses["cycle_a"] = l1(rec_a, real_a) * config.lambda_a
        if rec_b is not None:
            losses["cycle_b"] = l1(rec_b, real_b) * config.lambda_b
        if idt_a is not None:
            losses["identity_a"] = l1(idt_a, real_a) * lambda_idt_a
        if idt_b is not None:
            losses["identity_b"] = l1(idt_b, real_b) * lambda_idt_b
        return losses, Fakes(fake_a=detached(fake_a), fake_b=detached(fake_b))

    def lambda_identity(self, lambda_cycle: float) -> float:
        """Return the weight of the identity loss of a domain, relative to that of its cycle."""
        return self.config.lambda_identity * lambda_cycle * self.identity

    def discriminator_losses(
        self, batch: MicroBatch, fakes: Fakes, *, group: ProcessGroup = SINGLE_PROCESS
    ) -> Losses:
        """Return half the sum of real and fake term of each discriminator, with pooled fakes."""
        losses: Losses = {}
        if self.discriminator_a is not None and fakes.fake_a is not None:
            fake_a = self.pool_a.query(fakes.fake_a, batch.rng, rows=batch.rows, group=group)
            loss_a = self.adversarial.of_discriminator(
                self.discriminator_a, batch.real_a, fake_a, batch
            )
            losses["discriminator_a"] = 0.5 * loss_a
        if self.discriminator_b is not None and fakes.fake_b is not None:
            fake_b = self.pool_b.query(fakes.fake_b, batch.rng, rows=batch.rows, group=group)
            loss_b = self.adversarial.of_discriminator(
                self.discriminator_b, batch.real_b, fake_b, batch
            )
            losses["discriminator_b"] = 0.5 * loss_b
        return losses

    def generators(self) -> Networks:
        """Return both generators by name."""
        return {"generator_ab": self.generator_ab, "generator_ba": self.generator_ba}

    def discriminators(self) -> Networks:
        """Return the discriminators with a weight above 0, by name."""
        found = {"discriminator_a": self.discriminator_a, "discriminator_b": self.discriminator_b}
        return {name: network for name, network in found.items() if network is not None}

    def optimized(self) -> dict[str, Networks]:
        """Return the networks of two optimizers: the generators, and the discriminators."""
        return {"generators": self.generators(), "discriminators": self.discriminators()}

    def models(self) -> dict[Direction, tuple[str, ...]]:
        """Return the name of the generator of each direction."""
        return {"ab": ("generator_ab",), "ba": ("generator_ba",)}

    def pools(self) -> dict[str, ImagePool]:
        """Return the image pool of each discriminator."""
        return {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def _translate(self, generator: nn.Module, *images: Tensor | None) -> tuple[Tensor | None, ...]:
        """Translate the given images, in one pass if that gives the same result."""
        given = [image for image in images if image is not None]
        if self.stackable and len(given) > 1:
            made = iter(generator(torch.cat(given)).chunk(len(given)))
        else:
            made = (generator(image) for image in given)
        return tuple(None if image is None else next(made) for image in images)


def build_cyclegan(config: CycleGanConfig, settings: Settings) -> CycleGan:
    """Build the networks of CycleGAN, uninitialised, with the channels of each domain."""
    a, b = settings.data.channels_a, settings.data.channels_b
    generator, discriminator = settings.generator, settings.discriminator
    recompute = settings.train.recompute
    return CycleGan(
        config=config,
        generator_ab=build_generator(generator, in_channels=a, out_channels=b, recompute=recompute),
        generator_ba=build_generator(generator, in_channels=b, out_channels=a, recompute=recompute),
        discriminator_a=build_discriminator(discriminator, in_channels=a)
        if config.lambda_gan_ba
        else None,
        discriminator_b=build_discriminator(discriminator, in_channels=b)
        if config.lambda_gan_ab
        else None,
        pool_a=ImagePool(config.pool_size),
        pool_b=ImagePool(config.pool_size),
        adversarial=build_adversarial_loss(settings),
        identity=a == b,
        stackable=generator.norm != "batch",
    )
