"""Networks as plain modules with keyword-only arguments; no config, file or device."""

from imgtranslate.networks.encoder import ResidualEncoder, Resnet18Encoder
from imgtranslate.networks.initialise import initialise, initialise_as_resnet
from imgtranslate.networks.patchgan import (
    AveragingPatchGan,
    MultiScalePatchGan,
    PatchGan,
    PixelGan,
)
from imgtranslate.networks.projection import PatchProjection
from imgtranslate.networks.resnet import ResnetGenerator
from imgtranslate.networks.unet import UnetGenerator

__all__ = [
    "AveragingPatchGan",
    "MultiScalePatchGan",
    "PatchGan",
    "PatchProjection",
    "PixelGan",
    "ResidualEncoder",
    "Resnet18Encoder",
    "ResnetGenerator",
    "UnetGenerator",
    "initialise",
    "initialise_as_resnet",
]
