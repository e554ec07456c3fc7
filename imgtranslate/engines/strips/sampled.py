"""Tiles whose norms share statistics measured on a sample, for when there is no scratch.

The result is near that of the whole picture: the statistics are estimates, and a UNet's field is
larger than its margin.
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.engines.engine import Parts, ReadPixels, Tiling
from imgtranslate.engines.strips.layer_runner import Statistics
from imgtranslate.images import Values
from imgtranslate.networks.layers import InstanceNorm

Measured = dict[nn.Module, Statistics]


def run_sampled(
    network: nn.Module,
    read: ReadPixels,
    z: Tensor | None,
    *,
    size: tuple[int, int],
    tiling: Tiling,
    device: torch.device,
) -> Parts:
    """Yield the first row of each band, and the band, (out, n, width)."""

    def run(windows: list[tuple[slice, slice]]) -> Values:
        x = torch.from_numpy(np.stack([read(*window) for window in windows])).to(device)
        code = () if z is None else (z.expand(len(windows), -1),)
        output: Values = network(x, *code).cpu().numpy()
        return output

    height, width = size
    measured: Measured = {}
    with _norms(network, measured, measuring=True):
        run(list(itertools.product(_samples(height, tiling), _samples(width, tiling))))
    with _norms(network, measured, measuring=False):
        for start in range(0, height, tiling.core):
            rows, used = _around(start, height, tiling)
            parts = [
                run([(rows, columns)])[0, :, used, inside]
                for columns, inside in (
                    _around(left, width, tiling) for left in range(0, width, tiling.core)
                )
            ]
            yield start, np.concatenate(parts, axis=2)


@contextmanager
def _norms(network: nn.Module, measured: Measured, *, measuring: bool) -> Iterator[None]:
    """Let the norms measure their inputs, or normalise them by what was measured."""

    def normalise(norm: InstanceNorm, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        if measuring:
            measured[norm] = Statistics()
            measured[norm].see(inputs[0])
        return measured[norm].normalise(inputs[0], norm)

    with ExitStack() as stack:
        for norm in network.modules():
            if isinstance(norm, InstanceNorm):
                stack.callback(norm.register_forward_hook(normalise).remove)
        yield


def _samples(side: int, tiling: Tiling) -> list[slice]:
    """Spread tiles evenly along one side; a short side is one tile."""
    if tiling.sample * tiling.samples >= side:
        return [slice(0, side)]
    places = np.linspace(0, side - tiling.sample, 2 * tiling.samples + 1).astype(int)[1::2]
    return [slice(place, place + tiling.sample) for place in places.tolist()]


def _around(start: int, side: int, tiling: Tiling) -> tuple[slice, slice]:
    """Return the window to read for the core at ``start``, and the core's place in it."""
    first, stop = max(start - tiling.margin, 0), min(start + tiling.core, side)
    last = min(stop + tiling.margin, side)
    return slice(first, last), slice(start - first, stop - first)
