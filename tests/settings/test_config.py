import dataclasses
import inspect
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import nn

from imgtranslate import builders, networks
from imgtranslate.builders import build_discriminator, build_encoder, build_generator
from imgtranslate.errors import UsageError
from imgtranslate.settings.config import (
    AveragingConfig,
    GeneratorConfig,
    MultiScaleConfig,
    PatchGanConfig,
    PixelConfig,
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    ResnetConfig,
    Section,
    Settings,
    UnetConfig,
    size_multiple,
    smallest_side,
    to_tree,
)
from imgtranslate.settings.parsing import (
    SECTIONS,
    build_settings,
    merge,
    parse_settings,
    read_settings_file,
)
from imgtranslate.settings.presets import PRESETS

FOLDERS = {"data": {"a": "horses", "b": "zebras"}}
KINDS = ("resnet", "unet")


def build(*layers: Mapping[str, Any], method: str | None = None, preset: str = "paper") -> Settings:
    return build_settings(method=method, preset=preset, layers=[FOLDERS, *layers])


def one(name: str, value: Any) -> dict[str, Any]:
    section, _, key = name.partition(".")
    return {section: {key: value}}


def refused(*layers: Mapping[str, Any], preset: str = "paper") -> str:
    with pytest.raises(UsageError) as caught:
        build(*layers, preset=preset)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Names


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("metod.lambda_a", 5, "settings section metod: no such name. Did you mean method?"),
        (
            "method.lamda_identity",
            5,
            "setting method.lamda_identity: no such name. Did you mean method.lambda_identity?",
        ),
        ("data.cropsize", 64, "Did you mean data.crop_size?"),
        ("generator.kind", "resnt", "generator.kind resnt: no such name. Did you mean resnet?"),
        ("generator.norm", "instanc", "Did you mean instance?"),
        ("generator.upsample", "trnspose", "Did you mean transpose?"),
        ("discriminator.kind", "patchgn", "Did you mean patchgan?"),
        ("method.gan_mode", "lsgna", "Did you mean lsgan?"),
        ("data.workers", "atuo", "data.workers atuo: not accepted."),
        ("data.workers", "atuo", "Did you mean auto?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name: str, value: Any, said: str) -> None:
    assert said in refused(one(name, value))


def test_a_misspelt_preset_is_answered_with_the_nearest() -> None:
    assert refused(preset="tinny") == "`preset` tinny: no such name. Did you mean tiny?"


def test_a_name_like_no_other_is_answered_with_the_choice() -> None:
    assert refused(preset="zzz").endswith("Choose from paper, fast, tiny")


def test_a_setting_of_the_other_generator_is_refused() -> None:
    assert "setting generator.depth" in refused({"generator": {"kind": "resnet", "depth": 6}})
    unet = {"generator": {"kind": "unet", "num_blocks": 6}}
    assert "setting generator.num_blocks" in refused(unet)


# Values


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("data.crop_size", 0, 65_537),
        ("data.load_size", 0, 65_537),
        ("data.channels_a", 0, 65),
        ("data.channels_b", -1, 65),
        ("data.workers", -1, 257),
        ("data.held_out", -1, 10**12 + 1),
        ("generator.base_channels", 0, 1025),
        ("generator.num_blocks", -1, 65),
        ("discriminator.base_channels", 0, 1025),
        ("discriminator.num_layers", 0, 6),
        ("method.lambda_a", -0.1, 1e6 + 1),
        ("method.pool_size", -1, 100_001),
        ("optimizer.lr", 0, 1.1),
        ("optimizer.beta1", -0.1, 1.0),
        ("optimizer.beta2", -0.1, 1.0),
        ("schedule.epochs", -1, 10**12 + 1),
        ("schedule.decay_epochs", -1, 10**12 + 1),
        ("schedule.constant_steps", -1, 10**12 + 1),
        ("train.batch_size", 0, 4097),
        ("train.save_every", 0, 10**12 + 1),
        ("train.seed", -1, 2**63),
        ("train.steps", 0, 10**12 + 1),
        ("train.ema_decay", -0.1, 1.0),
    ],
)
def test_out_of_range_is_refused_by_its_name(name: str, low: float, high: float) -> None:
    for value in (low, high, -math.inf, math.inf, math.nan):
        assert refused(one(name, value)).startswith(f"{name} {value}: not")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", True),
        ("train.steps", "3"),
        ("train.steps", 1.5),
        ("train.steps", 3.0),
        ("train.steps", [3]),
        ("train.seed", False),
        ("data.crop_size", True),
        ("data.crop_size", "64"),
        ("data.crop_size", 64.0),
        ("data.crop_size", {"px": 64}),
        ("data.channels_a", True),
        ("data.workers", True),
        ("data.workers", 1.0),
        ("data.flip", 1),
        ("data.flip", "true"),
        ("data.name_a", 3),
        ("generator.base_channels", "64"),
        ("generator.dropout", 0),
        ("generator.norm", None),
        ("optimizer.lr", "1e-3"),
        ("optimizer.lr", True),
        ("schedule.epochs", None),
    ],
)
def test_a_wrong_type_is_refused_by_its_name(name: str, value: Any) -> None:
    assert refused(one(name, value)).startswith(f"{name} {value}: not accepted")


def test_what_is_no_number_is_answered_with_what_should_be() -> None:
    for value in (math.nan, math.inf):
        assert refused(one("optimizer.lr", value)).endswith("It should be a finite number")


def test_a_whole_number_stands_for_a_float() -> None:
    assert build({"method": {"lambda_a": 5}}).method.lambda_a == 5.0


def test_the_ends_of_a_range_are_accepted() -> None:
    train = build({"train": {"seed": 2**63 - 1, "batch_size": 4096, "ema_decay": 0}}).train
    assert (train.seed, train.batch_size, train.ema_decay) == (2**63 - 1, 4096, 0)
    assert build({"optimizer": {"lr": 1}}).optimizer.lr == 1


def test_folders_that_are_not_given_are_asked_for() -> None:
    with pytest.raises(UsageError, match=r"^`b`: not given"):
        build_settings(layers=[{"data": {"a": "horses"}}])


@pytest.mark.parametrize("section", [f.name for f in dataclasses.fields(Settings)])
def test_a_value_in_the_place_of_a_section_is_refused(section: str) -> None:
    assert refused({section: 3}).startswith(f"{section}: is a section, not a setting")


def test_text_that_is_not_unicode_is_refused_by_its_name() -> None:
    assert refused({"data": {"a": "\udcff"}}).startswith("data.a ")


# Presets and layers


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_preset_holds_with_every_generator(preset: str, kind: str) -> None:
    assert build({"generator": {"kind": kind}}, preset=preset).generator.kind == kind


@pytest.mark.parametrize("preset", PRESETS)
def test_every_value_of_a_preset_arrives(preset: str) -> None:
    tree = to_tree(build({"encoder": {}}, method="bicyclegan", preset=preset))
    wanted = {name: values for name, values in PRESETS[preset].items() if name != "generator"}
    assert merge(tree, wanted) == tree
    tree = to_tree(build(preset=preset))
    assert merge(tree, {"generator": PRESETS[preset].get("generator", {})}) == tree


def test_the_paper_is_the_default() -> None:
    assert build_settings(layers=[FOLDERS]) == build(preset="paper")
    assert build().generator == ResnetConfig()


def test_later_layers_win_over_earlier_ones_and_over_the_preset() -> None:
    file, flag = one("generator.base_channels", 8), one("generator.base_channels", 4)
    assert build(preset="tiny").generator.base_channels == 16
    assert build(file, preset="tiny").generator.base_channels == 8
    assert build(file, flag, preset="tiny").generator.base_channels == 4
    assert build(flag, file, preset="tiny").generator.base_channels == 8
    assert build(file, one("train.seed", 7), preset="tiny").generator.base_channels == 8


def test_epochs_replace_the_steps_of_a_preset() -> None:
    assert build(preset="tiny").schedule.constant_steps == 1000
    schedule = build(one("schedule.epochs", 3), preset="tiny").schedule
    assert (schedule.epochs, schedule.constant_steps, schedule.decay_steps) == (3, None, None)


def test_steps_replace_only_themselves_in_a_preset() -> None:
    schedule = build(one("schedule.constant_steps", 3), preset="tiny").schedule
    assert (schedule.constant_steps, schedule.decay_steps) == (3, 1000)


def test_merging_leaves_what_it_merged() -> None:
    first, second = {"train": {"seed": 1}}, {"train": {"steps": 2}}
    assert merge(first, second) == {"train": {"seed": 1, "steps": 2}}
    assert (first, second) == ({"train": {"seed": 1}}, {"train": {"steps": 2}})


# What follows from the crop size


@given(quarter=st.integers(2, 14_000))
@examples(max_examples=50, deadline=None)
def test_the_load_size_and_the_blocks_follow_from_the_crop(quarter: int) -> None:
    settings = build(one("data.crop_size", 4 * quarter), one("discriminator.num_layers", 1))
    assert settings.data.load_size == round(4 * quarter * 286 / 256)
    assert isinstance(settings.generator, ResnetConfig)
    assert settings.generator.num_blocks == (6 if 4 * quarter <= 128 else 9)


@pytest.mark.parametrize(
    ("crop", "depth"), [(32, 5), (64, 6), (128, 7), (256, 8), (512, 8), (768, 8), (4096, 8)]
)
def test_the_depth_of_a_unet_follows_from_the_crop(crop: int, depth: int) -> None:
    settings = build({"data": {"crop_size": crop}, "generator": {"kind": "unet"}})
    assert isinstance(settings.generator, UnetConfig)
    assert settings.generator.depth == depth


@pytest.mark.parametrize(("crop", "blocks"), [(124, 6), (128, 6), (132, 9)])
def test_the_blocks_change_above_128_px(crop: int, blocks: int) -> None:
    assert to_tree(build(one("data.crop_size", crop)))["generator"]["num_blocks"] == blocks


def test_the_published_sizes_follow_from_the_published_crop() -> None:
    settings = build(one("data.crop_size", 256))
    assert settings.data.load_size == 286
    assert settings == build()


def test_a_value_that_was_set_is_not_derived() -> None:
    small = {"data": {"crop_size": 64, "load_size": 300}}
    resnet = build(small, one("generator.num_blocks", 2))
    assert (resnet.data.load_size, to_tree(resnet)["generator"]["num_blocks"]) == (300, 2)
    unet = build(small, {"generator": {"kind": "unet", "depth": 5}})
    assert to_tree(unet)["generator"]["depth"] == 5
    tiny = build(one("data.crop_size", 256), preset="tiny")
    assert to_tree(tiny)["generator"]["num_blocks"] == 3


@st.composite
def networks_and_crops(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of a generator, a discriminator and a crop that need not fit one another."""
    unet = st.fixed_dictionaries({"kind": st.just("unet")}, optional={"depth": st.integers(5, 12)})
    return {
        "generator": draw(st.just({"kind": "resnet"}) | unet),
        "discriminator": {"num_layers": draw(st.integers(1, 5))},
        "data": {"crop_size": draw(st.integers(1, 700) | st.integers(1, 65_536))},
    }


@given(chosen=networks_and_crops())
@examples(max_examples=400, deadline=None)
def test_a_crop_that_does_not_fit_is_answered_with_one_that_does(chosen: dict[str, Any]) -> None:
    crop = chosen["data"]["crop_size"]
    try:
        accepted = build(chosen)
    except UsageError as error:
        start, _, size = str(error).rpartition("The nearest is data.crop_size ")
        assert start.startswith(f"data.crop_size {crop}: ")
        assert size != str(crop)
        build(chosen, one("data.crop_size", int(size)))
    else:
        assert accepted.data.crop_size == crop


@pytest.mark.parametrize(
    ("crop", "nearest"), [(1, 24), (23, 24), (63, 64), (130, 128), (131, 132), (255, 256)]
)
def test_the_size_that_is_named_is_the_nearest(crop: int, nearest: int) -> None:
    assert refused(one("data.crop_size", crop)).endswith(f"The nearest is data.crop_size {nearest}")


SMALL = [ResnetConfig(base_channels=1, num_blocks=1), UnetConfig(base_channels=1, depth=5)]


@pytest.mark.parametrize("config", SMALL, ids=KINDS)
def test_the_smallest_side_is_the_smallest_that_the_network_learns_at(
    config: GeneratorConfig,
) -> None:
    side = smallest_side(config)
    assert side % size_multiple(config) == 0
    generator = build_generator(config, in_channels=1, out_channels=1)
    image = torch.rand(1, 1, side, side)
    assert generator(image).shape == image.shape
    with pytest.raises((ValueError, RuntimeError)):
        generator(image[..., : side // 2, : side // 2])


def smallest_accepted(generator: Mapping[str, Any], num_layers: int) -> int:
    chosen = {"generator": generator, "discriminator": {"num_layers": num_layers}}
    return int(refused(chosen, one("data.crop_size", 1)).rpartition(" ")[2])


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("config", SMALL, ids=KINDS)
def test_networks_learn_at_the_smallest_size_accepted(
    config: GeneratorConfig, num_layers: int
) -> None:
    side = smallest_accepted(to_tree(config), num_layers)
    generator = build_generator(config, in_channels=1, out_channels=1)
    judge = PatchGanConfig(base_channels=1, num_layers=num_layers)
    image = torch.rand(1, 1, side, side)
    fake = generator(image)
    assert fake.shape == image.shape
    assert build_discriminator(judge, in_channels=1)(fake).numel() >= 1


@pytest.mark.parametrize(("given", "missing"), [("a", "b"), ("b", "a")])
def test_held_out_pictures_of_one_side_of_pairs_are_refused(given: str, missing: str) -> None:
    alone = one(f"data.held_out_{given}", "test")
    said = f"data.held_out_{given}: pictures of one side are no pairs, which this training holds "
    said += f"out. Set data.held_out_{missing} too, or data.held_out_pairs instead"
    pairs = {"data": {"a": "", "b": "", "pairs": "facades"}}
    for of_pairs in ({"method": {"kind": "pix2pix"}}, pairs):
        assert refused(of_pairs, alone) == said
        build(of_pairs, alone, one(f"data.held_out_{missing}", "test"))
        build(of_pairs, alone, one("data.held_out_pairs", "test"))
    build(alone)


def test_a_load_size_smaller_than_the_crop_is_refused() -> None:
    assert refused(one("data.load_size", 255)).startswith("data.load_size 255: smaller than")
    assert build(one("data.load_size", 256)).data.load_size == 256


# There and back


def alternatives(cls: type[Section]) -> Iterator[tuple[str, Any]]:
    """For every field that has a choice, a value that is not its default."""
    for field in fields(cls):
        annotation: Any = field.type
        adapter = TypeAdapter(annotation)
        for value in (*choices(annotation), True, False, 1, 2, 5, 6, 0.25, "word"):
            if value != field.default and is_valid(adapter, value):
                yield field.name, value
                break


def choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def fields(cls: type[Section]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)  # type: ignore[arg-type]


def is_valid(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def sections() -> dict[str, tuple[type[Section], ...]]:
    """The classes that each section of settings may be of."""
    return dict(SECTIONS)


def kind_of(cls: type[Section]) -> Any:
    return next(field.default for field in fields(cls) if field.name == "kind")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_survive_the_way_to_a_tree_and_back(preset: str, kind: str) -> None:
    settings = build({"generator": {"kind": kind}}, preset=preset)
    assert parse_settings(to_tree(settings)) == settings


def test_every_setting_survives_the_way_to_a_tree_and_back() -> None:
    for section, classes in sections().items():
        for cls in classes:
            own = {"kind": kind_of(cls)} if len(classes) > 1 else {}
            for name, value in alternatives(cls):
                chosen = merge(FOLDERS, {section: own}, one(f"{section}.{name}", value))
                settings = parse_settings(chosen)
                assert to_tree(settings)[section][name] == value
                assert parse_settings(to_tree(settings)) == settings


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().train.seed = 3  # type: ignore[misc]


# Files and assignments


def test_a_file_of_settings_is_read_without_the_record(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "[data]\na = 'horses'\n[method]\nlambda_a = 5\n[record]\ntorch = '2.15'\n", encoding="utf-8"
    )
    assert read_settings_file(path) == {"data": {"a": "horses"}, "method": {"lambda_a": 5}}


def test_a_file_is_read_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes("[data]\nname_a = 'Äpfel'\n".encode())
    assert read_settings_file(path) == {"data": {"name_a": "Äpfel"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[data]\na = \n", "not valid TOML"),
        (b"[data\n", "not valid TOML"),
        (b"[data]\na = 1\na = 2\n", "not valid TOML"),
        (b"\x89PNG\r\n\x1a\n\xff\xd8\xff\x00", "not valid TOML"),
        (b"a = " + b"1" * 5000, "not valid TOML"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (None, "cannot be read: No such file"),
    ],
    ids=["value", "bracket", "twice", "binary", "digits", "nested", "missing"],
)
def test_a_file_that_is_no_toml_gives_one_line(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_settings_file(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_settings_file(tmp_path)


# From config to networks

IN_OUT = frozenset({"in_channels", "out_channels"})
IN, CODED = frozenset({"in_channels"}), frozenset({"in_channels", "latent_dim"})
BUILT: dict[type[Section], tuple[type[nn.Module], frozenset[str]]] = {
    # config: what is built, what the builder is given besides
    ResnetConfig: (networks.ResnetGenerator, IN_OUT | {"recompute"}),
    UnetConfig: (networks.UnetGenerator, IN_OUT),
    PatchGanConfig: (networks.PatchGan, IN),
    MultiScaleConfig: (networks.MultiScalePatchGan, IN),
    AveragingConfig: (networks.AveragingPatchGan, IN),
    PixelConfig: (networks.PixelGan, IN),
    ResidualEncoderConfig: (networks.ResidualEncoder, CODED),
    Resnet18EncoderConfig: (networks.Resnet18Encoder, CODED),
}


def field_names(config: type[Section]) -> set[str]:
    return {field.name for field in fields(config)} - {"kind"}


def test_every_network_of_config_is_known_here() -> None:
    kinds = sections()
    assert {*kinds["generator"], *kinds["discriminator"], *kinds["encoder"]} == set(BUILT)


@pytest.mark.parametrize("config", BUILT)
def test_config_and_constructor_agree(config: type[Section]) -> None:
    network, supplied = BUILT[config]
    parameters = inspect.signature(network).parameters
    assert set(parameters) == field_names(config) | supplied
    assert not field_names(config) & supplied
    for parameter in parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is inspect.Parameter.empty  # defaults stand in config alone


def arguments_of(config: Section, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the builder calls the constructor with."""
    calls: list[dict[str, Any]] = []
    network = BUILT[type(config)][0]
    monkeypatch.setattr(builders, network.__name__, lambda **given: calls.append(given))
    match config:
        case ResnetConfig() | UnetConfig():
            build_generator(config, in_channels=3, out_channels=1)
        case ResidualEncoderConfig() | Resnet18EncoderConfig():
            build_encoder(config, in_channels=3, latent_dim=5)
        case PatchGanConfig() | MultiScaleConfig() | AveragingConfig() | PixelConfig():
            build_discriminator(config, in_channels=3)
    (arguments,) = calls
    return arguments


@pytest.mark.parametrize("config", BUILT)
def test_the_builder_passes_every_field_on_under_its_name(
    config: type[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = arguments_of(config(), monkeypatch)
    assert set(plain) == set(inspect.signature(BUILT[config][0]).parameters)
    changes = dict(alternatives(config))
    assert set(changes) == field_names(config)
    for name, value in changes.items():
        assert arguments_of(config(**{name: value}), monkeypatch) == {**plain, name: value}


def test_the_builder_passes_the_channels_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for config in (ResnetConfig(), UnetConfig()):
        arguments = arguments_of(config, monkeypatch)
        assert (arguments["in_channels"], arguments["out_channels"]) == (3, 1)


def test_choices_of_config_are_those_of_the_networks() -> None:
    for config, (network, _) in BUILT.items():
        taken = get_type_hints(network.__init__)
        for field in fields(config):
            if field.name != "kind":
                assert set(choices(field.type)) == set(choices(taken[field.name])), field.name
