"""Distance of two sets of pictures for validation, cheap enough to be measured during training.

It is a sliced Wasserstein distance between 7x7 px patches of a pyramid, after arXiv 1710.10196,
section 5, with four changes that make it fast and steady: pictures are thumbnails, patches are on a
fixed grid, the directions are always the same, and the distance of each band is relative to the
distance of the real patches from their mean, so that constant pictures give about 1.

``metrics.sliced_wasserstein``, the figure of `evaluate`, is different: it draws random patches at
full size, stores the picture of each patch for its interval, and reads pictures one by one. This
one is a single convolution on the training device, and must be exactly reproducible, because it
chooses the best checkpoint.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor

THUMBNAIL = 128  # px, longest side of a thumbnail
SMALLEST = 16  # px, side of the last level of the pyramid
PATCH, PATCHES = 7, 20  # px, and the approximate number of patches along a side
DIRECTIONS = 64
QUANTILES = 1024
LEAST_SPREAD = 0.01  # spread of values in [-1, 1] below which a set counts as flat

Bands = list[Tensor]  # for each band (DIRECTIONS, QUANTILES), sorted along the last


def describe(pictures: Sequence[Tensor]) -> Bands:
    """Project the patches of pictures, each (1, c, h, w) in [-1, 1] and of the same size."""
    thumbnails = torch.cat([_thumbnail(picture) for picture in pictures])
    return [_projections(level) for level in _pyramid(thumbnails)]


def distance(fake: Bands, real: Bands) -> float:
    """Average over the bands: 0 for equal sets, about 1 between constant and real pictures."""
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
    """Return the detail lost by each halving, then the smallest picture."""
    bands: Bands = []
    while min(pictures.shape[-2:]) >= 2 * SMALLEST:
        low = F.avg_pool2d(pictures, 2)
        size = pictures.shape[-2:]
        bands.append(pictures - F.interpolate(low, size=size, mode="bilinear"))
        pictures = low
    return [*bands, pictures]


def _projections(level: Tensor) -> Tensor:
    """Project the patches of (n, c, h, w) on each direction; sort and subsample the results."""
    height, width = level.shape[-2:]
    side = min(PATCH, height, width)
    stride = max(1, (min(height, width) - side) // PATCHES)
    slopes = _directions(level.shape[1], side).to(level)
    along = F.conv2d(level, slopes, stride=stride).transpose(0, 1).flatten(1)
    places = (torch.arange(QUANTILES) + 0.5) / QUANTILES * along.shape[1]
    return along.sort(dim=1).values[:, places.long().to(level.device)]


def _directions(channels: int, side: int) -> Tensor:
    """Draw directions of length 1 in the space of patches, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(DIRECTIONS, channels, side, side, generator=generator)
    return F.normalize(drawn.flatten(1)).view_as(drawn)
