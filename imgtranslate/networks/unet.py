"""The generator of pix2pix (arXiv 1611.07004, appendix 6.1.1), and of BicycleGAN with a code z.

The activations work in place as in the reference: LeakyReLU overwrites the features of the skip.
This saves a copy of every skip and changes no output or gradient, since a ReLU follows every
concatenation and relu(leaky_relu(x)) = relu(x). Appending z makes a copy anyway, and leaves the
skip unchanged.
"""

# ruff: noqa: D102  # the docstring of a class gives the shapes of ``forward``

from collections.abc import Collection, Iterable, Iterator
from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn

from imgtranslate.networks.layers import (
    ConvBias,
    Dropout,
    Features,
    Norm,
    Upsample,
    build_norm,
    build_upsampling,
    full_precision,
    has_bias,
)

SkipOrder = Literal["skip_first", "up_first"]
CodeAt = Literal["none", "input", "all", "middle", "plane"]


class NoCode(nn.Module):
    """Features without a code."""

    channels = 0

    def forward(self, x: Tensor, _z: Tensor | None) -> Tensor:
        return x


class TiledCode(nn.Module):
    """A code z that is appended to the features, equal at every pixel."""

    def __init__(self, *, latent_dim: int) -> None:
        super().__init__()
        self.channels = latent_dim

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        tiled = z[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
        return torch.cat((x, tiled), dim=1)  # (n, c + d, h, w)


class PlaneCode(nn.Module):
    """A code z that is appended to the features as one plane, linear in z.

    The linear layer sets each pixel of the plane at one size. The plane is stretched to other
    sizes, so that the model is not limited to the size of the training.
    """

    channels = 1

    def __init__(self, *, latent_dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.linear = nn.Linear(latent_dim, side * side)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        plane = self.linear(z).view(-1, 1, self.side, self.side)
        plane = F.interpolate(plane, size=x.shape[2:], mode="bilinear")  # (n, 1, h, w)
        return torch.cat((x, plane), dim=1)  # (n, c + 1, h, w)


class DownLayer(nn.Module):
    """Optional code, LeakyReLU 0.2, Conv 4x4 stride 2, norm; z passes through the LeakyReLU too.

    It may overwrite ``x``, see above, but not in the outermost layer, where x is the image.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        code: NoCode | TiledCode | PlaneCode,
        outermost: bool,
        norm: Norm,
        bias: bool,
    ) -> None:
        super().__init__()
        self.code = code
        self.activation = nn.Identity() if outermost else nn.LeakyReLU(0.2, inplace=True)
        self.conv = nn.Conv2d(
            in_channels + code.channels, out_channels, 4, stride=2, padding=1, bias=bias
        )
        self.norm = build_norm(norm, out_channels)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        y: Tensor = self.norm(self.convolve(x, z))
        return y

    def convolve(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Return the features before the norm."""
        y: Tensor = self.conv(self.activation(self.code(x, z)))  # (n, out, h/2, w/2)
        return y


class UpLayer(nn.Module):
    """ReLU (in place), upsampling by 2, norm, optional dropout."""

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        upsample: Upsample,
        norm: Norm,
        bias: bool,
        dropout: bool,
    ) -> None:
        super().__init__()
        self.upsample = build_upsampling(
            in_channels=in_channels,
            out_channels=out_channels,
            upsample=upsample,
            kernel_size=4,
            padding_mode="zeros",
            bias=bias,
        )
        self.norm = build_norm(norm, out_channels)
        self.dropout = Dropout(0.5) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.upsample(F.relu(x, inplace=True))  # (n, out, 2h, 2w)
        y: Tensor = self.dropout(self.norm(x))
        return y


class UnetGenerator(nn.Module):
    """UNet generator: (n, in_channels, h, w), z (n, latent_dim) -> (n, out_channels, h, w).

    Images are in [-1, 1]; h and w are multiples of 2^depth. depth is at least 2, and at least 5 for
    the published widths. ``z_at`` is the place of the code: none, appended to the image, at every
    down layer, at the innermost one only, or appended to the image as one plane, linear in z.

    The innermost features may be 1 x 1: no norm follows them, so neither instance norm nor batch
    norm with a batch of 1 can fail.

    ``tap_channels`` are the names and channels of the taps, in the order of the pass: ``input`` is
    the picture, ``down1``, … are the outputs of the convolutions of the down layers, before their
    norm.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        depth: int,
        norm: Norm,
        dropout: bool,
        upsample: Upsample,
        skip_order: SkipOrder,
        conv_bias: ConvBias,
        latent_dim: int,
        z_at: CodeAt,
    ) -> None:
        if (latent_dim == 0) != (z_at == "none"):
            raise ValueError(f"latent_dim {latent_dim} and z_at {z_at!r} contradict each other")
        super().__init__()
        self.latent_dim = latent_dim
        self.skip_first = skip_order == "skip_first"
        bias = has_bias(norm, conv_bias)
        widths = [base_channels * min(2**level, 8) for level in range(depth)]
        innermost = depth - 1
        self.tap_channels = {"input": in_channels}
        self.tap_channels |= {f"down{level}": width for level, width in enumerate(widths, start=1)}

        self.down = nn.ModuleList(
            DownLayer(
                in_channels=widths[level - 1] if level > 0 else in_channels,
                out_channels=widths[level],
                code=_build_code(z_at, latent_dim, level=level, depth=depth),
                outermost=level == 0,
                norm=norm if 0 < level < innermost else "none",
                bias=bias,
            )
            for level in range(depth)
        )
        self.up = nn.ModuleList(
            UpLayer(
                in_channels=widths[level] if level == innermost else 2 * widths[level],
                out_channels=widths[level - 1],
                upsample=upsample,
                norm=norm,
                bias=bias,
                dropout=dropout and 4 <= level < innermost,  # depth - 5 layers, at full width
            )
            for level in range(innermost, 0, -1)
        )
        self.head = build_upsampling(
            in_channels=2 * widths[0],
            out_channels=out_channels,
            upsample=upsample,
            kernel_size=4,
            padding_mode="zeros",
            bias=True,
        )

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        if (z is None) != (self.latent_dim == 0):
            raise TypeError(f"expected a code z of {self.latent_dim} numbers, or none for 0")
        skips: list[Tensor] = []
        for down in self.down:
            x = down(x, z)  # (n, widths[i], h / 2^(i+1), w / 2^(i+1))
            skips.append(x)
        return self._decode(skips)

    def encode(self, x: Tensor, taps: Collection[str]) -> Features:
        """Return the features of ``taps``; no layer after the last of them runs."""
        features: Features = {}
        for name, tap, _ in self._levels(x):
            if name in taps:
                features[name] = tap
            if len(features) == len(taps):
                break
        return features

    def translate_and_encode(self, x: Tensor, taps: Collection[str]) -> tuple[Tensor, Features]:
        """Return the translation, and the features of ``taps`` in the same pass."""
        levels = list(self._levels(x))
        y = self._decode([skip for _, _, skip in levels[1:]])
        return y, {name: tap for name, tap, _ in levels if name in taps}

    def _levels(self, x: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield name and features of every tap, and the input of the next layer."""
        yield "input", x, x
        for number, down in enumerate(cast(Iterable[DownLayer], self.down), start=1):
            tap = down.convolve(x, None)
            x = down.norm(tap)
            if x is tap:  # no norm: the next activation would overwrite the tap
                x = tap.clone()
            yield f"down{number}", tap, x

    def _decode(self, skips: list[Tensor]) -> Tensor:
        x = skips.pop()
        for up in self.up:
            x = self._join(skips.pop(), up(x))  # (n, 2 widths[i], h / 2^(i+1), w / 2^(i+1))
        return torch.tanh(full_precision(self.head(F.relu(x, inplace=True))))  # (n, out, h, w)

    def _join(self, skip: Tensor, up: Tensor) -> Tensor:
        return torch.cat((skip, up) if self.skip_first else (up, skip), dim=1)


def _build_code(
    z_at: CodeAt, latent_dim: int, *, level: int, depth: int
) -> NoCode | TiledCode | PlaneCode:
    """Build the code layer of a level, from 0 (outermost) to depth - 1 (innermost)."""
    match z_at:
        case "plane" if level == 0:
            return PlaneCode(latent_dim=latent_dim, side=2**depth)
        case "input" if level == 0:
            return TiledCode(latent_dim=latent_dim)
        case "middle" if level == depth - 1:
            return TiledCode(latent_dim=latent_dim)
        case "all":
            return TiledCode(latent_dim=latent_dim)
        case _:
            return NoCode()
