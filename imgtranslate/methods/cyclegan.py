"""CycleGAN, joint update (arXiv 1703.10593): two translators held together by their cycles."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_generator
from imgtranslate.config import CycleGanConfig, Settings
from imgtranslate.data.loader import Batch
from imgtranslate.losses import adversarial_loss, fake_loss, l1, real_loss
from imgtranslate.methods.pool import ImagePool


@dataclass(frozen=True)
class Fakes:
    """What the generators made in this step, detached, for the discriminators to judge."""

    fake_a: Tensor
    fake_b: Tensor


@dataclass(frozen=True, kw_only=True)
class CycleGan:
    """Generators ab, ba and discriminators a, b; discriminator a judges images of A."""

    config: CycleGanConfig
    generator_ab: nn.Module
    generator_ba: nn.Module
    discriminator_a: nn.Module
    discriminator_b: nn.Module
    pool_a: ImagePool
    pool_b: ImagePool
    batched: bool  # whether images of one batch leave each other alone (not with batch norm)

    def generators(self) -> dict[str, nn.Module]:
        """The networks that one optimizer steps first."""
        return {"generator_ab": self.generator_ab, "generator_ba": self.generator_ba}

    def discriminators(self) -> dict[str, nn.Module]:
        """The networks that the other optimizer steps then."""
        return {"discriminator_a": self.discriminator_a, "discriminator_b": self.discriminator_b}

    def translators(self) -> dict[str, nn.Module]:
        """The networks to use after training, by direction."""
        return {"ab": self.generator_ab, "ba": self.generator_ba}

    def pools(self) -> dict[str, ImagePool]:
        """What the discriminators remember."""
        return {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def generator_losses(self, batch: Batch) -> tuple[dict[str, Tensor], Fakes]:
        """Weighted terms of both generators: equations 1 to 3 and the identity of section 5.2."""
        config, (real_a, real_b) = self.config, (batch.real_a, batch.real_b)
        weight_a = config.lambda_identity * config.lambda_a * (real_a.shape[1] == real_b.shape[1])
        weight_b = config.lambda_identity * config.lambda_b * (real_a.shape[1] == real_b.shape[1])

        fake_b, idt_b = self._translate(self.generator_ab, real_a, real_b if weight_b else None)
        fake_a, idt_a = self._translate(self.generator_ba, real_b, real_a if weight_a else None)

        losses = {
            "gan_ab": adversarial_loss(self.discriminator_b(fake_b), gan_mode=config.gan_mode),
            "gan_ba": adversarial_loss(self.discriminator_a(fake_a), gan_mode=config.gan_mode),
        }
        if config.lambda_a:
            losses["cycle_a"] = l1(self.generator_ba(fake_b), real_a) * config.lambda_a
        if config.lambda_b:
            losses["cycle_b"] = l1(self.generator_ab(fake_a), real_b) * config.lambda_b
        if idt_a is not None:
            losses["identity_a"] = l1(idt_a, real_a) * weight_a
        if idt_b is not None:
            losses["identity_b"] = l1(idt_b, real_b) * weight_b
        return losses, Fakes(fake_a=fake_a.detach(), fake_b=fake_b.detach())

    def discriminator_losses(
        self, batch: Batch, fakes: Fakes, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Half the sum of the real and the fake term, on fakes from the pools."""
        pooled_a = self.pool_a.query(fakes.fake_a, rng)
        pooled_b = self.pool_b.query(fakes.fake_b, rng)
        return {
            "discriminator_a": self._judge(self.discriminator_a, batch.real_a, pooled_a),
            "discriminator_b": self._judge(self.discriminator_b, batch.real_b, pooled_b),
        }

    def _translate(
        self, generator: nn.Module, real: Tensor, same: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Translate ``real`` and, for the identity loss, ``same``: together where that is exact."""
        if same is None:
            return generator(real), None
        if not self.batched:
            return generator(real), generator(same)
        fake, idt = generator(torch.cat([real, same])).chunk(2)
        return fake, idt

    def _judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        if self.batched:
            real_logits, fake_logits = discriminator(torch.cat([real, fake])).chunk(2)
        else:
            real_logits, fake_logits = discriminator(real), discriminator(fake)
        mode = self.config.gan_mode
        return 0.5 * (real_loss(real_logits, gan_mode=mode) + fake_loss(fake_logits, gan_mode=mode))


def build_cyclegan(settings: Settings) -> CycleGan:
    """Build the networks of CycleGAN, uninitialised, with each domain's channels."""
    config, data = settings.method, settings.data
    a, b = data.channels_a, data.channels_b
    return CycleGan(
        config=config,
        generator_ab=build_generator(settings.generator, in_channels=a, out_channels=b),
        generator_ba=build_generator(settings.generator, in_channels=b, out_channels=a),
        discriminator_a=build_discriminator(settings.discriminator, in_channels=a),
        discriminator_b=build_discriminator(settings.discriminator, in_channels=b),
        pool_a=ImagePool(config.pool_size),
        pool_b=ImagePool(config.pool_size),
        batched="batch" not in (settings.generator.norm, settings.discriminator.norm),
    )
