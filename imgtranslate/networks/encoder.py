"""The encoders of BicycleGAN (arXiv 1711.11586, section 4): image to distribution of its code."""

# ruff: noqa: D102  # the docstring of a class gives the shapes of ``forward``

from collections import OrderedDict

import torch.nn.functional as F  # noqa: N812  # the usual name
from torch import Tensor, nn

from imgtranslate.networks.layers import Norm, build_norm, full_precision


class DownBlock(nn.Module):
    """Pre-activated residual block that halves both sides; all convolutions have a bias."""

    def __init__(self, *, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm1 = build_norm(norm, in_channels)
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.norm2 = build_norm(norm, in_channels)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.norm1(x), 0.2))
        h = self.conv2(F.leaky_relu(self.norm2(h), 0.2))
        h = F.avg_pool2d(h, 2)  # (n, out, h/2, w/2)
        x = self.shortcut(F.avg_pool2d(x, 2))
        return x + h


class CodeHeads(nn.Module):
    """Two heads on pooled features: (n, channels, h, w) -> mean, log-variance (n, latent_dim)."""

    def __init__(self, *, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.mean = nn.Linear(channels, latent_dim)
        self.log_variance = nn.Linear(channels, latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = x.mean(dim=(2, 3))  # (n, channels)
        return full_precision(self.mean(pooled)), full_precision(self.log_variance(pooled))


class ResidualEncoder(nn.Module):
    """Residual encoder: (n, in_channels, h, w) -> mean and log-variance, (n, latent_dim) each.

    num_blocks: 4 at 256 px, 3 at 128 px; sides of at least 2^(num_blocks + 1) px.
    """

    def __init__(
        self, *, in_channels: int, base_channels: int, num_blocks: int, latent_dim: int, norm: Norm
    ) -> None:
        super().__init__()
        widths = [base_channels * min(i + 1, 4) for i in range(num_blocks + 1)]
        self.stem = nn.Conv2d(in_channels, base_channels, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(
                DownBlock(in_channels=widths[i], out_channels=widths[i + 1], norm=norm)
                for i in range(num_blocks)
            )
        )
        self.heads = CodeHeads(channels=widths[-1], latent_dim=latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)  # (n, c, h/2, w/2)
        x = self.blocks(x)  # (n, 4c, h / 2^(num_blocks + 1), ...)
        code: tuple[Tensor, Tensor] = self.heads(F.leaky_relu(x, 0.2, inplace=True))
        return code


class Resnet18Encoder(nn.Module):
    """ResNet-18 encoder: (n, in_channels, h, w) -> mean and log-variance, (n, latent_dim) each.

    Sides of at least 32 px. The trunk is torchvision's resnet18 without its last stage and head:
    256 channels at 1/16. It is initialised by ``initialise_as_resnet``, not with the 0.02 of GANs.
    """

    def __init__(self, *, in_channels: int, latent_dim: int) -> None:
        from torchvision.models import resnet18  # type: ignore[import-untyped]  # slow to import

        super().__init__()
        resnet = resnet18(weights=None)
        self.trunk = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
                bn1=resnet.bn1,
                relu=resnet.relu,
                maxpool=resnet.maxpool,
                layer1=resnet.layer1,
                layer2=resnet.layer2,
                layer3=resnet.layer3,
            )
        )
        self.heads = CodeHeads(channels=256, latent_dim=latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code: tuple[Tensor, Tensor] = self.heads(self.trunk(x))  # trunk: (n, 256, h/16, w/16)
        return code
