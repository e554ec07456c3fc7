"""Networks from their settings: the one place where config turns into plain arguments."""

from torch import nn

from imgtranslate.config import GeneratorConfig, PatchGanConfig, ResnetConfig, UnetConfig
from imgtranslate.networks import PatchGan, ResnetGenerator, UnetGenerator


def build_generator(
    config: GeneratorConfig, *, in_channels: int, out_channels: int
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
                skip_order="skip_first",  # pix2pix's form
                conv_bias="by_norm",
                latent_dim=0,
                z_at="none",
            )


def build_discriminator(config: PatchGanConfig, *, in_channels: int) -> nn.Module:
    """Build an uninitialised discriminator: (n, in, h, w) in [-1, 1] to a map of logits."""
    return PatchGan(
        in_channels=in_channels,
        base_channels=config.base_channels,
        num_layers=config.num_layers,
        norm=config.norm,
        conv_bias="by_norm",
    )
