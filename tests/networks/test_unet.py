from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from imgtranslate.networks import UnetGenerator


def build(**changes: Any) -> UnetGenerator:
    plain: dict[str, Any] = {
        "in_channels": 3,
        "out_channels": 3,
        "base_channels": 4,
        "depth": 5,
        "norm": "instance",
        "dropout": False,
        "upsample": "transpose",
        "skip_order": "skip_first",
        "conv_bias": "by_norm",
        "latent_dim": 0,
        "z_at": "none",
    }
    torch.manual_seed(0)
    return UnetGenerator(**{**plain, **changes})


def with_code(z_at: str, **changes: Any) -> UnetGenerator:
    bicycle: dict[str, Any] = {"skip_order": "up_first", "conv_bias": "always", "latent_dim": 8}
    return build(**{**bicycle, "z_at": z_at, **changes})


def by_hand(
    weights: dict[str, Tensor], x: Tensor, z: Tensor, *, depth: int, skip_first: bool, z_at: str
) -> Tensor:
    """The nested blocks of the papers' code; nothing in place, the skip is what came in."""

    def norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    def up(x: Tensor, name: str) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.conv_transpose2d(x.relu(), weight, bias, stride=2, padding=1)

    def block(x: Tensor, level: int) -> Tensor:
        told = z_at == "all" or level == {"input": 0, "middle": depth - 1}.get(z_at)
        h = torch.cat((x, z[:, :, None, None].expand(-1, -1, *x.shape[2:])), 1) if told else x
        h = F.leaky_relu(h, 0.2) if level > 0 else h
        name = f"down.{level}.conv"
        h = F.conv2d(h, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2, padding=1)
        h = norm(h) if 0 < level < depth - 1 else h
        h = block(h, level + 1) if level < depth - 1 else h
        if level == 0:
            return up(h, "head").tanh()
        h = norm(up(h, f"up.{depth - 1 - level}.upsample"))
        return torch.cat((x, h) if skip_first else (h, x), dim=1)

    return block(x, 0)


@pytest.mark.parametrize(
    ("depth", "norm", "count"),
    [
        (8, "batch", 54_413_955),
        (7, "batch", 41_828_995),
        (8, "instance", 54_409_603),
        (7, "instance", 41_825_667),
    ],
)
def test_parameter_counts(depth: int, norm: str, count: int) -> None:
    with torch.device("meta"):
        generator = build(base_channels=64, depth=depth, norm=norm)
    assert sum(p.numel() for p in generator.parameters()) == count


@pytest.mark.parametrize(
    ("depth", "z_at", "count"),
    [
        (8, "all", 54_794_627),
        (7, "all", 42_145_155),
        (8, "input", 54_417_795),
        (7, "input", 41_833_859),
    ],
)
def test_parameter_counts_with_a_code(depth: int, z_at: str, count: int) -> None:
    with torch.device("meta"):
        generator = with_code(z_at, base_channels=64, depth=depth)
    assert sum(p.numel() for p in generator.parameters()) == count


@pytest.mark.parametrize("skip_order", ["skip_first", "up_first"])
@pytest.mark.parametrize("z_at", ["none", "input", "all", "middle"])
def test_equals_the_nested_blocks_in_outputs_and_gradients(skip_order: str, z_at: str) -> None:
    latent_dim = 0 if z_at == "none" else 8
    generator = build(skip_order=skip_order, latent_dim=latent_dim, z_at=z_at).double()
    x = torch.randn(2, 3, 32, 64, dtype=torch.float64)
    z = torch.randn(2, latent_dim, dtype=torch.float64)
    weights = dict(generator.named_parameters())
    first = skip_order == "skip_first"
    expected = by_hand(weights, x, z, depth=5, skip_first=first, z_at=z_at)
    y = generator(x, z) if latent_dim else generator(x)
    torch.testing.assert_close(y, expected)
    for ours, theirs in zip(
        torch.autograd.grad(y.square().sum(), list(weights.values())),
        torch.autograd.grad(expected.square().sum(), list(weights.values())),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_pixel_in_the_middle_and_batch_1_train(
    upsample: str, norm: str, dtype: torch.dtype
) -> None:
    generator = build(norm=norm, upsample=upsample, dropout=True, depth=6).train().to(dtype)
    y = generator(torch.randn(1, 3, 64, 64, dtype=dtype))
    y.sum().backward()
    assert y.shape == (1, 3, 64, 64)
    assert y.dtype == dtype
    assert y.isfinite().all()
    assert y.abs().max() <= 1


def test_no_norm_on_the_outermost_and_innermost_down_layer_nor_on_the_head() -> None:
    generator = build(norm="batch", depth=6)
    normed = [isinstance(layer.norm, nn.BatchNorm2d) for layer in generator.down]
    assert normed == [False, True, True, True, True, False]
    assert all(isinstance(layer.norm, nn.BatchNorm2d) for layer in generator.up)
    assert isinstance(generator.head, nn.ConvTranspose2d)


def test_batch_norm_has_the_usual_eps_and_momentum() -> None:
    norms = [m for m in build(norm="batch").modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(m.eps, m.momentum) for m in norms] == [(1e-5, 0.1)] * 7


def test_resize_has_no_transposed_convolution() -> None:
    kinds = [type(m) for m in build(upsample="resize").modules()]
    assert nn.ConvTranspose2d not in kinds
    assert kinds.count(nn.Conv2d) == 10


@pytest.mark.parametrize("upsample", ["transpose", "resize"])
@pytest.mark.parametrize(
    ("norm", "conv_bias", "biased"),
    [
        ("instance", "by_norm", True),
        ("batch", "by_norm", False),
        ("none", "by_norm", False),
        ("instance", "always", True),
        ("batch", "always", True),
        ("none", "always", True),
    ],
)
def test_biases(upsample: str, norm: str, conv_bias: str, biased: bool) -> None:
    generator = build(norm=norm, conv_bias=conv_bias, upsample=upsample)
    names = {name for name in generator.state_dict() if name.endswith("bias")}
    head = {"head.bias"} if upsample == "transpose" else {"head.conv.bias"}
    inner = {name for name in names if "norm" not in name} - head
    assert head <= names
    assert len(inner) == (9 if biased else 0)


@pytest.mark.parametrize(("depth", "dropped"), [(5, []), (6, [1]), (7, [1, 2]), (8, [1, 2, 3])])
def test_dropout_on_the_layers_just_outside_the_innermost(depth: int, dropped: list[int]) -> None:
    with torch.device("meta"):
        generator = build(depth=depth, dropout=True)
    has = [i for i, up in enumerate(generator.up) if isinstance(up.dropout, nn.Dropout)]
    assert has == dropped
    assert all(generator.up[i].dropout.p == 0.5 for i in dropped)


def test_dropout_comes_after_the_norm() -> None:
    layer = build(depth=6, dropout=True).up[1].train()
    y = layer(torch.randn(1, 64, 8, 8))
    assert (y == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_dropout_is_off_in_eval_mode() -> None:
    x = torch.randn(1, 3, 64, 64)
    dropping, plain = build(depth=6, dropout=True), build(depth=6)
    torch.testing.assert_close(dropping.eval()(x), plain.eval()(x), rtol=0, atol=0)
    assert not torch.allclose(dropping.train()(x), plain.train()(x))


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_constant_image_gives_finite_outputs_and_gradients(norm: str) -> None:
    generator = build(norm=norm)
    y = generator(torch.ones(1, 3, 32, 32))
    y.sum().backward()
    assert y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())


@pytest.mark.parametrize("z_at", ["none", "input", "all", "middle", "plane"])
def test_image_and_code_are_not_overwritten(z_at: str) -> None:
    given = [torch.randn(1, 3, 32, 32), torch.randn(1, 8)][: 1 if z_at == "none" else 2]
    before = [tensor.clone() for tensor in given]
    (build() if z_at == "none" else with_code(z_at))(*given)
    assert all(torch.equal(now, then) for now, then in zip(given, before, strict=True))


@pytest.mark.parametrize("z_at", ["input", "all", "middle", "plane"])
def test_every_number_of_the_code_changes_the_picture(z_at: str) -> None:
    generator = with_code(z_at)
    z = torch.randn(2, 8, requires_grad=True)
    generator(torch.randn(2, 3, 32, 32), z).square().sum().backward()
    assert z.grad is not None
    assert (z.grad != 0).all()


def test_codes_stay_with_their_images() -> None:
    generator = with_code("all")
    x, z = torch.randn(2, 3, 32, 32), torch.randn(2, 8)
    alone = torch.cat([generator(x[i : i + 1], z[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(generator(x, z), alone, rtol=0, atol=1e-5)


def test_the_plane_is_linear_in_z_and_not_tied_to_one_size() -> None:
    code = with_code("plane").down[0].code
    z = torch.randn(2, 8)
    native, double = (code(torch.zeros(2, 3, side, side), z)[:, 3:] for side in (32, 64))
    torch.testing.assert_close(native, code.linear(z).view(2, 1, 32, 32))
    assert double.shape == (2, 1, 64, 64)
    torch.testing.assert_close(double.mean(), native.mean(), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("latent_dim", "z_at"), [(8, "none"), (0, "all"), (0, "plane")])
def test_a_code_without_a_place_or_a_place_without_a_code_is_refused(
    latent_dim: int, z_at: str
) -> None:
    with pytest.raises(ValueError, match="contradict"):
        build(latent_dim=latent_dim, z_at=z_at)


def test_a_missing_or_needless_code_is_refused() -> None:
    x, z = torch.randn(1, 3, 32, 32), torch.randn(1, 8)
    with pytest.raises(TypeError, match="code z"):
        with_code("all")(x)
    with pytest.raises(TypeError, match="code z"):
        build()(x, z)


def test_channels_last_stays_channels_last() -> None:
    generator = with_code("all").eval().to(memory_format=torch.channels_last)
    x, z = torch.randn(2, 3, 32, 32), torch.randn(2, 8)
    y = generator(x.to(memory_format=torch.channels_last), z)
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, with_code("all").eval()(x, z), rtol=0, atol=1e-5)
