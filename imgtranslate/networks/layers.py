"""Layers that several networks share: norms, upsamplings, blurs, the last convolution."""

# ruff: noqa: D102  # the docstring of a class gives the shapes of ``forward``

import contextlib
from collections.abc import Iterator
from typing import Literal, Protocol

import torch
import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn

Norm = Literal["instance", "batch", "none", "instance_affine"]
Upsample = Literal["transpose", "resize"]
ConvBias = Literal["by_norm", "always"]
PaddingMode = Literal["reflect", "zeros"]
Features = dict[str, Tensor]  # (n, c, h', w') by the name of their tap


def build_norm(norm: Norm, channels: int) -> nn.Module:
    """Build a norm with torch's defaults (eps 1e-5, momentum 0.1), as in the published models.

    Instance norm has neither affine parameters nor running statistics, so that the result of a
    picture depends on the picture only.
    """
    match norm:
        case "instance":
            return InstanceNorm(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "instance_affine":  # weights of batch norm with the statistics of each picture
            return InstanceNorm(channels, affine=True)
        case "none":
            return nn.Identity()


class Rows(Protocol):
    """The rows of a micro-batch: one of ``count`` shares of a whole batch."""

    @property
    def count(self) -> int: ...
    def of(self, whole: Tensor, /) -> Tensor: ...


_DROPOUT_ROWS: list[Rows] = []  # not per thread: a backward pass may run layers in another


class Dropout(nn.Dropout):
    """Dropout for a whole batch, or inside ``dropout_rows`` for some rows of one.

    In the second case the mask of the whole batch is drawn and the rows of it are used, so that
    gradient accumulation and several processes train with the same masks as one process.
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
    """Make every ``Dropout`` use ``rows`` of the masks of a whole batch."""
    if rows.count == 1:
        yield
        return
    _DROPOUT_ROWS.append(rows)
    try:
        yield
    finally:
        _DROPOUT_ROWS.pop()


def full_precision(x: Tensor) -> Tensor:
    """Convert to float32, because under autocast an output may be bfloat16 or float16."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm that keeps a flat picture flat; its statistics are in float32.

    Training with bfloat16 on a CPU returns bfloat16. Elsewhere the result is in float32.

    If all values of a channel are equal, each norm amplifies the rounding error of their difference
    from the mean by up to 1 / sqrt(eps) = 316, until it is noise that differs between runtimes.
    Subtracting the first value changes nothing in exact arithmetic and makes that difference
    exactly 0. Training omits this for speed. It uses the equivalent kernel of group norm with one
    channel per group, because torch's instance norm takes up to four times as long on a CPU, and
    gives wrong gradients there for a batch of one in channels-last (torch 2.15).
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            x = full_precision(x)
            return super().forward(x - x[:, :, :1, :1])
        return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


class HeadConv(nn.Conv2d):
    """Convolution of stride 1 with a large kernel and few output channels, on a padded input.

    A CPU computes 16 channels in place of 3. Training on a CPU therefore splits the kernel into
    rows, and sums the shifted results of one convolution of height 1 per row. This is the same sum
    in another order.
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
    """Return whether the inner convolutions have a bias.

    ``by_norm`` is the rule of CycleGAN and pix2pix: a bias with instance norm only, neither with
    batch norm nor without a norm. ``always`` is the rule of BicycleGAN.
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
    """Build a layer that doubles both sides; ``kernel_size`` is for the transposed convolution."""
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
    """Downsampling by 2 after a blur [1, 2, 1]^2 / 16 (arXiv 1904.11486), as two means of two."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2)  # (n, c, h/2, w/2)


class BlurUp(nn.Module):
    """Upsampling by 2 with a blur 4 [1, 3, 3, 1]^2 / 64: nearest pixels, then means of two."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")  # (n, c, 2h + 4, 2w + 4)
        x = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2, stride=1)
        return x[:, :, 1:-1, 1:-1]  # (n, c, 2h, 2w)


class ResizeConv(nn.Module):
    """Nearest upsampling, then Conv 3x3, without checkerboard (Odena et al., Distill 2016)."""

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
