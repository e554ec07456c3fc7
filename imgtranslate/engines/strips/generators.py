"""The forward passes of the two families of generators, on maps instead of tensors.

A map is released as soon as the next one replaces it, which frees its space in the scratch.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn

from imgtranslate.engines.strips.layer_runner import LayerRunner
from imgtranslate.engines.strips.maps import Map, added, joined, local, pointwise
from imgtranslate.networks import ResnetGenerator, UnetGenerator
from imgtranslate.networks.resnet import ConvLayer, ResidualBlock
from imgtranslate.networks.resnet import UpLayer as ResnetUpLayer
from imgtranslate.networks.unet import DownLayer, NoCode, PlaneCode
from imgtranslate.networks.unet import UpLayer as UnetUpLayer

Generator = ResnetGenerator | UnetGenerator


def run_generator(network: Generator, image: Map, z: Tensor | None, *, runner: LayerRunner) -> Map:
    """Compute all maps except the output, whose rows (1, out, n, w) in [-1, 1] are computed later.

    ``z``: (1, latent_dim), if the network takes a code.
    """
    match network:
        case ResnetGenerator():
            return _run_resnet(network, image, runner=runner)
        case UnetGenerator():
            return _run_unet(network, image, z, runner=runner)


def _run_resnet(network: ResnetGenerator, x: Map, *, runner: LayerRunner) -> Map:
    for layer in (network.stem, *network.down, *network.blocks, *network.up):
        x = _run_layer(layer, x, runner=runner)
    return pointwise(local(x, network.head), torch.tanh)


def _run_layer(layer: nn.Module, x: Map, *, runner: LayerRunner) -> Map:
    match layer:
        case ConvLayer():
            return pointwise(runner.run(x, layer.conv, layer.norm), F.relu)
        case ResnetUpLayer():
            return pointwise(runner.run(x, layer.upsample, layer.norm), F.relu)
        case ResidualBlock():
            return _run_block(layer, x, runner=runner)
        case nn.Sequential():
            for part in layer:
                x = _run_layer(part, x, runner=runner)
            return x
        case _:
            return runner.run(x, layer)


def _run_block(block: ResidualBlock, x: Map, *, runner: LayerRunner) -> Map:
    h = pointwise(runner.run(x, block.conv1, block.norm1), F.relu)
    h = runner.run(h, block.conv2, block.norm2)
    return runner.kept(added(x, h))


def _run_unet(network: UnetGenerator, x: Map, z: Tensor | None, *, runner: LayerRunner) -> Map:
    skips: list[Map] = []
    for down in cast(Iterable[DownLayer], network.down):
        x = _run_down(down, x, z, runner=runner)
        skips.append(x)
    x = skips.pop()
    for up in cast(Iterable[UnetUpLayer], network.up):
        x = runner.run(pointwise(x, F.relu), up.upsample, up.norm)
        x = joined(skips.pop(), x) if network.skip_first else joined(x, skips.pop())
    return pointwise(local(pointwise(x, F.relu), network.head), torch.tanh)


def _run_down(layer: DownLayer, x: Map, z: Tensor | None, *, runner: LayerRunner) -> Map:
    x = _with_code(layer.code, x, z)
    if not isinstance(layer.activation, nn.Identity):
        x = pointwise(x, lambda rows: F.leaky_relu(rows, 0.2))
    return runner.run(x, layer.conv, layer.norm)


def _with_code(code: nn.Module, x: Map, z: Tensor | None) -> Map:
    if z is None or isinstance(code, NoCode):
        return x
    if isinstance(code, PlaneCode):
        return joined(x, _plane(code, z, like=x))

    def rows(start: int, stop: int) -> Tensor:
        return z[:, :, None, None].expand(-1, -1, stop - start, x.width)

    channels = z.shape[1]
    tiled = replace(x, channels=channels, rows=rows, row_bytes=4 * channels * x.width)
    return joined(x, tiled)


def _plane(code: PlaneCode, z: Tensor, *, like: Map) -> Map:
    """Stretch the plane bilinearly, to the full width at once and to the height by rows."""
    plane = code.linear(z).view(1, 1, code.side, code.side)
    plane = F.interpolate(plane, size=(code.side, like.width), mode="bilinear")

    def rows(start: int, stop: int) -> Tensor:
        places = torch.arange(start, stop, dtype=torch.float64)
        places = ((places + 0.5) * (code.side / like.height) - 0.5).clamp(min=0)
        above = places.floor().long()
        below = (above + 1).clamp(max=code.side - 1)
        share = (places - above).to(plane)[:, None]
        return plane[:, :, above] * (1 - share) + plane[:, :, below] * share

    return replace(like, channels=1, rows=rows, row_bytes=4 * like.width)
