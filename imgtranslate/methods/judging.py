"""What a discriminator learns from: real images and fakes, together where that is exact."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imgtranslate.losses import (
    GanMode,
    Logits,
    adversarial_loss,
    fake_loss,
    gradient_penalty,
    real_loss,
)
from imgtranslate.methods.draws import Draws


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How discriminators are asked and what their answers cost."""

    gan_mode: GanMode
    lambda_penalty: float
    batched: bool  # whether images of one batch leave each other alone (not with batch norm)

    def adversarial(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        """What the generator of ``fake`` pays; the discriminator should be frozen."""
        return adversarial_loss(discriminator(fake), gan_mode=self.gan_mode)

    def judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor, rng: Draws) -> Tensor:
        """What the discriminator pays: real + fake, with ``wgangp`` + its gradient penalty.

        ``fake`` must be detached. Methods that halve it do so themselves.
        """
        real_logits, fake_logits = self._ask(discriminator, real, fake)
        loss = real_loss(real_logits, gan_mode=self.gan_mode)
        loss = loss + fake_loss(fake_logits, gan_mode=self.gan_mode)
        if self.gan_mode == "wgangp" and self.lambda_penalty:
            mix = torch.from_numpy(rng.random(real.shape[0])).to(real)
            penalty = gradient_penalty(discriminator, real, fake, mix=mix)
            loss = loss + self.lambda_penalty * penalty
        return loss

    def _ask(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Logits, Logits]:
        if not self.batched or real.shape != fake.shape:
            return discriminator(real), discriminator(fake)
        logits = discriminator(torch.cat([real, fake]))
        if isinstance(logits, Tensor):
            real_logits, fake_logits = logits.chunk(2)
            return real_logits, fake_logits
        halves = [scale.chunk(2) for scale in logits]
        return [real for real, _ in halves], [fake for _, fake in halves]
