"""Initial weights as a function of the state of a random generator."""

import math
from typing import Literal

from torch import Generator, Tensor, nn

Init = Literal["normal", "xavier", "kaiming", "orthogonal"]


def initialise(module: nn.Module, *, init: Init, gain: float, generator: Generator) -> None:
    """Draw the weights of all convolutions and linear layers in place; biases are 0.

    ``gain`` is the standard deviation of ``normal`` (0.02: CycleGAN, pix2pix) and the factor of
    ``xavier`` (0.02: BicycleGAN) and ``orthogonal``; ``kaiming`` ignores it. Weights of batch norm
    are drawn from normal(1, 0.02). Module and random generator must be on the same device.
    """
    for layer in module.modules():
        match layer:
            case nn.Conv2d() | nn.ConvTranspose2d() | nn.Linear():
                _draw(layer.weight, init=init, gain=gain, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            case nn.BatchNorm2d() if layer.affine:
                nn.init.normal_(layer.weight, 1.0, 0.02, generator=generator)
                nn.init.zeros_(layer.bias)


def initialise_as_resnet(module: nn.Module, *, generator: Generator) -> None:
    """Draw weights in place as torchvision does for its ResNets (He et al., arXiv 1512.03385).

    The constructors of torchvision draw from the global random state instead.
    """
    for layer in module.modules():
        match layer:
            case nn.Conv2d():
                nn.init.kaiming_normal_(
                    layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
            case nn.BatchNorm2d():
                nn.init.ones_(layer.weight)
                nn.init.zeros_(layer.bias)
            case nn.Linear():
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def _draw(weight: Tensor, *, init: Init, gain: float, generator: Generator) -> None:
    match init:
        case "normal":
            nn.init.normal_(weight, 0.0, gain, generator=generator)
        case "xavier":
            nn.init.xavier_normal_(weight, gain=gain, generator=generator)
        case "kaiming":
            nn.init.kaiming_normal_(weight, a=0.0, mode="fan_in", generator=generator)
        case "orthogonal":
            nn.init.orthogonal_(weight, gain=gain, generator=generator)
