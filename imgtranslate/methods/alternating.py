"""CycleGAN with four optimizers, one network after the other."""

import contextlib
from dataclasses import dataclass

from torch import Tensor, nn

from imgtranslate.data.loader import Batch
from imgtranslate.losses import l1
from imgtranslate.methods.cyclegan import CycleGan, Fakes
from imgtranslate.methods.draws import Draws
from imgtranslate.methods.pool import ImagePool
from imgtranslate.methods.step import Losses, Networks, Phases, detached, frozen


@dataclass(frozen=True, kw_only=True)
class Direction:
    """One generator's phase: who learns, who leads back, who judges, and the weights."""

    generator: nn.Module
    back: nn.Module
    discriminator: nn.Module | None
    lambda_gan: float
    lambda_there: float  # of the cycle that begins with ``generator``
    lambda_back: float  # of the one that ends with it
    lambda_identity: float


@dataclass(frozen=True, kw_only=True)
class AlternatingCycleGan:
    """The networks and weights of ``joint``, updated in turn: G_ab, G_ba, then D_b, D_a.

    Each generator learns from its adversarial term, its identity and both cycles while the other
    networks stand still; G_ba meets the already updated G_ab. The discriminators learn every
    ``d_ratio`` steps, from the pools, which are left alone in between.
    """

    joint: CycleGan

    def optimized(self) -> dict[str, Networks]:
        """One optimizer each, not of its network's name: both stand in one training state."""
        networks = self.joint.generators() | self.joint.discriminators()
        return {f"{name}_optimizer": {name: network} for name, network in networks.items()}

    def models(self) -> dict[str, tuple[str, ...]]:
        """A translator for each direction."""
        return self.joint.models()

    def pools(self) -> dict[str, ImagePool]:
        """What the discriminators remember."""
        return self.joint.pools()

    def measures(self, batch: Batch, rng: Draws) -> Losses:
        """Nothing beside the losses."""
        return self.joint.measures(batch, rng)

    def step(self, batch: Batch, rng: Draws, *, number: int) -> Phases:
        """Phases 1 and 2, and every ``d_ratio`` steps phase 3."""
        joint = self.joint
        with self._frozen_but(joint.generator_ab):
            there, fake_b = self._phase(self._ab(), batch.real_a, batch.real_b)
        yield "generator_ab_optimizer", _named(there, "ab")

        with self._frozen_but(joint.generator_ba):
            back, fake_a = self._phase(self._ba(), batch.real_b, batch.real_a)
        yield "generator_ba_optimizer", _named(back, "ba")

        if (number + 1) % joint.config.d_ratio == 0:
            judged = joint.discriminator_losses(batch, Fakes(fake_a, fake_b), rng)
            for name in reversed(judged):  # b, then a
                yield f"{name}_optimizer", {name: judged[name]}

    def _phase(
        self, direction: Direction, real: Tensor, same: Tensor
    ) -> tuple[Losses, Tensor | None]:
        """The weighted terms of one generator, and its fake, detached."""
        generator, back = direction.generator, direction.back
        from_identity = self.joint.config.cycle_from_identity and direction.lambda_back > 0
        losses: Losses = {}
        fake: Tensor | None = None
        if direction.discriminator is not None or direction.lambda_there:
            fake = generator(real)
        idt = generator(same) if direction.lambda_identity or from_identity else None

        if direction.discriminator is not None and fake is not None:
            gan = self.joint.judging.adversarial(direction.discriminator, fake)
            losses["gan"] = gan * direction.lambda_gan
        if direction.lambda_identity and idt is not None:
            losses["identity"] = l1(idt, same) * direction.lambda_identity
        if direction.lambda_there and fake is not None:
            losses["cycle_there"] = l1(back(fake), real) * direction.lambda_there
        if direction.lambda_back:
            start = idt if from_identity else same
            losses["cycle_back"] = l1(generator(back(start)), same) * direction.lambda_back
        return losses, detached(fake)

    def _ab(self) -> Direction:
        joint, config = self.joint, self.joint.config
        return Direction(
            generator=joint.generator_ab,
            back=joint.generator_ba,
            discriminator=joint.discriminator_b,
            lambda_gan=config.lambda_gan_ab,
            lambda_there=config.lambda_a,
            lambda_back=config.lambda_b,
            lambda_identity=config.lambda_identity * config.lambda_b * joint.identity,
        )

    def _ba(self) -> Direction:
        joint, config = self.joint, self.joint.config
        return Direction(
            generator=joint.generator_ba,
            back=joint.generator_ab,
            discriminator=joint.discriminator_a,
            lambda_gan=config.lambda_gan_ba,
            lambda_there=config.lambda_b,
            lambda_back=config.lambda_a,
            lambda_identity=config.lambda_identity * config.lambda_a * joint.identity,
        )

    def _frozen_but(self, learning: nn.Module) -> contextlib.AbstractContextManager[None]:
        networks = (self.joint.generators() | self.joint.discriminators()).values()
        return frozen(*(network for network in networks if network is not learning))


def _named(losses: Losses, direction: str) -> Losses:
    return {f"{name}_{direction}": loss for name, loss in losses.items()}
