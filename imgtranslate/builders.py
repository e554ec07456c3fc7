"""Builders of networks, the only place where settings become plain arguments.

A setting has the name of the argument that receives it. Networks have no defaults, so a setting
without an argument, or an argument without a setting, is a ``TypeError``.
"""

import dataclasses
from typing import Any

from torch import nn

from imgtranslate.networks import (
    AveragingPatchGan,
    MultiScalePatchGan,
    PatchGan,
    PixelGan,
    ResidualEncoder,
    Resnet18Encoder,
    ResnetGenerator,
    UnetGenerator,
)
from imgtranslate.settings.config import (
    AveragingConfig,
    DiscriminatorConfig,
    EncoderConfig,
    GeneratorConfig,
    MultiScaleConfig,
    PatchGanConfig,
    PixelConfig,
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    ResnetConfig,
    UnetConfig,
)


def build_generator(
    config: GeneratorConfig, *, in_channels: int, out_channels: int, recompute: bool = False
) -> ResnetGenerator | UnetGenerator:
    """Build an uninitialised generator: (n, in, h, w) to (n, out, h, w), both in [-1, 1]."""
    arguments = _arguments(config) | {"in_channels": in_channels, "out_channels": out_channels}
    match config:
        case ResnetConfig():
            return ResnetGenerator(**arguments, recompute=recompute)
        case UnetConfig():
            return UnetGenerator(**arguments)


def build_discriminator(config: DiscriminatorConfig, *, in_channels: int) -> nn.Module:
    """Build an uninitialised discriminator: (n, in, h, w) in [-1, 1] to logits.

    Logits are a map (n, 1, h', w'), (n, 1) if averaging, or a list of maps if multiscale.
    """
    arguments = _arguments(config) | {"in_channels": in_channels}
    match config:
        case PatchGanConfig():
            return PatchGan(**arguments)
        case MultiScaleConfig():
            return MultiScalePatchGan(**arguments)
        case AveragingConfig():
            return AveragingPatchGan(**arguments)
        case PixelConfig():
            return PixelGan(**arguments)


def build_encoder(config: EncoderConfig, *, in_channels: int, latent_dim: int) -> nn.Module:
    """Build an uninitialised encoder: (n, in, h, w) to mean and log-variance (n, latent_dim)."""
    arguments = _arguments(config) | {"in_channels": in_channels, "latent_dim": latent_dim}
    match config:
        case ResidualEncoderConfig():
            return ResidualEncoder(**arguments)
        case Resnet18EncoderConfig():
            return Resnet18Encoder(**arguments)


def _arguments(config: GeneratorConfig | DiscriminatorConfig | EncoderConfig) -> dict[str, Any]:
    """Return all settings except ``kind``, which chooses the network."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name != "kind"}
