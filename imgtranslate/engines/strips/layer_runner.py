"""Layers on maps; norms need one pass to measure the whole picture, and one to apply."""

from collections.abc import Iterator
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from imgtranslate.engines.strips.maps import Map, local, pointwise
from imgtranslate.engines.strips.scratch import Scratch
from imgtranslate.networks.layers import InstanceNorm


@final
class Statistics:
    """Mean and variance of each channel over all values (n, channels, h, w) so far, in float64.

    The first value is subtracted from all values. Otherwise a flat picture would keep a rounding
    error that the norm amplifies (see ``InstanceNorm``).
    """

    def __init__(self) -> None:
        self._anchor: Tensor | None = None  # (1, channels, 1, 1)
        self._count = 0
        self._mean = torch.zeros(1, dtype=torch.float64)  # (channels,)
        self._squares = torch.zeros(
            1, dtype=torch.float64
        )  # sum of squared differences from the mean

    def see(self, x: Tensor) -> None:
        """Add more values (Chan, Golub and LeVeque 1979)."""
        if self._anchor is None:
            self._anchor = x[:1, :, :1, :1].clone()
        variance, mean = torch.var_mean(x - self._anchor, dim=(0, 2, 3), correction=0)
        more = x.numel() // x.shape[1]
        share = more / (self._count + more)
        apart = mean.cpu().double() - self._mean
        self._squares = self._squares + variance.cpu().double() * more
        self._squares = self._squares + apart.square() * (self._count * share)
        self._mean = self._mean + apart * share
        self._count += more

    def normalise(self, x: Tensor, norm: InstanceNorm) -> Tensor:
        """Compute (x - mean) / sqrt(variance + eps), then the scale and shift of the norm."""
        factor = (self._squares / self._count + norm.eps).rsqrt()
        y = x.clone() if self._anchor is None else x - self._anchor
        y.sub_(_beside(self._mean, x)).mul_(_beside(factor, x))
        if norm.affine:
            y.mul_(_beside(norm.weight, x)).add_(_beside(norm.bias, x))
        return y


@final
class LayerRunner:
    """A runner of layers on maps, which stores small maps and recomputes the rows of large ones.

    ``strip_bytes``: the memory for a strip of the largest map. ``heaviest``: the largest number of
    values of a stored map.
    """

    def __init__(self, scratch: Scratch, *, strip_bytes: int, heaviest: int) -> None:
        self._scratch = scratch
        self._strip_bytes = strip_bytes
        self._heaviest = heaviest

    def run(self, x: Map, module: nn.Module, norm: nn.Module | None = None) -> Map:
        """Compute ``norm(module(x))``, with the norm in evaluation mode."""
        y = local(x, module)
        if isinstance(norm, InstanceNorm):
            return self._normalised(y, norm)
        y = self.kept(y)
        return y if norm is None else pointwise(y, norm)

    def kept(self, x: Map) -> Map:
        """Compute and store a map if it is small, else return it unchanged."""
        return self._stored(x) if x.numel <= self._heaviest else x

    def strips(self, x: Map) -> Iterator[tuple[int, Tensor]]:
        """Yield the first row of each strip, and the strip, from top to bottom."""
        step = max(self._strip_bytes // x.row_bytes, 1)
        for start in range(0, x.height, step):
            yield start, x.rows(start, min(start + step, x.height))

    def _normalised(self, x: Map, norm: InstanceNorm) -> Map:
        statistics = Statistics()
        if x.numel <= self._heaviest:
            x = self._stored(x, statistics)
        else:
            for _, rows in self.strips(x):
                statistics.see(rows)
        return pointwise(x, lambda rows: statistics.normalise(rows, norm))

    def _stored(self, x: Map, statistics: Statistics | None = None) -> Map:
        kept = self._scratch.new(channels=x.channels, height=x.height, width=x.width)
        for start, rows in self.strips(x):
            if statistics is not None:
                statistics.see(rows)
            kept.write(start, rows)
        return replace(x, rows=kept.rows, row_bytes=4 * x.channels * x.width)


def _beside(numbers: Tensor, x: Tensor) -> Tensor:
    return numbers.to(x.device, x.dtype)[None, :, None, None]
