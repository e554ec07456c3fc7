"""Distance of two sets of pictures for validation: cheap enough to be measured while training.

A sliced Wasserstein distance between 7x7 px patches of a pyramid, after arXiv 1710.10196, section
5, with four changes that make it fast and steady: pictures are thumbnails, patches lie on a fixed
grid, the directions are the same each time, and each band's distance is a fraction of how far the
real patches lie from their mean, so that constant pictures are at about 1.

It is no second implementation of ``metrics.sliced_wasserstein``, the figure of `evaluate`: that one
draws patches at random at full size, needs an interval and so remembers the picture of each patch,
and reads its pictures one by one. This one is a single convolution on the training device, and the
best checkpoint depends on its every bit.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor

THUMBNAIL = 128  # px, the longest side
SMALLEST = 16  # px, the pyramid's last level
PATCH, PATCHES = 7, 20  # px; about so many along a side
DIRECTIONS = 64
QUANTILES = 1024
LEAST_SPREAD = 0.01  # of values in [-1, 1]: flatter sets count as flat

Bands = list[Tensor]  # for each band (DIRECTIONS, QUANTILES), sorted along the last


def describe(pictures: Sequence[Tensor]) -> Bands:
    """Project the patches of pictures, each (1, c, h, w) in [-1, 1] and of one size."""
    thumbnails = torch.cat([_thumbnail(picture) for picture in pictures])
    return [_projections(level) for level in _pyramid(thumbnails)]


def distance(fake: Bands, real: Bands) -> float:
    """Average over the bands: 0 for equal sets, about 1 for constant pictures against real ones."""
    shares = [
        (ours - theirs).abs().mean() / _spread(theirs)
        for ours, theirs in zip(fake, real, strict=True)
    ]
    return float(torch.stack(shares).mean())


def _spread(projected: Tensor) -> Tensor:
    deviations = projected - projected.mean(dim=1, keepdim=True)
    return deviations.abs().mean().clamp(min=LEAST_SPREAD)


def _thumbnail(picture: Tensor) -> Tensor:
    shrink = max(1, -(-max(picture.shape[-2:]) // THUMBNAIL))
    return F.avg_pool2d(picture, shrink)


def _pyramid(pictures: Tensor) -> Bands:
    """Return the detail that each halving loses, then the smallest picture."""
    bands: Bands = []
    while min(pictures.shape[-2:]) >= 2 * SMALLEST:
        low = F.avg_pool2d(pictures, 2)
        size = pictures.shape[-2:]
        bands.append(pictures - F.interpolate(low, size=size, mode="bilinear"))
        pictures = low
    return [*bands, pictures]


def _projections(level: Tensor) -> Tensor:
    """Project the patches of (n, c, h, w) on each direction, sorted and thinned."""
    height, width = level.shape[-2:]
    side = min(PATCH, height, width)
    stride = max(1, (min(height, width) - side) // PATCHES)
    slopes = _directions(level.shape[1], side).to(level)
    along = F.conv2d(level, slopes, stride=stride).transpose(0, 1).flatten(1)
    places = (torch.arange(QUANTILES) + 0.5) / QUANTILES * along.shape[1]
    return along.sort(dim=1).values[:, places.long().to(level.device)]


def _directions(channels: int, side: int) -> Tensor:
    """Draw directions of length 1 in the space of patches, the same for every call."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(DIRECTIONS, channels, side, side, generator=generator)
    return F.normalize(drawn.flatten(1)).view_as(drawn)
