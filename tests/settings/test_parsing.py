from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgtranslate.errors import UsageError
from imgtranslate.settings.config import (
    ResnetConfig,
    Settings,
    UnetConfig,
    to_tree,
)
from imgtranslate.settings.parsing import (
    build_settings,
    nested,
    parse_settings,
)
from imgtranslate.settings.presets import METHODS, PRESETS

DATA = {"data": {"a": "horses", "b": "zebras"}}


def build(method: str | None = None, preset: str = "paper", **changes: Any) -> Settings:
    chosen = {name.replace("__", "."): value for name, value in changes.items()}
    return build_settings(method=method, preset=preset, layers=[DATA, nested(chosen)])


def refusal(**options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        build(**options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"methd__lambda_a": 1}, "Did you mean method?"),
        ({"method__lamda_a": 1.0}, "Did you mean method.lambda_a?"),
        ({"generator__kind": "resnt"}, "Did you mean resnet?"),
        ({"generator__norm": "instanse"}, "Did you mean instance?"),
        ({"preset": "papr"}, "Did you mean paper?"),
        ({"method": "pix2pxi"}, "Did you mean pix2pix?"),
        ({"discriminator__kind": "patchgn"}, "Did you mean patchgan?"),
    ],
)
def test_a_misspelling_gets_the_nearest_name(options: dict[str, Any], meant: str) -> None:
    assert meant in refusal(**options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"optimizer__lr": 0.0}, "optimizer.lr 0.0"),
        ({"optimizer__lr": float("nan")}, "optimizer.lr nan"),
        ({"optimizer__lr": float("inf")}, "optimizer.lr inf"),
        ({"method__lambda_a": -1.0}, "method.lambda_a -1.0"),
        ({"train__batch_size": 0}, "train.batch_size 0"),
        ({"train__batch_size": True}, "train.batch_size True"),
        ({"train__batch_size": "3"}, "train.batch_size 3"),
        ({"train__batch_size": 1.5}, "train.batch_size 1.5"),
        ({"train__ema_decay": 1.0}, "train.ema_decay 1.0"),
        ({"data__channels_a": 0}, "data.channels_a 0"),
        ({"discriminator__num_layers": 6}, "discriminator.num_layers 6"),
        ({"data__flip": "yes"}, "data.flip yes"),
    ],
)
def test_what_is_out_of_range_or_of_another_type_is_named(
    options: dict[str, Any], named: str
) -> None:
    assert refusal(**options).startswith(named)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "bicyclegan", "generator__kind": "resnet"}, "generator.kind resnet"),
        ({"method": "bicyclegan", "generator__latent_dim": 0}, "generator.latent_dim 0"),
        ({"generator__kind": "unet", "generator__latent_dim": 8}, "generator.latent_dim 8"),
        ({"encoder__kind": "residual"}, "encoder"),
        ({"method__d_ratio": 2}, "method.d_ratio 2"),
        ({"method__gan_mode": "wgangp", "discriminator__norm": "batch"}, "method.gan_mode wgangp"),
        ({"schedule__decay_steps": 5}, "schedule.decay_steps 5"),
        ({"schedule__epochs": 0, "schedule__decay_epochs": 0}, "schedule.epochs 0"),
        ({"schedule__kind": "multistep"}, "schedule.kind multistep"),
        ({"data__load_size": 100}, "data.load_size 100"),
        ({"data__pairs": "pairs"}, "`pairs`"),
        ({"method": "pix2pix", "method__kind": "cyclegan"}, "`method` pix2pix"),
    ],
)
def test_what_does_not_fit_together_is_named(options: dict[str, Any], named: str) -> None:
    assert refusal(**options).startswith(named)


def test_a_section_is_no_value() -> None:
    with pytest.raises(UsageError, match=r"^data: is a section, not a setting"):
        build_settings(layers=[{"data": 3}])


def test_both_folders_are_needed() -> None:
    with pytest.raises(UsageError, match="`b`: not given"):
        build_settings(layers=[{"data": {"a": "horses"}}])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_method_goes_with_every_preset(method: str, preset: str) -> None:
    settings = build(method, preset)
    assert parse_settings(to_tree(settings)) == settings


def test_later_layers_win_over_the_preset() -> None:
    layers = [DATA, {"generator": {"base_channels": 8}}, {"generator": {"base_channels": 9}}]
    settings = build_settings(preset="tiny", layers=layers)
    assert (settings.generator.base_channels, settings.data.crop_size) == (9, 64)


@pytest.mark.parametrize(
    ("crop", "load", "blocks", "depth"), [(64, 72, 6, 6), (128, 143, 6, 7), (256, 286, 9, 8)]
)
def test_sizes_follow_from_the_crop(crop: int, load: int, blocks: int, depth: int) -> None:
    settings = build(data__crop_size=crop)
    assert isinstance(settings.generator, ResnetConfig)
    assert (settings.data.load_size, settings.generator.num_blocks) == (load, blocks)
    unet = build(data__crop_size=crop, generator__kind="unet").generator
    assert isinstance(unet, UnetConfig)
    assert unet.depth == depth
    assert build(data__crop_size=crop, data__load_size=300).data.load_size == 300


@given(
    crop=st.integers(1, 700),
    kind=st.sampled_from(["resnet", "unet"]),
    num_layers=st.integers(1, 5),
    method=st.sampled_from(["cyclegan", "pix2pix"]),
)
def test_the_size_that_is_named_is_accepted(
    crop: int, kind: str, num_layers: int, method: str
) -> None:
    options = {"generator__kind": kind, "discriminator__num_layers": num_layers}
    try:
        build(method, data__crop_size=crop, **options)
    except UsageError as error:
        named = int(str(error).rpartition("data.crop_size ")[2])
        assert named != crop
        assert build(method, data__crop_size=named, **options).data.crop_size == named
