"""CycleGAN (arXiv 1703.10593): two generators that invert each other, and both orders of update."""

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
    detached,
    frozen,
    mean_losses,
    update,
)
from imgtranslate.settings.config import CycleGanConfig, Settings


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

    models: ClassVar[Models] = {"ab": ("generator_ab",), "ba": ("generator_ba",)}

    config: CycleGanConfig
    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module | None
    discriminator_b: nn.Module | None
    pool_a: ImagePool
    pool_b: ImagePool
    adversarial: AdversarialLoss
    identity: bool  # whether A and B have the same number of channels
    stackable: bool  # whether images of a batch are independent: the generators have no batch norm

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
        for name, discriminator, pool, real, fake in (
            ("discriminator_a", self.discriminator_a, self.pool_a, batch.real_a, fakes.fake_a),
            ("discriminator_b", self.discriminator_b, self.pool_b, batch.real_b, fakes.fake_b),
        ):
            if discriminator is not None and fake is not None:
                fake = pool.query(fake, batch.rng, rows=batch.rows, group=group)
                loss = self.adversarial.of_discriminator(discriminator, real, fake, batch)
                losses[name] = 0.5 * loss
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


@dataclass(frozen=True, kw_only=True)
class AlternatingCycleGan:
    """CycleGAN with four optimizers: the networks of ``joint``, updated one after the other.

    Each generator learns from its GAN term, its identity term and both cycles while the other
    networks are frozen. The discriminators learn every ``d_ratio`` steps, from the image pools;
    other steps do not use the pools.
    """

    joint: CycleGan
    models: ClassVar[Models] = CycleGan.models

    def step(
        self, micro_batches: Sequence[MicroBatch], optimizers: Optimizers, *, group: ProcessGroup
    ) -> Losses:
        """Update G_ab, then G_ba, and every ``d_ratio`` steps D_b and D_a."""
        joint, count, terms = self.joint, len(micro_batches), list[Losses]()
        networks = joint.generators() | joint.discriminators()
        fakes_a, fakes_b = list[Tensor | None](), list[Tensor | None]()

        # Generators: G_ab, then G_ba with the updated G_ab; the other networks are frozen
        for learning, direction, fakes in (
            ("generator_ab", "ab", fakes_b),
            ("generator_ba", "ba", fakes_a),
        ):
            with frozen(*(network for name, network in networks.items() if name != learning)):
                for batch in micro_batches:
                    with batch.dropout():
                        losses, fake = self.generator_losses(direction, batch)
                        terms.append(backward(losses, micro_batches=count))
                    fakes.append(fake)
            update(optimizers[f"{learning}_optimizer"], group=group)

        # Discriminators: on these fakes or earlier ones from the image pools
        if (micro_batches[0].step + 1) % joint.config.d_ratio == 0:
            for batch, fake_a, fake_b in zip(micro_batches, fakes_a, fakes_b, strict=True):
                losses = joint.discriminator_losses(batch, Fakes(fake_a, fake_b), group=group)
                terms.append(backward(losses, micro_batches=count))
            for name in reversed(joint.discriminators()):  # D_b, then D_a
                update(optimizers[f"{name}_optimizer"], group=group)
        return mean_losses(terms, group=group)

    def generator_losses(self, direction: str, batch: MicroBatch) -> tuple[Losses, Tensor | None]:
        """Return the weighted terms of the generator ``ab`` or ``ba``, and its fake, detached."""
        joint, config = self.joint, self.joint.config
        if direction == "ab":
            real, target, discriminator = batch.real_a, batch.real_b, joint.discriminator_b
            generator, inverse = joint.generator_ab, joint.generator_ba
            weights = config.lambda_gan_ab, config.lambda_a, config.lambda_b
        else:
            real, target, discriminator = batch.real_b, batch.real_a, joint.discriminator_a
            generator, inverse = joint.generator_ba, joint.generator_ab
            weights = config.lambda_gan_ba, config.lambda_b, config.lambda_a
        lambda_gan, lambda_there, lambda_back = weights
        lambda_identity = joint.lambda_identity(lambda_back)
        from_identity = config.cycle_from_identity and lambda_back > 0
        fake = generator(real) if discriminator is not None or lambda_there else None
        idt = generator(target) if lambda_identity or from_identity else None

        losses: Losses = {}
        if discriminator is not None and fake is not None:
            gan = joint.adversarial.of_generator(discriminator, fake)
            losses[f"gan_{direction}"] = gan * lambda_gan
        if lambda_identity and idt is not None:
            losses[f"identity_{direction}"] = l1(idt, target) * lambda_identity
        if lambda_there and fake is not None:
            losses[f"cycle_there_{direction}"] = l1(inverse(fake), real) * lambda_there
        if lambda_back:
            rec = generator(inverse(idt if from_identity else target))
            losses[f"cycle_back_{direction}"] = l1(rec, target) * lambda_back
        return losses, detached(fake)

    def optimized(self) -> dict[str, Networks]:
        """Return one optimizer for each network; the names are keys of the training state."""
        networks = self.joint.generators() | self.joint.discriminators()
        return {f"{name}_optimizer": {name: network} for name, network in networks.items()}

    def pools(self) -> dict[str, ImagePool]:
        """Return the image pool of each discriminator."""
        return self.joint.pools()


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
