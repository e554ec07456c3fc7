"""Layers that several networks share: norms, upsamplings, blurs, the last convolution."""

# ruff: noqa: D102  # the class's docstring says what goes into forward and what comes out

import contextlib
from collections.abc import Iterator
from typing import Literal, Protocol

import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor, nn

Norm = Literal["instance", "batch", "none", "instance_affine"]
Upsample = Literal["transpose", "resize"]
ConvBias = Literal["by_norm", "always"]
PaddingMode = Literal["reflect", "zeros"]


def build_norm(norm: Norm, channels: int) -> nn.Module:
    """Build the norm; torch's defaults (eps 1e-5, momentum 0.1) are the published models'.

    Instance norm has neither affine parameters nor running statistics, so that a picture's
    result depends on nothing but the picture.
    """
    match norm:
        case "instance":
            return InstanceNorm(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance_affine":  # batch norm's weights with the statistics of the picture
            return InstanceNorm(channels, affine=True)
        case "none":
            return nn.Identity()


class Rows(Protocol):
    """The rows of a micro-batch: one of ``count`` shares of a whole batch."""

    @property
    def count(self) -> int: ...
    def of(self, whole: Tensor, /) -> Tensor: ...


_DROPOUT_ROWS: list[Rows] = []  # not of one thread: a backward pass may run layers in another


class Dropout(nn.Dropout):
    """Dropout of a whole batch, or inside ``dropout_rows`` of some rows of one.

    Those draw the mask of the whole batch and use their rows of it, so that gradient accumulation
    and several processes train with the masks of one process.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not _DROPOUT_ROWS:
            return super().forward(x)
        rows = _DROPOUT_ROWS[-1]
        n, *sides = x.shape
        mask = torch.empty((n * rows.count, *sides), dtype=x.dtype, device=x.device)
        mask = mask.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * rows.of(mask)


@contextlib.contextmanager
def dropout_rows(rows: Rows) -> Iterator[None]:
    """Let every ``Dropout`` use ``rows`` of the masks of a whole batch."""
    if rows.count == 1:
        yield
        return
    _DROPOUT_ROWS.append(rows)
    try:
        yield
    finally:
        _DROPOUT_ROWS.pop()


def full_precision(x: Tensor) -> Tensor:
    """Convert to float32: under autocast a layer's output may be bfloat16 or float16."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm that keeps a flat picture flat; its statistics are in float32.

    Where all values of a channel are equal, each norm amplifies the rounding error of their
    difference from the mean by up to 1 / sqrt(eps) = 316, until it is noise that differs between
    runtimes. Subtracting the first value changes nothing in exact arithmetic and makes that
    difference an exact 0. Training omits this for speed, and uses the kernel of group norm with
    groups of one channel, which is the same: torch's instance norm takes up to four times as long
    on a CPU, and gives wrong gradients there for a batch of one in channels-last (torch 2.15).
    """

    def forward(self, x: Tensor) -> Tensor:
        x = full_precision(x)
        if not self.training:
            return super().forward(x - x[:, :, :1, :1])
        return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


class HeadConv(nn.Conv2d):
    """A convolution with a large kernel and few output channels, at stride 1, padded to its size.

    A CPU computes 16 channels for 3. Training on a CPU therefore splits the kernel by rows: one
    convolution of height 1 for each row, and the sum of the results, each moved by its row. It is
    the same sum in another order.
    """

    def forward(self, x: Tensor) -> Tensor:
        if (
            not self.training
            or x.device.type != "cpu"
            or self.kernel_size[0] * len(self.weight) > 64
        ):
            return super().forward(x)
        half = self.kernel_size[0] // 2
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        x = F.pad(x, (half, half, half, half), mode=mode)
        return _convolve_by_rows(x, self.weight, self.bias)


def _convolve_by_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map (n, c, h + k - 1, w + k - 1) and (out, c, k, k) to (n, out, h, w)."""
    out, c, k, _ = weight.shape
    kernels = weight.permute(2, 0, 1, 3).reshape(k * out, c, 1, k)
    rows = full_precision(F.conv2d(x, kernels))  # (n, k out, h + k - 1, w)
    height = x.shape[2] - k + 1
    y = torch.stack([row[:, :, r : r + height] for r, row in enumerate(rows.chunk(k, 1))]).sum(0)
    return y if bias is None else y + bias[:, None, None]


def has_bias(norm: Norm, conv_bias: ConvBias) -> bool:
    """Tell whether the inner convolutions are biased.

    ``by_norm`` is CycleGAN's and pix2pix's rule: with instance norm only, neither with batch norm
    nor without a norm. ``always`` is BicycleGAN's.
    """
    return conv_bias == "always" or norm == "instance"


def build_upsampling(
    *,
    in_channels: int,
    out_channels: int,
    upsample: Upsample,
    kernel_size: Literal[3, 4],
    padding_mode: PaddingMode,
    bias: bool,
) -> nn.Module:
    """Build a layer that doubles both sides; ``kernel_size`` is the transposed convolution's."""
    match upsample:
        case "transpose":
            return nn.ConvTranspose2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=2,
                padding=1,
                output_padding=4 - kernel_size,  # h -> exactly 2h
                bias=bias,
            )
        case "resize":
            return ResizeConv(
                in_channels=in_channels,
                out_channels=out_channels,
                padding_mode=padding_mode,
                bias=bias,
            )


class BlurDown(nn.Module):
    """Half the sides after a blur [1, 2, 1]^2 / 16 (arXiv 1904.11486), as two means of two."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2)  # (n, c, h/2, w/2)


class BlurUp(nn.Module):
    """Twice the sides by a blur 4 [1, 3, 3, 1]^2 / 64: nearest pixels, then means of two."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")  # (n, c, 2h + 4, 2w + 4)
        x = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2, stride=1)
        return x[:, :, 1:-1, 1:-1]  # (n, c, 2h, 2w)


class ResizeConv(nn.Module):
    """Nearest upsampling, then Conv 3x3: no checkerboard (Odena et al., Distill 2016)."""

    def __init__(
        self, *, in_channels: int, out_channels: int, padding_mode: PaddingMode, bias: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, 3, padding=1, padding_mode=padding_mode, bias=bias
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")  # (n, in, 2h, 2w)
        y: Tensor = self.conv(x)  # (n, out, 2h, 2w)
        return y
