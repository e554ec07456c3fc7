"""CycleGAN (arXiv 1703.10593): two translators held together by their cycles."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_generator
from imgtranslate.data.loader import Batch
from imgtranslate.losses import l1
from imgtranslate.methods.draws import Draws
from imgtranslate.methods.judging import Judging
from imgtranslate.methods.pool import ImagePool
from imgtranslate.methods.step import Losses, Networks, Phases, detached, generators_first
from imgtranslate.settings.config import CycleGanConfig, Settings


@dataclass(frozen=True)
class Fakes:
    """What the generators made in this step, detached; what no term needs is not made."""

    fake_a: Tensor | None
    fake_b: Tensor | None


@dataclass(frozen=True, kw_only=True)
class CycleGan:
    """Generators ab, ba and discriminators a, b, in the joint update.

    Discriminator a judges images of A. One whose weight is 0 is not there.
    """

    config: CycleGanConfig
    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module | None
    discriminator_b: nn.Module | None
    pool_a: ImagePool
    pool_b: ImagePool
    judging: Judging
    identity: bool  # whether A and B have as many channels
    batched: bool  # whether the generators' images of one batch leave each other alone

    def generators(self) -> Networks:
        """The networks that one optimizer steps first."""
        return {"generator_ab": self.generator_ab, "generator_ba": self.generator_ba}

    def discriminators(self) -> Networks:
        """The networks that the other optimizer steps then."""
        found = {"discriminator_a": self.discriminator_a, "discriminator_b": self.discriminator_b}
        return {name: network for name, network in found.items() if network is not None}

    def optimized(self) -> dict[str, Networks]:
        """One optimizer for both generators, one for both discriminators."""
        return {"generators": self.generators(), "discriminators": self.discriminators()}

    def models(self) -> dict[str, tuple[str, ...]]:
        """A translator for each direction."""
        return {"ab": ("generator_ab",), "ba": ("generator_ba",)}

    def pools(self) -> dict[str, ImagePool]:
        """What the discriminators remember."""
        return {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def step(
        self,
        batch: Batch,
        rng: Draws,
        *,
        number: int,  # noqa: ARG002 - every step is alike
    ) -> Phases:
        """The generators, then the discriminators on the same fakes."""
        return generators_first(self, batch, rng)

    def measures(self, batch: Batch, rng: Draws) -> Losses:  # noqa: ARG002
        """Nothing beside the losses."""
        return {}

    def generator_losses(
        self,
        batch: Batch,
        rng: Draws,  # noqa: ARG002 - draws nothing
    ) -> tuple[Losses, Fakes]:
        """Weighted terms of both generators: equations 1 to 3 and the identity of section 5.2."""
        config, (real_a, real_b) = self.config, (batch.real_a, batch.real_b)
        weight_a = config.lambda_identity * config.lambda_a * self.identity
        weight_b = config.lambda_identity * config.lambda_b * self.identity

        fake_b, idt_b = self._translate(
            self.generator_ab,
            real_a if config.lambda_gan_ab or config.lambda_a else None,
            real_b if weight_b else None,
        )
        fake_a, idt_a, rec_a = self._translate(
            self.generator_ba,
            real_b if config.lambda_gan_ba or config.lambda_b else None,
            real_a if weight_a else None,
            fake_b if config.lambda_a else None,
        )
        (rec_b,) = self._translate(self.generator_ab, fake_a if config.lambda_b else None)

        losses: Losses = {}
        if self.discriminator_b is not None and fake_b is not None:
            gan_ab = self.judging.adversarial(self.discriminator_b, fake_b)
            losses["gan_ab"] = gan_ab * config.lambda_gan_ab
        if self.discriminator_a is not None and fake_a is not None:
            gan_ba = self.judging.adversarial(self.discriminator_a, fake_a)
            losses["gan_ba"] = gan_ba * config.lambda_gan_ba
        if rec_a is not None:
            losses["cycle_a"] = l1(rec_a, real_a) * config.lambda_a
        if rec_b is not None:
            losses["cycle_b"] = l1(rec_b, real_b) * config.lambda_b
        if idt_a is not None:
            losses["identity_a"] = l1(idt_a, real_a) * weight_a
        if idt_b is not None:
            losses["identity_b"] = l1(idt_b, real_b) * weight_b
        return losses, Fakes(fake_a=detached(fake_a), fake_b=detached(fake_b))

    def discriminator_losses(self, batch: Batch, fakes: Fakes, rng: Draws) -> Losses:
        """Half the sum of the real and the fake term, on fakes from the pools."""
        losses: Losses = {}
        if self.discriminator_a is not None and fakes.fake_a is not None:
            pooled_a = self.pool_a.query(fakes.fake_a, rng)
            judged = self.judging.judge(self.discriminator_a, batch.real_a, pooled_a, rng)
            losses["discriminator_a"] = 0.5 * judged
        if self.discriminator_b is not None and fakes.fake_b is not None:
            pooled_b = self.pool_b.query(fakes.fake_b, rng)
            judged = self.judging.judge(self.discriminator_b, batch.real_b, pooled_b, rng)
            losses["discriminator_b"] = 0.5 * judged
        return losses

    def _translate(self, generator: nn.Module, *images: Tensor | None) -> tuple[Tensor | None, ...]:
        """Translate what is there: together where that is exact."""
        there = [image for image in images if image is not None]
        if self.batched and len(there) > 1:
            made = iter(generator(torch.cat(there)).chunk(len(there)))
        else:
            made = (generator(image) for image in there)
        return tuple(None if image is None else next(made) for image in images)


def build_cyclegan(settings: Settings) -> CycleGan:
    """Build the networks of CycleGAN, uninitialised, with each domain's channels."""
    config, data = settings.method, settings.data
    if not isinstance(config, CycleGanConfig):
        raise TypeError(f"settings of {config.kind}")
    a, b = data.channels_a, data.channels_b
    discriminator = settings.discriminator
    return CycleGan(
        config=config,
        generator_ab=build_generator(settings.generator, in_channels=a, out_channels=b),
        generator_ba=build_generator(settings.generator, in_channels=b, out_channels=a),
        discriminator_a=build_discriminator(discriminator, in_channels=a)
        if config.lambda_gan_ba
        else None,
        discriminator_b=build_discriminator(discriminator, in_channels=b)
        if config.lambda_gan_ab
        else None,
        pool_a=ImagePool(config.pool_size),
        pool_b=ImagePool(config.pool_size),
        judging=Judging(
            gan_mode=config.gan_mode,
            lambda_penalty=config.lambda_penalty,
            batched=discriminator.norm != "batch",
        ),
        identity=a == b,
        batched=settings.generator.norm != "batch",
    )
