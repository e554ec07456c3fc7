"""Weights and convolutions in half precision, everything between them in single precision."""

# ruff: noqa: D102  # the class's docstring says what goes into forward and what comes out

import copy
import math

from torch import Tensor, nn

MODEST = 2**8  # a weight's length up to which, and from whose inverse on, nothing is rescaled


class Half(nn.Module):
    """A layer of weights computed in float16; float32 in and out.

    What is added up over a picture, the norms' means and variances, and what is added again and
    again, the residuals, thus stay in float32. Weights that float16 cannot hold well, or whose
    results it could not, are stored multiplied by a power of two, which is undone behind them.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
        super().__init__()
        self.factor = _factor(layer)
        layer.weight.mul_(self.factor)
        if layer.bias is not None:
            layer.bias.mul_(self.factor)
        self.layer = layer.half()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.half()).float()
        return y if self.factor == 1 else y / self.factor


def in_half(network: nn.Module) -> nn.Module:
    """Copy a network with each layer of weights wrapped in ``Half``."""
    network = copy.deepcopy(network)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            network.set_submodule(name, Half(layer))
    return network


def _factor(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    """The power of two that makes the longest weight of an output about 1 long."""
    outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    weights = layer.weight.transpose(0, outputs).flatten(1)
    longest = float(weights.norm(dim=1).max())
    if not math.isfinite(longest) or longest == 0 or 1 / MODEST <= longest <= MODEST:
        return 1.0
    return 2.0 ** -round(math.log2(longest))
