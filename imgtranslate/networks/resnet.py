"""The generator of CycleGAN (arXiv 1703.10593, appendix 7.2, after Johnson et al. 1603.08155)."""

# ruff: noqa: D102  # the docstring of a class gives the shapes of ``forward``

from collections.abc import Callable, Collection, Iterator
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from imgtranslate.networks.layers import (
    BlurDown,
    BlurUp,
    Dropout,
    Features,
    HeadConv,
    Norm,
    PaddingMode,
    Upsample,
    build_norm,
    build_upsampling,
    full_precision,
    has_bias,
)

Padding = Literal["reflect", "zero"]


class ConvLayer(nn.Module):
    """Conv, norm, ReLU; strided layers pad with zeros, as the published models do."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding_mode: PaddingMode,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            padding_mode=padding_mode,
            bias=has_bias(norm, "by_norm"),
        )
        self.norm = build_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.conv(x))

    def activate(self, features: Tensor) -> Tensor:
        """Return norm and ReLU of the convolution's output, which may be a tap and stays as is."""
        normed: Tensor = self.norm(features)
        return F.relu(normed, inplace=normed is not features)


class ResidualBlock(nn.Module):
    """Residual block: x + (Conv 3x3, norm, ReLU, optional dropout, Conv 3x3, norm)(x)."""

    def __init__(
        self, *, channels: int, norm: Norm, dropout: bool, padding_mode: PaddingMode
    ) -> None:
        super().__init__()
        bias = has_bias(norm, "by_norm")
        self.conv1 = nn.Conv2d(
            channels, channels, 3, padding=1, padding_mode=padding_mode, bias=bias
        )
        self.norm1 = build_norm(norm, channels)
        self.dropout = Dropout(0.5) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(
            channels, channels, 3, padding=1, padding_mode=padding_mode, bias=bias
        )
        self.norm2 = build_norm(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)), inplace=True)
        residual: Tensor = self.norm2(self.conv2(self.dropout(h)))
        return x + residual  # no ReLU after the sum


class UpLayer(nn.Module):
    """Upsampling by 2, norm, ReLU."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        upsample: Upsample,
        padding_mode: PaddingMode,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.upsample = build_upsampling(
            in_channels=in_channels,
            out_channels=out_channels,
            upsample=upsample,
            kernel_size=3,
            padding_mode=padding_mode,
            bias=has_bias(norm, "by_norm"),
        )
        self.norm = build_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.upsample(x)), inplace=True)


class ResnetGenerator(nn.Module):
    """ResNet generator: (n, in_channels, h, w) -> (n, out_channels, h, w), both in [-1, 1].

    h and w are multiples of 4 and at least 8. ``padding`` applies to the first and last layer and
    the blocks. ``antialias`` resamples with a fixed blur, as CUT does, in place of ``upsample``.
    With ``recompute`` each layer stores only its input, and runs again in the backward pass.

    ``tap_channels`` are the names and channels of the taps, in the order of the pass: ``input`` is
    the padded picture, ``down1`` and ``down2`` are the outputs of the two convolutions that lead to
    smaller features, before their norm, and ``block1``, … those of the residual blocks.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        num_blocks: int,
        norm: Norm,
        dropout: bool,
        upsample: Upsample,
        padding: Padding,
        antialias: bool,
        recompute: bool,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        c = base_channels
        self.tap_channels = {"input": in_channels, "down1": 2 * c, "down2": 4 * c}
        self.tap_channels |= {f"block{number}": 4 * c for number in range(1, num_blocks + 1)}
        mode: PaddingMode = "reflect" if padding == "reflect" else "zeros"
        self.stem = ConvLayer(
            in_channels=in_channels,
            out_channels=c,
            kernel_size=7,
            stride=1,
            padding_mode=mode,
            norm=norm,
        )
        self.down = nn.Sequential(*_down(c, norm, antialias), *_down(2 * c, norm, antialias))
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(channels=4 * c, norm=norm, dropout=dropout, padding_mode=mode)
                for _ in range(num_blocks)
            )
        )
        self.up = nn.Sequential(
            *(
                _blurred_up(w, norm)
                if antialias
                else UpLayer(
                    in_channels=w,
                    out_channels=w // 2,
                    upsample=upsample,
                    padding_mode=mode,
                    norm=norm,
                )
                for w in (4 * c, 2 * c)
            )
        )
        self.head = HeadConv(c, out_channels, 7, padding=3, padding_mode=mode)

    def forward(self, x: Tensor) -> Tensor:
        x = self._run(self.stem, x)  # (n, c, h, w)
        for part in (self.down, self.blocks):  # (n, 4c, h/4, w/4)
            for layer in part:
                x = self._run(layer, x)
        return self._decode(x)

    def encode(self, x: Tensor, taps: Collection[str]) -> Features:
        """Return the features of ``taps``; no layer after the last of them runs."""
        features: Features = {}
        for name, tensor in self._encoder_outputs(x):
            if name in taps:
                features[name] = tensor
            if len(features) == len(taps):
                break
        return features

    def translate_and_encode(self, x: Tensor, taps: Collection[str]) -> tuple[Tensor, Features]:
        """Return the translation, and the features of ``taps`` in the same pass."""
        outputs = dict(self._encoder_outputs(x))
        y = self._decode(outputs["bottleneck"])
        return y, {name: tensor for name, tensor in outputs.items() if name in taps}

    def _encoder_outputs(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield every tap, then the features that the decoder takes, each once it is computed."""
        yield "input", F.pad(x, (3, 3, 3, 3), mode="reflect")
        x, number = self._run(self.stem, x), 0
        for layer in self.down:
            if isinstance(layer, ConvLayer):
                x, number = self._run(layer.conv, x), number + 1
                yield f"down{number}", x
                x = self._run(layer.activate, x)
            else:
                x = self._run(layer, x)
        for number, block in enumerate(self.blocks, start=1):
            x = self._run(block, x)
            yield f"block{number}", x
        yield "bottleneck", x  # (n, 4c, h/4, w/4)

    def _decode(self, x: Tensor) -> Tensor:
        for layer in self.up:  # (n, c, h, w)
            x = self._run(layer, x)
        return torch.tanh(full_precision(self.head(x)))  # (n, out, h, w)

    def _run(self, layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            y: Tensor = checkpoint(layer, x, use_reentrant=False)
            return y
        found: Tensor = layer(x)
        return found


def _down(channels: int, norm: Norm, antialias: bool) -> list[nn.Module]:
    layer = ConvLayer(
        in_channels=channels,
        out_channels=2 * channels,
        kernel_size=3,
        stride=1 if antialias else 2,
        padding_mode="zeros",
        norm=norm,
    )
    return [layer, BlurDown()] if antialias else [layer]


def _blurred_up(channels: int, norm: Norm) -> nn.Module:
    layer = ConvLayer(
        in_channels=channels,
        out_channels=channels // 2,
        kernel_size=3,
        stride=1,
        padding_mode="zeros",
        norm=norm,
    )
    return nn.Sequential(BlurUp(), layer)
