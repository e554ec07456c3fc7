"""CycleGAN with four optimizers, which updates one network after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from imgtranslate.losses import l1
from imgtranslate.methods.cyclegan import CycleGan, Fakes
from imgtranslate.methods.process_group import ProcessGroup
from imgtranslate.methods.step import (
    ImagePool,
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
from imgtranslate.settings.config import Direction


@dataclass(frozen=True, kw_only=True)
class AlternatingCycleGan:
    """CycleGAN with the networks and loss weights of ``joint``, updated one after the other.

    Each generator learns from its GAN term, its identity term and both cycles while the other
    networks are frozen. The discriminators learn every ``d_ratio`` steps, from the image pools;
    other steps do not use the pools.
    """

    joint: CycleGan

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
            lambda_gan, lambda_there, lambda_back = (
                config.lambda_gan_ab, config.lambda_a, config.lambda_b,
            )  # fmt: skip
        else:
            real, target, discriminator = batch.real_b, batch.real_a, joint.discriminator_a
            generator, inverse = joint.generator_ba, joint.generator_ab
            lambda_gan, lambda_there, lambda_back = (
                config.lambda_gan_ba, config.lambda_b, config.lambda_a,
            )  # fmt: skip
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

    def models(self) -> dict[Direction, tuple[str, ...]]:
        """Return the name of the generator of each direction."""
        return self.joint.models()

    def pools(self) -> dict[str, ImagePool]:
        """Return the image pool of each discriminator."""
        return self.joint.pools()
