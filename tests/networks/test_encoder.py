import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from imgtranslate.networks import ResidualEncoder, Resnet18Encoder


def build(**changes: Any) -> ResidualEncoder:
    plain: dict[str, Any] = {
        "in_channels": 3,
        "base_channels": 4,
        "num_blocks": 3,
        "latent_dim": 8,
        "norm": "instance",
    }
    torch.manual_seed(0)
    return ResidualEncoder(**{**plain, **changes})


@pytest.mark.parametrize(("num_blocks", "count"), [(4, 2_590_032), (3, 1_344_080)])
def test_parameter_counts(num_blocks: int, count: int) -> None:
    with torch.device("meta"):
        encoder = build(base_channels=64, num_blocks=num_blocks)
    assert sum(p.numel() for p in encoder.parameters()) == count


@pytest.mark.parametrize(
    ("num_blocks", "widths"), [(3, [64, 128, 192, 256]), (4, [64, 128, 192, 256, 256])]
)
def test_widths(num_blocks: int, widths: list[int]) -> None:
    with torch.device("meta"):
        encoder = build(base_channels=64, num_blocks=num_blocks)
    found = [encoder.stem.out_channels, *(b.conv2.out_channels for b in encoder.blocks)]
    assert found == widths


def test_equals_the_layers_written_out_with_the_fixed_pooling_of_the_reference_at_128_px() -> None:
    encoder = build().double()
    weights = encoder.state_dict()

    def conv(x: Tensor, name: str, **kwargs: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **kwargs)

    def act(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return F.leaky_relu((x - mean) / (variance + 1e-5).sqrt(), 0.2)

    image = torch.randn(2, 3, 128, 128, dtype=torch.float64)
    x = conv(image, "stem", stride=2, padding=1)
    for i in range(3):
        h = conv(act(x), f"blocks.{i}.conv1", padding=1)
        h = F.avg_pool2d(conv(act(h), f"blocks.{i}.conv2", padding=1), 2)
        x = h + conv(F.avg_pool2d(x, 2), f"blocks.{i}.shortcut")
    pooled = F.avg_pool2d(F.leaky_relu(x, 0.2), 8).flatten(1)
    mean, log_variance = encoder(image)
    for found, head in ((mean, "mean"), (log_variance, "log_variance")):
        expected = F.linear(pooled, weights[f"heads.{head}.weight"], weights[f"heads.{head}.bias"])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("size", [(16, 16), (64, 48), (100, 36), (256, 256)])
def test_any_size_trains_at_batch_1(norm: str, size: tuple[int, int]) -> None:
    encoder = build(norm=norm)
    mean, log_variance = encoder(torch.randn(1, 3, *size))
    (mean.sum() + log_variance.sum()).backward()
    assert mean.shape == log_variance.shape == (1, 8)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_every_convolution_is_biased(norm: str) -> None:
    convolutions = [m for m in build(norm=norm).modules() if isinstance(m, nn.Conv2d)]
    assert [m.bias is not None for m in convolutions] == [True] * 10


def test_the_mean_is_not_a_sample() -> None:
    encoder = build().train()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(encoder(x)[0], encoder(x)[0])


def test_double_precision() -> None:
    mean, log_variance = build().double()(torch.randn(1, 3, 64, 64, dtype=torch.float64))
    assert (mean.dtype, log_variance.dtype) == (torch.float64, torch.float64)


def test_a_constant_image_gives_a_finite_code_and_gradients() -> None:
    encoder = build()
    mean, log_variance = encoder(torch.ones(1, 3, 64, 64))
    (mean + log_variance).sum().backward()
    assert mean.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_resnet18_has_256_channels_at_a_sixteenth_and_any_size_will_do() -> None:
    encoder = Resnet18Encoder(in_channels=6, latent_dim=5)
    assert encoder.trunk(torch.randn(1, 6, 64, 96)).shape == (1, 256, 4, 6)
    for size in ((32, 32), (50, 70)):
        mean, log_variance = encoder(torch.randn(1, 6, *size))
        assert mean.shape == log_variance.shape == (1, 5)


def test_resnet18_is_torchvisions_without_its_last_stage_and_head() -> None:
    from torchvision.models import resnet18

    with torch.device("meta"):
        trunk = Resnet18Encoder(in_channels=3, latent_dim=8).trunk
        theirs = resnet18(weights=None).state_dict()
    expected = {k: v.shape for k, v in theirs.items() if not k.startswith(("layer4.", "fc."))}
    assert {k: v.shape for k, v in trunk.state_dict().items()} == expected


def test_torchvision_is_not_imported_with_the_networks() -> None:
    code = "import sys, imgtranslate.networks; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
