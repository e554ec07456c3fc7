import math
from typing import Any

import pytest

from imgtranslate.errors import UsageError
from imgtranslate.settings.config import fields_of, to_tree
from imgtranslate.settings.listing import (
    Setting,
    explain_section,
    list_settings,
    spell,
)
from imgtranslate.settings.parsing import SECTIONS, build_settings, parse_settings
from imgtranslate.settings.presets import METHODS, PRESETS

FOLDERS = {"data": {"a": "a", "b": "b"}}
SETTINGS = list_settings()


def built(method: str = "cyclegan", preset: str = "paper") -> dict[str, Any]:
    tree = to_tree(build_settings(method=method, preset=preset, layers=[FOLDERS]))
    return {f"{s}.{key}": value for s, values in tree.items() for key, value in values.items()}


def accepts(setting: Setting, value: object) -> bool:
    """Check that a setting takes a value, for the first of its kinds."""
    section, _, key = setting.name.partition(".")
    kind = {"kind": setting.kinds[0]} if setting.kinds else {}
    try:
        parse_settings({section: {**kind, key: value}})
    except UsageError:
        return False
    return True


def test_every_field_of_every_section_is_listed() -> None:
    fields = {
        f"{section}.{field.name}"
        for section, classes in SECTIONS.items()
        for cls in classes
        for field in fields_of(cls)
    }
    assert set(SETTINGS) == fields
    assert len(fields) > 90


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_an_explanation_is_one_line_that_begins_with_a_capital(setting: Setting) -> None:
    line = setting.explanation
    assert line.isprintable()
    assert line == line.strip(" .")
    assert line[0].isupper()
    assert 10 < len(line) < 95


def test_every_section_is_explained() -> None:
    for section in SECTIONS:
        assert explain_section(section)


@pytest.mark.parametrize("method", METHODS)
def test_the_default_of_a_method_is_what_it_is_built_with(method: str) -> None:
    values = built(method)
    for name, value in values.items():
        if name not in ("data.a", "data.b"):
            setting = SETTINGS[name]
            kind = values.get(f"{setting.section}.kind") if setting.name[-5:] != ".kind" else None
            others = setting.other_defaults
            assert value == others.get(method, others.get(str(kind), setting.default)), name


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", ["cyclegan", "bicyclegan"])
def test_the_default_of_a_preset_is_what_it_is_built_with(method: str, preset: str) -> None:
    paper, values = built(method), built(method, preset)
    named = {name for name, setting in SETTINGS.items() if preset in setting.other_defaults}
    changed = {name for name in values if values[name] != paper.get(name)}
    assert named & values.keys() <= changed
    for name in named & values.keys():
        assert values[name] == SETTINGS[name].other_defaults[preset]
    derived = {"discriminator.num_layers"} if method == "bicyclegan" else set()
    assert changed - named <= derived  # of the crop, with an encoder


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.limits])
def test_the_limits_are_those_that_are_enforced(name: str) -> None:
    setting = SETTINGS[name]
    whole = setting.type == "integer"
    for limit, value in setting.limits.items():
        inside, outside = {
            "ge": (value, value - 1),
            "le": (value, value + 1),
            "gt": (math.nextafter(value, math.inf), value),
            "lt": (value - 1 if whole else math.nextafter(value, -math.inf), value),
        }[limit]
        assert accepts(setting, inside), limit
        assert not accepts(setting, outside), limit


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.choices])
def test_the_choices_are_those_that_are_taken(name: str) -> None:
    setting = SETTINGS[name]
    assert all(accepts(setting, choice) for choice in setting.choices)
    assert not accepts(setting, "nonsense")
    assert setting.default in setting.choices
    assert setting.type in ("", "integer")


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.type])
def test_the_type_is_the_one_that_is_taken(name: str) -> None:
    setting = SETTINGS[name]
    examples = {"integer": 5, "number": 0.5, "true, false": True, "text": "x"}
    taken = {kind for kind, value in examples.items() if accepts(setting, value)}
    if setting.type.startswith("list of "):
        assert taken == set()
        return
    wanted = {"number": {"number", "integer"}}
    integers = {"number"} if setting.type == "number" and not accepts(setting, 5) else None
    assert taken == (integers or wanted.get(setting.type, {setting.type}))


def test_a_list_names_its_words() -> None:
    setting = SETTINGS["train.log"]
    assert setting.values == "list of tensorboard, wandb, csv"
    assert accepts(setting, ["tensorboard", "wandb", "csv"])
    assert not accepts(setting, ["nonsense"])


@pytest.mark.parametrize(
    ("name", "values", "defaults"),
    [
        ("generator.base_channels", "1 to 1024", "64, 32 (fast), 16 (tiny)"),
        ("method.pool_size", "0 to 100000", "50, 0 (pix2pix, dualgan)"),
        ("init.gain", "above 0 to 100", "0.02"),
        ("train.ema_decay", "0 to below 1", "0.0"),
        ("train.seed", "0 to below 2^63", "0"),
        ("train.steps", "1 to 1e12", "none"),
        ("data.workers", "0 to 256, auto", "auto"),
        ("data.flip", "true, false", "true"),
        ("data.cache", "text", '""'),
        ("schedule.milestones", "list of integers", "[]"),
        ("discriminator.conv_bias", "by_norm, always", "by_norm, always (multiscale)"),
        (
            "generator.norm",
            "instance, batch, none, instance_affine",
            "instance, batch (pix2pix-paper)",
        ),
    ],
)
def test_values_and_defaults_are_written_in_words(name: str, values: str, defaults: str) -> None:
    assert SETTINGS[name].values == values
    assert SETTINGS[name].defaults == defaults


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), ("", '""'), (True, "true"), ((1, 2), "[1, 2]"), (5e-5, "5e-05"), ("x", "x")],
)
def test_a_value_is_spelled_as_in_a_settings_file(value: object, text: str) -> None:
    assert spell(value) == text
