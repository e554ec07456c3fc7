"""Networks from their settings: the one place where config turns into plain arguments."""

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
    match config:
        case ResnetConfig():
            return ResnetGenerator(
                in_channels=in_channels,
                out_channels=out_channels,
                base_channels=config.base_channels,
                num_blocks=config.num_blocks,
                norm=config.norm,
                dropout=config.dropout,
                upsample=config.upsample,
                padding=config.padding,
                antialias=config.antialias,
                recompute=recompute,
            )
        case UnetConfig():
            return UnetGenerator(
                in_channels=in_channels,
                out_channels=out_channels,
                base_channels=config.base_channels,
                depth=config.depth,
                norm=config.norm,
                dropout=config.dropout,
                upsample=config.upsample,
                skip_order=config.skip_order,
                conv_bias=config.conv_bias,
                latent_dim=config.latent_dim,
                z_at=config.z_at,
            )


def build_discriminator(config: DiscriminatorConfig, *, in_channels: int) -> nn.Module:
    """Build an uninitialised discriminator: (n, in, h, w) in [-1, 1] to logits.

    A map (n, 1, h', w'), one number (n, 1) if averaging, a list of maps if at several scales.
    """
    match config:
        case PatchGanConfig():
            return PatchGan(
                in_channels=in_channels,
                base_channels=config.base_channels,
                num_layers=config.num_layers,
                norm=config.norm,
                conv_bias=config.conv_bias,
            )
        case MultiScaleConfig():
            return MultiScalePatchGan(
                in_channels=in_channels,
                base_channels=config.base_channels,
                num_layers=config.num_layers,
                num_scales=config.num_scales,
                norm=config.norm,
                conv_bias=config.conv_bias,
            )
        case AveragingConfig():
            return AveragingPatchGan(
                in_channels=in_channels,
                base_channels=config.base_channels,
                num_layers=config.num_layers,
                norm=config.norm,
                conv_bias=config.conv_bias,
            )
        case PixelConfig():
            return PixelGan(
                in_channels=in_channels, base_channels=config.base_channels, norm=config.norm
            )


def build_encoder(config: EncoderConfig, *, in_channels: int, latent_dim: int) -> nn.Module:
    """Build an uninitialised encoder: (n, in, h, w) to mean and log-variance (n, latent_dim)."""
    match config:
        case ResidualEncoderConfig():
            return ResidualEncoder(
                in_channels=in_channels,
                base_channels=config.base_channels,
                num_blocks=config.num_blocks,
                latent_dim=latent_dim,
                norm=config.norm,
            )
        case Resnet18EncoderConfig():
            return Resnet18Encoder(in_channels=in_channels, latent_dim=latent_dim)
