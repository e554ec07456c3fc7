"""The papers' networks built from torch's own layers alone, for comparison.

Their parameters have the order of ours, so ``copy_weights`` makes equal networks.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor, nn

Layers = list[nn.Module]


class Residual(nn.Module):
    """A residual block: x + (pad, conv, norm, ReLU, pad, conv, norm)(x)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w)."""
        body: Tensor = self.body(x)
        return x + body


class Blur(nn.Module):
    """A depthwise convolution by a fixed kernel, which halves or doubles the sides."""

    def __init__(self, taps: Sequence[float], *, up: bool) -> None:
        super().__init__()
        line = torch.tensor(taps, dtype=torch.float64) / sum(taps)
        self.kernel = torch.outer(line, line) * (4 if up else 1)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h/2, w/2) or (n, c, 2h, 2w)."""
        c = x.shape[1]
        kernel = self.kernel.to(x).expand(c, 1, -1, -1)
        if not self.up:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=c)
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(x, kernel, stride=2, padding=2, groups=c)[:, :, 1:-1, 1:-1]


def resnet(
    *,
    in_channels: int,
    out_channels: int,
    base_channels: int,
    blocks: int,
    antialias: bool = False,
) -> nn.Sequential:
    """Build CycleGAN's generator, or CUT's with blurs in place of strides."""
    c, stride = base_channels, 1 if antialias else 2
    layers: Layers = [nn.ReflectionPad2d(3), *_normed(nn.Conv2d(in_channels, c, 7), c)]
    for width in (2 * c, 4 * c):
        layers += _normed(nn.Conv2d(width // 2, width, 3, stride=stride, padding=1), width)
        layers += [Blur([1, 2, 1], up=False)] if antialias else []
    layers += [Residual(4 * c) for _ in range(blocks)]
    for width in (2 * c, c):
        if antialias:
            up = nn.Conv2d(2 * width, width, 3, padding=1)
            layers += [Blur([1, 3, 3, 1], up=True), *_normed(up, width)]
        else:
            transposed = nn.ConvTranspose2d(
                2 * width, width, 3, stride=2, padding=1, output_padding=1
            )
            layers += _normed(transposed, width)
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(c, out_channels, 7), nn.Tanh()]
    return nn.Sequential(*layers)


class UnetLevel(nn.Module):
    """One level of a U-Net around ``inner``: down to half the sides, and up again."""

    def __init__(
        self, down: Sequence[nn.Module], inner: nn.Module | None, up: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.down = nn.Sequential(*down)
        self.inner = inner
        self.up = nn.Sequential(*up)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Concatenate ``z`` to the input of every level."""
        if z is not None:
            plane = z[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
            x = torch.cat([x, plane], 1)
        down = self.down(x)
        found: Tensor = self.up(down if self.inner is None else self.inner(down, z))
        return found


class Beside(nn.Module):
    """A level whose input is concatenated to its output."""

    def __init__(self, level: nn.Module, *, skip_first: bool) -> None:
        super().__init__()
        self.level = level
        self.skip_first = skip_first

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """(n, c, h, w) -> (n, c + out, h, w)."""
        inner = self.level(x, z)
        return torch.cat([x, inner] if self.skip_first else [inner, x], 1)


def unet(
    *,
    in_channels: int,
    out_channels: int,
    base_channels: int,
    depth: int,
    latent_dim: int,
    skip_first: bool,
) -> nn.Module:
    """Build pix2pix's generator, or BicycleGAN's with z at every level; instance norm."""
    widths = [in_channels, *(base_channels * min(2**level, 8) for level in range(depth))]
    inner: nn.Module | None = None
    for level in range(depth, 0, -1):  # the innermost first
        above, width = widths[level - 1], widths[level]
        outermost, innermost = level == 1, level == depth
        down: Layers = [] if outermost else [nn.LeakyReLU(0.2)]
        down.append(nn.Conv2d(above + latent_dim, width, 4, stride=2, padding=1))
        down += [] if outermost or innermost else [nn.InstanceNorm2d(width)]
        to = out_channels if outermost else above
        up_from = width if innermost else 2 * width
        up: Layers = [nn.ReLU(), nn.ConvTranspose2d(up_from, to, 4, stride=2, padding=1)]
        up.append(nn.Tanh() if outermost else nn.InstanceNorm2d(to))
        inner = UnetLevel(down, inner, up)
        if outermost:
            return inner
        inner = Beside(inner, skip_first=skip_first)
    raise ValueError("a U-Net of no level")


def patchgan(
    *, in_channels: int, base_channels: int, layers: int, antialias: bool = False
) -> nn.Module:
    """Build a PatchGAN discriminator, which returns logits; CUT's has blurs for strides."""
    widths = [base_channels * min(2**i, 8) for i in range(layers + 1)]
    stride = 1 if antialias else 2
    blur: Layers = [Blur([1, 2, 1], up=False)] if antialias else []
    found: Layers = [nn.Conv2d(in_channels, widths[0], 4, stride=stride, padding=1)]
    found += [nn.LeakyReLU(0.2, True), *blur]
    for i in range(1, layers + 1):
        own = stride if i < layers else 1
        found.append(nn.Conv2d(widths[i - 1], widths[i], 4, stride=own, padding=1))
        found += [nn.InstanceNorm2d(widths[i]), nn.LeakyReLU(0.2, True)]
        found += blur if i < layers else []
    return nn.Sequential(*found, nn.Conv2d(widths[-1], 1, 4, padding=1))


class Scales(nn.Module):
    """PatchGAN discriminators, each for half the sides of the one before."""

    def __init__(self, *, in_channels: int, base_channels: int, layers: int, scales: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.each = nn.ModuleList(
            patchgan(in_channels=in_channels, base_channels=base_channels // 2**n, layers=layers)
            for n in range(scales)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return a map of logits for each scale, the finest first."""
        maps: list[Tensor] = []
        for discriminator in self.each:
            maps.append(discriminator(x))
            x = self.pool(x)
        return maps


class EncoderBlock(nn.Module):
    """A pre-activated residual block that halves the sides."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.InstanceNorm2d(channels),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.InstanceNorm2d(channels),
            nn.LeakyReLU(0.2, True),
            nn.Conv2d(channels, out_channels, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, out, h/2, w/2)."""
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class Encoder(nn.Module):
    """BicycleGAN's encoder: an image to the mean and the log-variance of z."""

    def __init__(
        self, *, in_channels: int, base_channels: int, blocks: int, latent_dim: int
    ) -> None:
        super().__init__()
        widths = [base_channels * min(i + 1, 4) for i in range(blocks + 1)]
        pairs = itertools.pairwise(widths)
        self.trunk = nn.Sequential(
            nn.Conv2d(in_channels, base_channels, 4, stride=2, padding=1),
            *(EncoderBlock(one, other) for one, other in pairs),
            nn.LeakyReLU(0.2, True),
        )
        self.mean = nn.Linear(widths[-1], latent_dim)
        self.log_variance = nn.Linear(widths[-1], latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, c, h, w) -> (n, latent_dim) twice."""
        features = self.trunk(x).mean(dim=(2, 3))
        return self.mean(features), self.log_variance(features)


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy all parameters in order. Raises ``ValueError`` if their numbers differ."""
    for theirs, own in zip(source.parameters(), target.parameters(), strict=True):
        own.copy_(theirs)


def _normed(layer: nn.Module, channels: int) -> Layers:
    return [layer, nn.InstanceNorm2d(channels), nn.ReLU(True)]
