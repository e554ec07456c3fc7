import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from imgtranslate.networks import (
    ResidualEncoder,
    Resnet18Encoder,
    UnetGenerator,
    initialise,
    initialise_as_resnet,
)
from imgtranslate.networks.initialise import Init


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_unet() -> UnetGenerator:
    return UnetGenerator(
        in_channels=3,
        out_channels=3,
        base_channels=4,
        depth=5,
        norm="batch",
        dropout=False,
        upsample="transpose",
        skip_order="up_first",
        conv_bias="always",
        latent_dim=8,
        z_at="plane",
    )


def drawn(module: nn.Module, *, seed: int = 0, **changes: Any) -> dict[str, Tensor]:
    arguments: dict[str, Any] = {"init": "normal", "gain": 0.02, **changes}
    initialise(module, generator=generator(seed), **arguments)
    return {name: p.detach().clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("init", get_args(Init))
def test_weights_follow_from_the_generator_alone(init: str) -> None:
    torch.manual_seed(1)
    first = drawn(small_unet(), init=init)
    torch.manual_seed(2)
    second = drawn(small_unet(), init=init)
    other = drawn(small_unet(), init=init, seed=1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[n], other[n]) for n in first if n.endswith("weight"))


@pytest.mark.parametrize("init", get_args(Init))
def test_the_global_random_state_is_left_alone(init: str) -> None:
    unet = small_unet()
    before = torch.get_rng_state()
    drawn(unet, init=init)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(32, 64, 4), nn.ConvTranspose2d(32, 64, 4), nn.Linear(512, 64)]
)
def test_standard_deviations(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
    expected = {
        "normal": 0.02,
        "xavier": 0.02 * math.sqrt(2 / (fan_in + fan_out)),
        "kaiming": math.sqrt(2 / fan_in),
    }
    for init, std in expected.items():
        weight = drawn(layer, init=init)["weight"]
        assert weight.std().item() == pytest.approx(std, rel=0.03)
        assert weight.mean().item() == pytest.approx(0, abs=std / 50)


def test_orthogonal_rows() -> None:
    weight = drawn(nn.Conv2d(8, 16, 3), init="orthogonal", gain=0.5)["weight"].flatten(1)
    torch.testing.assert_close(weight @ weight.T, 0.25 * torch.eye(16), rtol=0, atol=1e-6)


def test_gain_is_the_deviation_of_normal() -> None:
    weight = drawn(nn.Conv2d(32, 64, 4), gain=0.3)["weight"]
    assert weight.std().item() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(
    "network",
    [
        small_unet(),
        ResidualEncoder(in_channels=3, base_channels=4, num_blocks=3, latent_dim=8, norm="batch"),
    ],
)
def test_biases_are_0(network: nn.Module) -> None:
    biases = [p for name, p in drawn(network).items() if name.endswith("bias")]
    assert biases
    assert not any(bias.any() for bias in biases)


def test_batch_norm_starts_around_1_whatever_the_gain() -> None:
    norm = nn.BatchNorm2d(10_000)
    nn.init.ones_(norm.bias)
    values = drawn(norm, gain=5.0, init="xavier")
    assert values["weight"].mean().item() == pytest.approx(1, abs=1e-3)
    assert values["weight"].std().item() == pytest.approx(0.02, rel=0.03)
    assert not values["bias"].any()


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(4), nn.BatchNorm2d(4, affine=False)])
def test_norms_without_parameters_are_passed_over(norm: nn.Module) -> None:
    assert drawn(norm) == {}


def test_parameters_stay_the_same_objects_and_trainable() -> None:
    unet = small_unet()
    before = list(unet.parameters())
    drawn(unet)
    assert all(a is b and a.requires_grad for a, b in zip(unet.parameters(), before, strict=True))


def test_resnet_initialisation_is_torchvisions_but_from_the_generator() -> None:
    first, second = (Resnet18Encoder(in_channels=3, latent_dim=8) for _ in range(2))
    initialise_as_resnet(first, generator=generator())
    initialise_as_resnet(second, generator=generator())
    ours, again = first.state_dict(), second.state_dict()
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    for name in ("conv1", "layer1.0.conv1", "layer3.0.downsample.0"):
        weight = ours[f"trunk.{name}.weight"]
        deviation = math.sqrt(2 / weight[:, 0].numel())  # fan out
        assert weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert (ours["trunk.layer3.1.bn2.weight"] == 1).all()
    assert ours["heads.mean.weight"].abs().max().item() == pytest.approx(1 / 16, rel=0.01)
