"""CUT and FastCUT (arXiv 2007.15651): one direction without pairs, by contrast of patches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.builders import build_discriminator, build_generator
from imgtranslate.losses import patch_nce
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
    frozen,
    mean_losses,
    update,
)
from imgtranslate.networks import PatchProjection, ResnetGenerator, UnetGenerator
from imgtranslate.networks.layers import Features
from imgtranslate.settings.config import CutConfig, ResnetConfig, Settings, nce_taps

PROJECTED = 256  # numbers of a projected patch


@dataclass(frozen=True)
class Translation:
    """The translations of one micro-batch, A first, then B if there is an identity term."""

    fakes: Tensor
    features: Features  # of the pictures in the same pass, without a gradient
    mirrored: bool  # whether the pictures were mirrored before the pass


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A generator of B, a discriminator of B, and the projection of the generator's features.

    The encoder is the first half of the generator. It reads a picture and its translation, and each
    patch of the translation is to be closer to the patch of the picture at the same place than to
    the other patches of that picture.
    """

    models: ClassVar[Models] = {"ab": ("generator",)}

    config: CutConfig
    generator: ResnetGenerator | UnetGenerator
    discriminator: nn.Module | None  # None if its weight is 0
    projection: PatchProjection | None  # likewise
    adversarial: AdversarialLoss
    taps: tuple[str, ...]
    random: bool  # whether two passes of the generator differ, by dropout

    def step(
        self, micro_batches: Sequence[MicroBatch], optimizers: Optimizers, *, group: ProcessGroup
    ) -> Losses:
        """Update the discriminator, then generator and projection against it."""
        count, terms, translations = len(micro_batches), list[Losses](), list[Translation]()
        for batch in micro_batches:
            with batch.dropout():
                translations.append(self.translate(batch))

        # Discriminator: equation 1
        if self.discriminator is not None:
            for batch, translation in zip(micro_batches, translations, strict=True):
                losses = self.discriminator_losses(batch, translation)
                terms.append(backward(losses, micro_batches=count))
            update(optimizers["discriminators"], group=group)

        # Generator and projection: equation 5, with the frozen discriminator
        with frozen(*self.discriminators().values()):
            for batch, translation in zip(micro_batches, translations, strict=True):
                with batch.dropout():
                    losses = self.generator_losses(batch, translation)
                    terms.append(backward(losses, micro_batches=count))
        update(optimizers["generators"], group=group)
        return mean_losses(terms, group=group)

    def translate(self, batch: MicroBatch) -> Translation:
        """Translate A, and B for the identity term, in one pass that also gives their features."""
        mirrored = self.config.flip_equivariance and bool(batch.rng.random() < 0.5)
        pictures = torch.cat([batch.real_a, batch.real_b]) if self.has_identity() else batch.real_a
        if mirrored:
            pictures = pictures.flip(3)
        taps = self.taps if self.projection is not None else ()
        fakes, features = self.generator.translate_and_encode(pictures, taps)
        detached = {tap: tensor.detach() for tap, tensor in features.items()}
        return Translation(fakes, detached, mirrored)

    def discriminator_losses(self, batch: MicroBatch, translation: Translation) -> Losses:
        """Return half the sum of real and fake term."""
        if self.discriminator is None:
            return {}
        fake_b = translation.fakes[: len(batch.real_a)].detach()
        loss = self.adversarial.of_discriminator(self.discriminator, batch.real_b, fake_b, batch)
        return {"discriminator": 0.5 * loss}

    def generator_losses(self, batch: MicroBatch, translation: Translation) -> Losses:
        """Return the weighted terms of generator and projection: equations 1 and 4."""
        count, config, losses = len(batch.real_a), self.config, Losses()
        if self.discriminator is not None:
            gan = self.adversarial.of_generator(self.discriminator, translation.fakes[:count])
            losses["gan"] = gan * config.lambda_gan
        if self.projection is None:
            return losses

        # Contrast: queries of the translations, keys of the pictures, at the same random places
        queries = self.generator.encode(translation.fakes, self.taps)
        names = ("nce", "nce_identity") if self.has_identity() else ("nce",)
        for index, name in enumerate(names):
            keys = self.keys(name, batch, translation)
            places = {tap: self._draw(tensor, batch.rng) for tap, tensor in keys.items()}
            own = {tap: tensor[index * count :][:count] for tap, tensor in queries.items()}
            q = self.projection(_patches(own, places, mirrored=translation.mirrored))
            with torch.no_grad():
                k = self.projection(_patches(keys, places, mirrored=False))
            each = [patch_nce(q[tap], k[tap], temperature=config.nce_temperature) for tap in q]
            losses[name] = torch.stack(each).mean() * config.lambda_nce / len(names)
        return losses

    def keys(self, name: str, batch: MicroBatch, translation: Translation) -> Features:
        """Return the features that a term compares with: of A, or of B for the identity and pairs.

        The generator has not changed since the first pass, so its features are used, unless it saw
        mirrored pictures or had other dropout masks.
        """
        of_a = name == "nce" and not self.config.nce_supervised
        reusable = not translation.mirrored and not self.random
        if reusable and (of_a or self.has_identity()):
            count = len(batch.real_a)
            rows = slice(count) if of_a else slice(count, None)
            return {tap: tensor[rows] for tap, tensor in translation.features.items()}
        with torch.no_grad():
            return self.generator.encode(batch.real_a if of_a else batch.real_b, self.taps)

    def has_identity(self) -> bool:
        """Return whether B is translated too, for the second contrastive term."""
        return self.config.nce_identity and self.projection is not None

    def discriminators(self) -> Networks:
        """Return the discriminator by name, if its weight is above 0."""
        return {} if self.discriminator is None else {"discriminator": self.discriminator}

    def optimized(self) -> dict[str, Networks]:
        """Return the networks of two optimizers: generator and projection, and discriminator."""
        projection = {} if self.projection is None else {"projection": self.projection}
        return {
            "generators": {"generator": self.generator, **projection},
            "discriminators": self.discriminators(),
        }

    def pools(self) -> dict[str, ImagePool]:
        """Return no pools: CUT uses none."""
        return {}

    def _draw(self, features: Tensor, rng: np.random.Generator) -> Tensor:
        """Draw places of patches (s,), the same for every picture of a batch."""
        everywhere = features.shape[2] * features.shape[3]
        count = min(self.config.nce_patches, everywhere)
        drawn = rng.choice(everywhere, size=count, replace=False, shuffle=False)
        return torch.from_numpy(drawn).to(features.device)


def _patches(features: Features, places: Mapping[str, Tensor], *, mirrored: bool) -> Features:
    """Return the features at ``places`` of pictures that may be mirrored: (n, s, c) by tap."""
    found: Features = {}
    for tap, place in places.items():
        width = features[tap].shape[3]
        if mirrored:
            place = place - place % width + width - 1 - place % width
        found[tap] = features[tap].flatten(2).index_select(2, place).transpose(1, 2)
    return found


def build_cut(config: CutConfig, settings: Settings) -> Cut:
    """Build the networks of CUT, uninitialised."""
    data, taps = settings.data, nce_taps(config, settings.generator)
    generator = build_generator(
        settings.generator,
        in_channels=data.channels_a,
        out_channels=data.channels_b,
        recompute=settings.train.recompute,
    )
    discriminator = build_discriminator(settings.discriminator, in_channels=data.channels_b)
    channels = {tap: generator.tap_channels[tap] for tap in taps}
    return Cut(
        config=config,
        generator=generator,
        discriminator=discriminator if config.lambda_gan else None,
        projection=PatchProjection(tap_channels=channels, width=PROJECTED)
        if config.lambda_nce
        else None,
        adversarial=build_adversarial_loss(settings),
        taps=taps,
        random=isinstance(settings.generator, ResnetConfig) and settings.generator.dropout,
    )
