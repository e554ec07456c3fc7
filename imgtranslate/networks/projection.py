"""The projection of CUT (arXiv 2007.15651, section 3): patches of features to unit vectors."""

# ruff: noqa: D102  # the docstring of a class gives the shapes of ``forward``

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from imgtranslate.networks.layers import full_precision

EPS = 1e-7  # as published


class PatchProjection(nn.Module):
    """A two-layer MLP for each tap: its patches (n, s, c) -> unit vectors (n, s, width)."""

    def __init__(self, *, tap_channels: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.mlps = nn.ModuleDict(
            {
                tap: nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
                for tap, channels in tap_channels.items()
            }
        )

    def forward(self, patches: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {tap: to_unit_length(self.mlps[tap](x)) for tap, x in patches.items()}


def to_unit_length(x: Tensor) -> Tensor:
    """Divide vectors (…, c) by their length, in float32; a vector of zeros has the gradient 0.

    The features of a flat picture are zeros in the first step, as the biases are.
    """
    x = full_precision(x)
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x * (length > 0) / (length + EPS)
