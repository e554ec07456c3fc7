"""Weights and convolutions in half precision, everything between them in single precision."""

# ruff: noqa: D102  # the class's docstring says what goes into forward and what comes out

import copy
import math

from torch import Tensor, nn

MODEST = 2**8  # a weight's length up to which, and from whose inverse on, nothing is rescaled

Weights = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


class Half(nn.Module):
    """A layer of weights computed in float16; float32 in and out.

    What is added up over a picture, the norms' means and variances, and what is added again and
    again, the residuals, thus stay in float32, and biases, which may be far larger than what they
    are added to. Weights that float16 cannot hold well, or whose results it could not, are stored
    multiplied by a power of two, which is undone behind them.
    """

    def __init__(self, layer: Weights) -> None:
        super().__init__()
        self.factor = _factor(layer)
        self.bias = layer.bias
        self.sides = () if isinstance(layer, nn.Linear) else (1, 1)
        layer.bias = None
        layer.weight.mul_(self.factor)
        self.layer = layer.half()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.half()).float()
        y = y if self.factor == 1 else y / self.factor
        return y if self.bias is None else y + self.bias.view(-1, *self.sides)


def in_half(network: nn.Module) -> nn.Module:
    """Copy a network with each layer of weights wrapped in ``Half``."""
    network = copy.deepcopy(network)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, Weights):
            network.set_submodule(name, Half(layer))
    return network


def _factor(layer: Weights) -> float:
    """The power of two that makes the longest weight of an output about 1 long."""
    outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    weights = layer.weight.transpose(0, outputs).flatten(1)
    longest = float(weights.norm(dim=1).max())
    if not math.isfinite(longest) or longest == 0 or 1 / MODEST <= longest <= MODEST:
        return 1.0
    return 2.0 ** -round(math.log2(longest))
