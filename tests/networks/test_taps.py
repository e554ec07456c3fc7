"""The features that generators give to the contrastive loss, and its projection."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor, nn

from benchmarks import stock
from imgtranslate.builders import build_generator
from imgtranslate.networks import PatchProjection, ResnetGenerator, UnetGenerator
from imgtranslate.networks.projection import to_unit_length
from imgtranslate.settings.config import (
    CutConfig,
    GeneratorConfig,
    ResnetConfig,
    UnetConfig,
    nce_taps,
    taps_of,
)

PUBLISHED = ("input", "down1", "down2", "block1", "block5")
RESNETS = [ResnetConfig(base_channels=4, num_blocks=6, antialias=blur) for blur in (False, True)]
UNET = UnetConfig(base_channels=4, depth=5)


def built(config: GeneratorConfig) -> ResnetGenerator | UnetGenerator:
    torch.manual_seed(0)
    return build_generator(config, in_channels=3, out_channels=3).double()


def picture() -> Tensor:
    return torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("config", RESNETS)
def test_taps_are_named_by_meaning(config: ResnetConfig) -> None:
    """The published indices 0, 4, 8, 12, 16 are these layers with antialiasing only."""
    ours, x = built(config), picture()
    theirs = stock.resnet(
        in_channels=3, out_channels=3, base_channels=4, blocks=6, antialias=config.antialias
    ).double()
    stock.copy_weights(ours, theirs)
    indices = [0, 4, 8, 12, 16] if config.antialias else [0, 4, 7, 10, 14]
    found, h = ours.encode(x, PUBLISHED), x
    wanted = []
    for index, layer in enumerate(theirs):
        h = layer(h)
        if index in indices:
            wanted.append(h.clone())  # before the ReLU, which works in place on the next
    assert list(found) == list(PUBLISHED)
    for tap, features in zip(found.values(), wanted, strict=True):
        torch.testing.assert_close(tap, features)
    sides = (32, 16) if config.antialias else (16, 8)
    assert [t.shape[2] for t in found.values()] == [38, *sides, 8, 8]


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize("config", [*RESNETS, UNET])
def test_one_pass_translates_and_gives_the_features(config: GeneratorConfig, norm: Any) -> None:
    generator = built(type(config)(**{**vars(config), "norm": norm}))
    x, taps = picture(), taps_of(config)
    assert taps == tuple(generator.tap_channels)
    y, features = generator.translate_and_encode(x, taps)
    assert torch.equal(y, generator(x))
    alone = generator.encode(x, taps)
    for tap in taps:  # also after the whole pass, whose activations work in place
        assert torch.equal(features[tap], alone[tap]), tap
        assert features[tap].shape[1] == generator.tap_channels[tap], tap
        assert torch.equal(features[tap], generator.encode(x, (tap,))[tap]), tap


@pytest.mark.parametrize("config", [*RESNETS, UNET])
def test_no_layer_runs_after_the_last_tap(config: GeneratorConfig) -> None:
    generator, ran = built(config), set[str]()
    for name, module in generator.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda *_, name=name: ran.add(name))
    generator.encode(picture(), ("input", "down1"))
    first = "stem.conv" if isinstance(config, ResnetConfig) else "down.0.conv"
    assert ran == {first, "down.0.conv"}
    ran.clear()
    generator.encode(picture(), ("input",))
    assert not ran


@pytest.mark.parametrize(
    ("blocks", "wanted"),
    [
        (9, PUBLISHED),
        (6, PUBLISHED),
        (5, ("input", "down1", "down2", "block1", "block4")),
        (3, ("input", "down1", "down2", "block1", "block2")),
        (2, ("input", "down1", "down2", "block1")),
        (1, ("input", "down1", "down2", "block1")),
        (0, ("input", "down1", "down2")),
    ],
)
def test_the_taps_of_few_blocks(blocks: int, wanted: tuple[str, ...]) -> None:
    assert nce_taps(CutConfig(), ResnetConfig(num_blocks=blocks)) == wanted


def test_the_taps_of_a_unet_and_chosen_ones() -> None:
    assert nce_taps(CutConfig(), UNET) == ("input", "down1", "down2", "down3", "down4")
    chosen = CutConfig(nce_taps="block2, input")
    assert nce_taps(chosen, ResnetConfig()) == ("block2", "input")


def test_the_projection_has_the_published_size_and_unit_length() -> None:
    channels = dict(zip(PUBLISHED, (3, 128, 256, 256, 256), strict=True))
    projection = PatchProjection(tap_channels=channels, width=256)
    assert sum(p.numel() for p in projection.parameters()) == 560_384
    found = projection({tap: torch.randn(2, 5, c) for tap, c in channels.items()})
    for vectors in found.values():
        assert vectors.shape == (2, 5, 256)
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(2, 5), rtol=0, atol=1e-5)
    input_mlp = projection.mlps["input"]
    x = torch.randn(1, 4, 3)
    h = F.relu(x @ input_mlp[0].weight.T + input_mlp[0].bias)
    wanted = F.normalize(h @ input_mlp[2].weight.T + input_mlp[2].bias, dim=2)
    torch.testing.assert_close(projection({"input": x})["input"], wanted)


def test_a_vector_of_zeros_has_no_gradient() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = to_unit_length(x)
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    (gradient,) = torch.autograd.grad(unit[:, 0].sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [0.128, -0.096]]))
    assert to_unit_length(x.bfloat16()).dtype == torch.float32
