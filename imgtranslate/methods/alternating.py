"""CycleGAN with four optimizers, one network after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from imgtranslate.losses import l1
from imgtranslate.methods.cyclegan import CycleGan, Fakes
from imgtranslate.methods.image_pool import ImagePool
from imgtranslate.methods.process_group import ProcessGroup
from imgtranslate.methods.step import (
    Losses,
    MicroBatch,
    Networks,
    Optimizers,
    backward,
    detached,
    frozen,
    mean_losses,
    update,
)


@dataclass(frozen=True, kw_only=True)
class Direction:
    """The networks and weights of one generator's phase."""

    name: str  # ab or ba
    generator: nn.Module
    inverse: nn.Module
    discriminator: nn.Module | None
    lambda_gan: float
    lambda_there: float  # of the cycle that begins with ``generator``
    lambda_back: float  # of the cycle that ends with it
    lambda_identity: float


@dataclass(frozen=True, kw_only=True)
class AlternatingCycleGan:
    """The networks and weights of ``joint``, updated one after the other.

    Each generator learns from its GAN term, its identity and both cycles while the other networks
    are frozen. The discriminators learn every ``d_ratio`` steps, from the image pools; the steps
    between do not touch the pools.
    """

    joint: CycleGan

    def step(
        self,
        micro_batches: Sequence[MicroBatch],
        optimizers: Optimizers,
        *,
        number: int,
        max_grad_norm: float,
        group: ProcessGroup,
    ) -> Losses:
        """Update G_ab, then G_ba, then every ``d_ratio`` steps D_b and D_a."""
        joint, count, terms = self.joint, len(micro_batches), list[Losses]()
        networks = joint.generators() | joint.discriminators()
        fakes: dict[str, list[Tensor | None]] = {"ab": [], "ba": []}

        # Generators: G_ab, then G_ba against the updated G_ab
        for direction in (self._ab(), self._ba()):
            with frozen(*(each for each in networks.values() if each is not direction.generator)):
                for batch in micro_batches:
                    with batch.dropout():
                        losses, fake = self.generator_losses(direction, batch)
                        terms.append(backward(losses, micro_batches=count))
                    fakes[direction.name].append(fake)
            optimizer = optimizers[f"generator_{direction.name}_optimizer"]
            update(optimizer, max_grad_norm=max_grad_norm, group=group)

        # Discriminators: on the fakes of both phases or on earlier ones
        if (number + 1) % joint.config.d_ratio == 0:
            for batch, fake_a, fake_b in zip(micro_batches, fakes["ba"], fakes["ab"], strict=True):
                losses = joint.discriminator_losses(batch, Fakes(fake_a, fake_b), group=group)
                terms.append(backward(losses, micro_batches=count))
            for name in reversed(joint.discriminators()):  # D_b, then D_a
                update(optimizers[f"{name}_optimizer"], max_grad_norm=max_grad_norm, group=group)
        return mean_losses(terms, group=group)

    def generator_losses(
        self, direction: Direction, batch: MicroBatch
    ) -> tuple[Losses, Tensor | None]:
        """Return the weighted terms of one generator, and its fake, detached."""
        generator, inverse = direction.generator, direction.inverse
        real, target = batch.real_a, batch.real_b
        if direction.name == "ba":
            real, target = target, real
        from_identity = self.joint.config.cycle_from_identity and direction.lambda_back > 0
        needs_fake = direction.discriminator is not None or direction.lambda_there > 0
        needs_identity = direction.lambda_identity > 0 or from_identity
        fake = generator(real) if needs_fake else None
        idt = generator(target) if needs_identity else None

        losses: Losses = {}
        if direction.discriminator is not None and fake is not None:
            gan = self.joint.adversarial.of_generator(direction.discriminator, fake)
            losses["gan"] = gan * direction.lambda_gan
        if direction.lambda_identity and idt is not None:
            losses["identity"] = l1(idt, target) * direction.lambda_identity
        if direction.lambda_there and fake is not None:
            losses["cycle_there"] = l1(inverse(fake), real) * direction.lambda_there
        if direction.lambda_back:
            rec = generator(inverse(idt if from_identity else target))
            losses["cycle_back"] = l1(rec, target) * direction.lambda_back
        named = {f"{name}_{direction.name}": loss for name, loss in losses.items()}
        return named, detached(fake)

    def optimized(self) -> dict[str, Networks]:
        """Return one optimizer for each network; both names are keys of one training state."""
        networks = self.joint.generators() | self.joint.discriminators()
        return {f"{name}_optimizer": {name: network} for name, network in networks.items()}

    def models(self) -> dict[str, tuple[str, ...]]:
        """Return a generator for each direction."""
        return self.joint.models()

    def pools(self) -> dict[str, ImagePool]:
        """Return the image pool of each discriminator."""
        return self.joint.pools()

    def measures(self, batch: MicroBatch) -> Losses:
        """Return nothing: the losses say enough."""
        return self.joint.measures(batch)

    def _ab(self) -> Direction:
        joint, config = self.joint, self.joint.config
        return Direction(
            name="ab",
            generator=joint.generator_ab,
            inverse=joint.generator_ba,
            discriminator=joint.discriminator_b,
            lambda_gan=config.lambda_gan_ab,
            lambda_there=config.lambda_a,
            lambda_back=config.lambda_b,
            lambda_identity=config.lambda_identity * config.lambda_b * joint.identity,
        )

    def _ba(self) -> Direction:
        joint, config = self.joint, self.joint.config
        return Direction(
            name="ba",
            generator=joint.generator_ba,
            inverse=joint.generator_ab,
            discriminator=joint.discriminator_a,
            lambda_gan=config.lambda_gan_ba,
            lambda_there=config.lambda_b,
            lambda_back=config.lambda_a,
            lambda_identity=config.lambda_identity * config.lambda_a * joint.identity,
        )
