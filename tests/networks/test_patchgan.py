from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks import stock
from imgtranslate.networks import (
    AveragingPatchGan,
    MultiScalePatchGan,
    PatchGan,
    PixelGan,
)

PLAIN: dict[str, Any] = {
    "in_channels": 3,
    "base_channels": 4,
    "num_layers": 3,
    "norm": "instance",
    "conv_bias": "by_norm",
}


def build(**changes: Any) -> PatchGan:
    torch.manual_seed(0)
    return PatchGan(**{**PLAIN, "antialias": False, **changes})


def build_scales(num_scales: int, **changes: Any) -> MultiScalePatchGan:
    torch.manual_seed(0)
    return MultiScalePatchGan(num_scales=num_scales, **{**PLAIN, **changes})


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("in_channels", "norm", "expected"), [(3, "instance", 2_764_737), (6, "batch", 2_768_705)]
)
def test_parameter_counts(in_channels: int, norm: str, expected: int) -> None:
    with torch.device("meta"):
        assert count(build(base_channels=64, in_channels=in_channels, norm=norm)) == expected


def test_antialiased_is_cuts_discriminator() -> None:
    with torch.device("meta"):
        network = build(base_channels=64, antialias=True)
        assert count(network) == 2_764_737
        assert network(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    ours = build(antialias=True).double()
    theirs = stock.patchgan(in_channels=3, base_channels=4, layers=3, antialias=True).double()
    stock.copy_weights(ours, theirs)
    for side in (24, 39, 64):
        x = torch.randn(2, 3, side, side, dtype=torch.float64)
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("num_scales", "expected"), [(1, 2_764_737), (2, 3_458_978), (3, 3_634_067)]
)
def test_parameter_counts_of_several_scales(num_scales: int, expected: int) -> None:
    with torch.device("meta"):
        patchgan = build_scales(num_scales, base_channels=64, conv_bias="always")
    assert count(patchgan) == expected


def test_equals_the_layers_written_out() -> None:
    patchgan = build().double()
    weights = patchgan.state_dict()

    def conv(x: Tensor, name: str, stride: int) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride=stride, padding=1)

    def norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = torch.randn(2, 3, 40, 48, dtype=torch.float64)
    h = F.leaky_relu(conv(x, "stem", 2), 0.2)
    h = F.leaky_relu(norm(conv(h, "hidden.0.conv", 2)), 0.2)
    h = F.leaky_relu(norm(conv(h, "hidden.1.conv", 2)), 0.2)
    h = F.leaky_relu(norm(conv(h, "hidden.2.conv", 1)), 0.2)
    torch.testing.assert_close(patchgan(x), conv(h, "head", 1))


@pytest.mark.parametrize(
    ("num_layers", "widths"),
    [
        (1, [4, 8]),
        (2, [4, 8, 16]),
        (3, [4, 8, 16, 32]),
        (4, [4, 8, 16, 32, 32]),
        (5, [4, 8, 16, 32, 32, 32]),
    ],
)
def test_widths_double_up_to_eight_times_the_first(num_layers: int, widths: list[int]) -> None:
    patchgan = build(num_layers=num_layers)
    found = [patchgan.stem.out_channels, *(layer.conv.out_channels for layer in patchgan.hidden)]
    assert found == widths


def test_256_px_give_a_30_by_30_map() -> None:
    assert build()(torch.randn(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("num_layers", "size"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_patch_sizes(num_layers: int, size: int) -> None:
    assert_patch_size(size, num_layers=num_layers)


def test_the_patch_size_of_the_antialiased_discriminator() -> None:
    assert_patch_size(84, num_layers=3, antialias=True)


def assert_patch_size(size: int, **changes: Any) -> None:
    patchgan = build(base_channels=1, in_channels=1, norm="none", **changes).double()
    for parameter in patchgan.parameters():
        nn.init.ones_(parameter)  # no path cancels another
    x = torch.ones(1, 1, 512, 512, dtype=torch.float64, requires_grad=True)
    logits = patchgan(x)
    (gradient,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    seen = gradient[0, 0] != 0
    assert seen.any(dim=0).sum() == size
    assert seen.any(dim=1).sum() == size


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("num_layers", "side"), [(1, 6), (2, 12), (3, 24), (4, 48), (5, 96)])
def test_the_smallest_side_trains_at_batch_1_and_one_px_less_does_not(
    num_layers: int, side: int, norm: str
) -> None:
    patchgan = build(num_layers=num_layers, norm=norm)
    assert patchgan(torch.randn(1, 3, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises((RuntimeError, ValueError)):
        patchgan(torch.randn(1, 3, side - 1, side - 1))


def test_several_scales_train_at_their_smallest_side_but_three_not_at_64_px() -> None:
    for scales, side in ((1, 24), (2, 48), (3, 96)):
        assert build_scales(scales)(torch.randn(1, 3, side, side))[-1].shape == (1, 1, 1, 1)
    with pytest.raises((RuntimeError, ValueError)):
        build_scales(3)(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("norm", "conv_bias", "biased"),
    [
        ("instance", "by_norm", True),
        ("batch", "by_norm", False),
        ("none", "by_norm", False),
        ("batch", "always", True),
        ("none", "always", True),
    ],
)
def test_biases(norm: str, conv_bias: str, biased: bool) -> None:
    patchgan = build(norm=norm, conv_bias=conv_bias)
    assert [layer.conv.bias is not None for layer in patchgan.hidden] == [biased] * 3
    assert patchgan.stem.bias is not None
    assert patchgan.head.bias is not None


def test_batch_norm_has_the_usual_eps_and_momentum() -> None:
    norms = [m for m in build(norm="batch").modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(m.eps, m.momentum) for m in norms] == [(1e-5, 0.1)] * 3


@pytest.mark.parametrize(
    "network", [build(), PixelGan(in_channels=3, base_channels=4, norm="none")]
)
def test_logits_are_not_squashed(network: PatchGan | PixelGan) -> None:
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = network(x)
        network.head.weight.mul_(100)
        network.head.bias.mul_(100)
        torch.testing.assert_close(network(x), 100 * before, rtol=1e-4, atol=1e-3)


def test_a_list_of_maps_of_different_sizes_for_one_scale_too() -> None:
    x = torch.randn(2, 3, 128, 128)
    assert [tuple(m.shape) for m in build_scales(1)(x)] == [(2, 1, 14, 14)]
    shapes = [tuple(m.shape) for m in build_scales(3)(x)]
    assert shapes == [(2, 1, 14, 14), (2, 1, 6, 6), (2, 1, 2, 2)]


def test_each_further_scale_has_half_the_width() -> None:
    scales = build_scales(3, base_channels=64).scales
    assert [patchgan.stem.out_channels for patchgan in scales] == [64, 32, 16]


def test_the_first_scale_sees_the_image_and_the_next_the_mean_of_its_neighbourhoods() -> None:
    patchgan = build_scales(2, in_channels=6)
    x = torch.randn(1, 6, 64, 64)
    maps = patchgan(x)
    rows = [slice(max(0, i - 1), i + 2) for i in range(0, 64, 2)]  # padding is not counted
    halved = torch.stack(
        [torch.stack([x[..., r, c].mean(dim=(2, 3)) for c in rows], dim=-1) for r in rows], dim=-2
    )
    torch.testing.assert_close(maps[0], patchgan.scales[0](x))
    torch.testing.assert_close(maps[1], patchgan.scales[1](halved), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_scales", [1, 2, 3])
def test_nothing_is_downsampled_after_the_last_scale(num_scales: int) -> None:
    patchgan, calls = build_scales(num_scales), []
    patchgan.pool.register_forward_hook(lambda *_: calls.append(1))
    patchgan(torch.randn(1, 3, 96, 96))
    assert len(calls) == num_scales - 1


def test_averaging_gives_one_logit_per_image() -> None:
    torch.manual_seed(0)
    averaging = AveragingPatchGan(**PLAIN)
    x = torch.randn(3, 3, 48, 48)
    logits = averaging(x)
    assert logits.shape == (3, 1)
    maps = averaging.patchgan(x)
    torch.testing.assert_close(logits[:, 0], maps.sum(dim=(1, 2, 3)) / maps[0].numel())


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_pixelgan_keeps_the_size(norm: str) -> None:
    pixelgan = PixelGan(in_channels=6, base_channels=4, norm=norm)  # type: ignore[arg-type]
    assert pixelgan(torch.randn(1, 6, 5, 7)).shape == (1, 1, 5, 7)


def test_pixelgan_judges_every_pixel_by_itself() -> None:
    torch.manual_seed(0)
    pixelgan = PixelGan(in_channels=3, base_channels=4, norm="none")
    x = torch.randn(1, 3, 6, 6)
    changed = x.clone()
    changed[0, :, 2, 3] += 1
    different = pixelgan(x) != pixelgan(changed)
    assert different.nonzero().tolist() == [[0, 0, 2, 3]]


def test_a_constant_image_gives_finite_logits_and_gradients() -> None:
    patchgan = build()
    logits = patchgan(torch.ones(1, 3, 48, 48))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in patchgan.parameters())
