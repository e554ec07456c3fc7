import inspect
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from imgtranslate import networks
from imgtranslate.networks import ResnetGenerator


def build(**changes: Any) -> ResnetGenerator:
    plain: dict[str, Any] = {
        "in_channels": 3,
        "out_channels": 3,
        "base_channels": 4,
        "num_blocks": 2,
        "norm": "instance",
        "dropout": False,
        "upsample": "transpose",
        "padding": "reflect",
        "antialias": False,
        "recompute": False,
    }
    torch.manual_seed(0)
    return ResnetGenerator(**{**plain, **changes})


def by_hand(weights: dict[str, Tensor], x: Tensor, *, num_blocks: int) -> Tensor:
    """The layers of `methods.md`, one by one."""

    def conv(x: Tensor, name: str, *, reflect: int = 0, **kwargs: int) -> Tensor:
        x = F.pad(x, (reflect,) * 4, mode="reflect") if reflect else x
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **kwargs)

    def up(x: Tensor, name: str) -> Tensor:
        weight, bias = weights[f"{name}.upsample.weight"], weights[f"{name}.upsample.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)

    def norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = norm(conv(x, "stem.conv", reflect=3)).relu()
    for i in range(2):
        x = norm(conv(x, f"down.{i}.conv", stride=2, padding=1)).relu()
    for i in range(num_blocks):
        h = norm(conv(x, f"blocks.{i}.conv1", reflect=1)).relu()
        x = x + norm(conv(h, f"blocks.{i}.conv2", reflect=1))
    for i in range(2):
        x = norm(up(x, f"up.{i}")).relu()
    return conv(x, "head", reflect=3).tanh()


@pytest.mark.parametrize(
    ("num_blocks", "padding", "count"),
    [(9, "reflect", 11_378_179), (6, "reflect", 7_837_699), (0, "zero", 756_739)],
)
def test_parameter_counts(num_blocks: int, padding: str, count: int) -> None:
    with torch.device("meta"):
        generator = build(base_channels=64, num_blocks=num_blocks, padding=padding)
    assert sum(p.numel() for p in generator.parameters()) == count


def test_equals_the_layers_written_out() -> None:
    generator = build().double()
    x = torch.randn(2, 3, 20, 24, dtype=torch.float64)
    expected = by_hand(generator.state_dict(), x, num_blocks=2)
    torch.testing.assert_close(generator(x), expected)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_variant_keeps_the_size_and_trains_at_the_smallest_side(
    padding: str, upsample: str, norm: str, dtype: torch.dtype
) -> None:
    generator = build(norm=norm, upsample=upsample, padding=padding, in_channels=1, dropout=True)
    generator.to(dtype)
    y = generator(torch.randn(1, 1, 8, 12, dtype=dtype))
    y.sum().backward()
    assert y.shape == (1, 3, 8, 12)
    assert y.dtype == dtype
    assert y.abs().max() <= 1


def test_resize_has_no_transposed_convolution() -> None:
    modules = [*build(upsample="resize").modules()]
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in modules)
    assert sum(isinstance(module, nn.Conv2d) for module in modules) == 1 + 2 + 4 + 2 + 1


def test_resize_repeats_pixels() -> None:
    layer = build(upsample="resize", padding="zero").up[0].upsample
    x = torch.randn(1, 16, 3, 5)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = F.conv2d(repeated, layer.conv.weight, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("norm", "biased"), [("instance", True), ("batch", False), ("none", False)]
)
@pytest.mark.parametrize("upsample", ["transpose", "resize"])
def test_convolutions_are_biased_with_instance_norm_only_but_the_head_always(
    norm: str, biased: bool, upsample: str
) -> None:
    generator = build(norm=norm, upsample=upsample)
    convolutions = [m for m in generator.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    inner = [m.bias is not None for m in convolutions if m is not generator.head]
    assert inner == [biased] * 9
    assert generator.head.bias is not None


def test_instance_norm_has_no_parameters_and_no_statistics() -> None:
    generator = build()
    assert {name.rsplit(".", 1)[1] for name in generator.state_dict()} == {"weight", "bias"}
    assert not any("norm" in name for name in generator.state_dict())


def test_batch_norm_has_the_usual_eps_and_momentum() -> None:
    norms = [m for m in build(norm="batch").modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(m.eps, m.momentum, m.affine) for m in norms] == [(1e-5, 0.1, True)] * 9


def test_instance_norm_makes_results_independent_of_mode_and_of_the_rest_of_the_batch() -> None:
    generator = build()
    x = torch.randn(3, 3, 16, 16)
    together = generator.train()(x)
    alone = torch.cat([generator.eval()(one) for one in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_constant_image_gives_finite_outputs_and_gradients(norm: str) -> None:
    generator = build(norm=norm)
    y = generator(torch.ones(1, 3, 16, 16))
    y.sum().backward()
    assert y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


def test_dropout_is_off_in_eval_mode() -> None:
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(build(dropout=True).eval()(x), build().eval()(x), rtol=0, atol=0)


def test_dropout_stands_between_the_two_convolutions_of_a_block() -> None:
    block = build(dropout=True).blocks[0].train()
    seen: list[Tensor] = []
    block.conv2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    torch.manual_seed(0)
    block(torch.randn(1, 16, 32, 32))
    # half are 0 by the ReLU; half of the others by dropout, the rest doubled
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert seen[0].mean().item() == pytest.approx(0.4, abs=0.02)  # E relu(normal(0, 1))


def test_the_image_is_not_overwritten() -> None:
    x = torch.randn(1, 3, 16, 16)
    before = x.clone()
    build()(x)
    assert torch.equal(x, before)


def test_channels_last_stays_channels_last() -> None:
    generator = build().eval().to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last)
    y = generator(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, build().eval()(x.contiguous()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        networks.AveragingPatchGan,
        networks.MultiScalePatchGan,
        networks.PatchGan,
        networks.PixelGan,
        networks.ResidualEncoder,
        networks.Resnet18Encoder,
        networks.ResnetGenerator,
        networks.UnetGenerator,
    ],
)
def test_networks_take_keywords_only_and_have_no_defaults(network: type[nn.Module]) -> None:
    parameters = inspect.signature(network).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert {p.default for p in parameters} == {inspect.Parameter.empty}


def test_a_flat_picture_does_not_become_noise() -> None:
    network = build(base_channels=8, num_blocks=6)
    generator = torch.Generator().manual_seed(0)
    networks.initialise(network, init="normal", gain=0.02, generator=generator)
    with torch.no_grad():
        out = network.eval()(torch.full((1, 3, 64, 64), 0.3))
    centre = out[:, :, 24:40, 24:40]
    assert (centre[:, :, 4:] - centre[:, :, :-4]).abs().max() < 1e-4  # the stride is 4 px


def test_evaluation_equals_training_on_ordinary_pictures() -> None:
    network, x = build().double(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    assert torch.allclose(network.train()(x), network.eval()(x), atol=1e-9)
