"""Discriminators; they return logits, without a sigmoid.

PatchGAN: arXiv 1611.07004, section 3.2.2 and appendix 6.1.2; several scales: BicycleGAN
(1711.11586, section 4), after 1711.11585.
"""

# ruff: noqa: D102  # the docstring of a class gives the shapes of ``forward``

import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn

from imgtranslate.networks.layers import (
    BlurDown,
    ConvBias,
    Norm,
    build_norm,
    full_precision,
    has_bias,
)


class HiddenLayer(nn.Module):
    """Conv, norm, LeakyReLU 0.2; with ``antialias`` a blur makes the stride."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        halve: bool,
        antialias: bool,
        norm: Norm,
        bias: bool,
    ) -> None:
        super().__init__()
        stride = 2 if halve and not antialias else 1
        self.conv = nn.Conv2d(in_channels, out_channels, 4, stride=stride, padding=1, bias=bias)
        self.norm = build_norm(norm, out_channels)
        self.blur = BlurDown() if halve and antialias else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blur(F.leaky_relu(self.norm(self.conv(x)), 0.2, inplace=True))
        return y


class PatchGan(nn.Module):
    """PatchGAN: (n, in_channels, h, w) -> (n, 1, about h / 2^num_layers, w / 2^num_layers) logits.

    With num_layers 1 to 5, one logit sees 16, 34, 70, 142 or 286 px; 3 layers map 256 px to
    30 x 30 logits. With ``antialias`` a fixed blur halves the sides, as in CUT, and one logit of 3
    layers sees 84 px.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        base_channels: int,
        num_layers: int,
        norm: Norm,
        conv_bias: ConvBias,
        antialias: bool,
    ) -> None:
        super().__init__()
        widths = [base_channels * min(2**i, 8) for i in range(num_layers + 1)]
        stride = 1 if antialias else 2
        self.stem = nn.Conv2d(in_channels, base_channels, 4, stride=stride, padding=1)
        self.blur = BlurDown() if antialias else nn.Identity()
        self.hidden = nn.Sequential(
            *(
                HiddenLayer(
                    in_channels=widths[i - 1],
                    out_channels=widths[i],
                    halve=i < num_layers,
                    antialias=antialias,
                    norm=norm,
                    bias=has_bias(norm, conv_bias),
                )
                for i in range(1, num_layers + 1)
            )
        )
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blur(F.leaky_relu(self.stem(x), 0.2, inplace=True))  # (n, c, h/2, w/2)
        x = self.hidden(x)  # (n, up to 8c, h / 2^num_layers - 1, ...)
        logits: Tensor = self.head(x)  # (n, 1, h / 2^num_layers - 2, ...)
        return full_precision(logits)


class PixelGan(nn.Module):
    """PixelGAN of 1x1 convolutions: (n, in_channels, h, w) -> one logit per pixel, (n, 1, h, w).

    Its norm needs at least two pixels.
    """

    def __init__(self, *, in_channels: int, base_channels: int, norm: Norm) -> None:
        super().__init__()
        c, bias = base_channels, has_bias(norm, "by_norm")
        self.stem = nn.Conv2d(in_channels, c, 1)
        self.hidden = nn.Conv2d(c, 2 * c, 1, bias=bias)
        self.norm = build_norm(norm, 2 * c)
        self.head = nn.Conv2d(2 * c, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.stem(x), 0.2, inplace=True)
        x = F.leaky_relu(self.norm(self.hidden(x)), 0.2, inplace=True)  # (n, 2c, h, w)
        logits: Tensor = self.head(x)  # (n, 1, h, w)
        return full_precision(logits)


class MultiScalePatchGan(nn.Module):
    """PatchGANs at several scales: (n, in_channels, h, w) -> a list of logit maps, finest first.

    Each further scale sees a picture of half the sides and has half the channels.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        base_channels: int,
        num_layers: int,
        num_scales: int,
        norm: Norm,
        conv_bias: ConvBias,
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.scales = nn.ModuleList(
            PatchGan(
                in_channels=in_channels,
                base_channels=max(1, base_channels // 2**scale),
                num_layers=num_layers,
                norm=norm,
                conv_bias=conv_bias,
                antialias=False,
            )
            for scale in range(num_scales)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for scale, patchgan in enumerate(self.scales):
            x = self.pool(x) if scale > 0 else x  # (n, c, h / 2^scale, w / 2^scale)
            maps.append(patchgan(x))
        return maps


class AveragingPatchGan(nn.Module):
    """PatchGAN with an averaged map: (n, in_channels, h, w) -> one logit per image, (n, 1).

    This is not the PatchGAN loss: with the mean before the square, patches compensate each other.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        base_channels: int,
        num_layers: int,
        norm: Norm,
        conv_bias: ConvBias,
    ) -> None:
        super().__init__()
        self.patchgan = PatchGan(
            in_channels=in_channels,
            base_channels=base_channels,
            num_layers=num_layers,
            norm=norm,
            conv_bias=conv_bias,
            antialias=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.patchgan(x)  # (n, 1, h', w')
        return logits.mean(dim=(2, 3))  # (n, 1)
