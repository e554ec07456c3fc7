"""Parsing of settings: layers of nested dictionaries become validated dataclasses.

The first fault raises a ``UsageError`` that names the setting, its value and the allowed values.
"""

import difflib
import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from imgtranslate.errors import UsageError, nearest
from imgtranslate.settings.compatibility import check_held_out, check_settings
from imgtranslate.settings.config import (
    LARGEST_SIDE,
    DataSettings,
    Section,
    Settings,
    Tree,
    fields_of,
)
from imgtranslate.settings.presets import METHODS, PRESETS

if TYPE_CHECKING:
    from pydantic import TypeAdapter

LARGEST_PLAIN_CUT = 64  # px, largest crop for which cut resamples without blur (docs/cut.md)
LARGEST_TEXT = 64 * 2**20  # bytes of a settings file; a run's lists its held-out pictures

SECTIONS: Mapping[str, tuple[type[Section], ...]] = {  # the classes of each, its default first
    field.name: tuple(cls for cls in get_args(field.type) or (field.type,) if cls is not NoneType)
    for field in fields_of(Settings)
}


def build_settings(
    *,
    method: str | None = None,
    preset: str = "paper",
    layers: Iterable[Mapping[str, Any]] = (),
) -> Settings:
    """Merge ``layers`` over method and preset, derive settings that are not set, and validate.

    Later layers win. Without ``method``, ``method.kind`` in the layers chooses it. Raises a
    ``UsageError`` that names the first setting that is unknown, of the wrong type, out of range,
    or incompatible with others.
    """
    chosen = merge(*layers)
    _check_sections(chosen)
    base = _base(_method_name(method, chosen), preset, chosen)
    settings = parse_settings(_derive(merge(base, chosen)))
    check_settings(settings)
    check_held_out(settings)
    return settings


def preset_values(method: str, preset: str = "paper") -> Tree:
    """Return the settings that a method and a preset change from the defaults."""
    return _derive(_base(method, preset, {}))


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Convert a nested dictionary to ``Settings``; missing settings take their defaults."""
    from pydantic import ValidationError

    _check_sections(tree)
    _check_names(tree)
    defaults = {name: {"kind": next(iter(kinds_of(name)))} for name in tree if kinds_of(name)}
    try:
        return _adapter().validate_json(json.dumps(merge(defaults, tree), default=str))
    except ValidationError as error:
        raise UsageError(_explain(tree, error.errors())) from error


def merge(*trees: Mapping[str, Any]) -> Tree:
    """Merge nested dictionaries; later values win."""
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def nested(settings: Mapping[str, Any]) -> Tree:
    """Convert ``{"section.name": value}`` to nested dictionaries."""
    split = ((*str(name).partition("."), value) for name, value in settings.items())
    return merge(*({section: {key: value}} for section, _, key, value in split))


def read_settings_text(path: Path) -> str:
    """Read a settings file of at most ``LARGEST_TEXT`` bytes; a device file may be endless.

    Raises ``OSError``, or ``ValueError`` if the file is longer or not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"longer than {LARGEST_TEXT} bytes")
    return content.decode()


def read_settings_file(path: Path) -> Tree:
    """Read a TOML file of settings, without the ``[record]`` that a run adds to its own."""
    try:
        tree = tomllib.loads(read_settings_text(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Give a TOML file") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}. Correct that line") from error
    tree.pop("record", None)
    return tree


# Lower layers: method, preset, derived settings


def _method_name(method: str | None, chosen: Tree) -> str:
    """Find the name in ``METHODS``; refuse settings with a ``method.kind`` that contradicts it."""
    kind = chosen.get("method", {}).get("kind")
    if method is None:
        return nearest(str(kind or "cyclegan"), kinds_of("method"), what="method.kind")
    name = nearest(method, METHODS, what="`method`")
    if kind not in (None, METHODS[name]["method"]["kind"]):
        raise UsageError(
            f"`method` {method}: contradicts method.kind {kind} in the settings. Remove one of them"
        )
    return name


def _base(method: str, preset: str, chosen: Tree) -> Tree:
    """Merge the preset over the method, without the settings that ``chosen`` replaces."""
    changes = {**PRESETS[nearest(preset, PRESETS, what="`preset`")]}
    if chosen.get("schedule", {}).keys() & {"epochs", "decay_epochs"}:
        changes.pop("schedule", None)
    lower = merge(METHODS[method], changes)
    if lower["method"]["kind"] != "bicyclegan":
        lower.pop("encoder", None)
    return {name: _known(name, values, chosen.get(name, {})) for name, values in lower.items()}


def _known(section: str, values: Tree, chosen: Mapping[str, Any]) -> Tree:
    """Keep the values of a lower layer that exist for the chosen kind of the section."""
    known = _names(class_of(section, {**values, **chosen}))
    return {key: value for key, value in values.items() if key in known}


def _derive(tree: Tree) -> Tree:
    """Derive settings from the crop size, unless they are set (``docs/settings.md``)."""
    crop = tree.get("data", {}).get("crop_size", DataSettings.crop_size)
    if type(crop) is not int or crop < 1:
        return tree  # refused by the validation that follows
    derived: Tree = {"data": {"load_size": min(round(crop * 286 / 256), LARGEST_SIDE)}}
    if tree.get("schedule", {}).get("kind") == "plateau":
        derived["schedule"] = {"factor": 0.2}
    if tree.get("generator", {}).get("kind") == "unet":
        derived["generator"] = {"depth": min(max(crop.bit_length() - 1, 5), 8)}
    else:
        derived["generator"] = {"num_blocks": 6 if crop <= 128 else 9}
    if tree.get("method", {}).get("kind") == "cut":
        derived |= _derive_cut(tree, crop, derived)
    encoder = tree.get("encoder", {}).get("kind")
    if encoder == "residual" and crop <= 128:
        derived["encoder"] = {"num_blocks": 3}
    if encoder and crop <= 128:
        derived["discriminator"] = _known(
            "discriminator", {"num_layers": 2}, tree.get("discriminator", {})
        )
    return merge(derived, tree)


def _derive_cut(tree: Tree, crop: int, derived: Tree) -> Tree:
    """Derive the published form of cut, or a plain one for small crops."""
    if crop <= LARGEST_PLAIN_CUT:
        return {"method": {"nce_patches": 64}}
    blurred = {
        section: _known(section, {"antialias": True}, tree.get(section, {}))
        for section in ("generator", "discriminator")
    }
    return merge(derived, blurred, {"init": {"kind": "xavier"}})


# Validation


@functools.cache
def _adapter() -> "TypeAdapter[Settings]":
    from pydantic import TypeAdapter

    return TypeAdapter(Settings)


def _check_sections(tree: Mapping[str, Any]) -> None:
    """Refuse unknown sections, and a value where a section is expected."""
    for section, values in tree.items():
        nearest(section, SECTIONS, what="settings section")
        if not isinstance(values, Mapping):
            raise UsageError(
                f"{section}: is a section, not a setting. Write {section}.<setting>={values}"
            )


def _check_names(tree: Mapping[str, Any]) -> None:
    """Refuse unknown settings, settings of another kind, and text that is not valid Unicode."""
    for section, values in tree.items():
        cls = class_of(section, values)
        for key, value in values.items():
            name = f"{section}.{key}"
            owners = [kind for kind, other in kinds_of(section).items() if key in _names(other)]
            if owners and key not in _names(cls):
                raise UsageError(
                    f"setting {name}: {vars(cls)['kind']} has no such setting. Remove it, or set "
                    f"{section}.kind to {' or '.join(owners)}"
                )
            nearest(name, [f"{section}.{known}" for known in _names(cls)], what="setting")
            _check_unicode(name, str(value))


def _check_unicode(name: str, value: str) -> None:
    """Refuse a path that is not valid Unicode, which a settings file cannot hold."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        shown = value.encode(errors="replace").decode()
        raise UsageError(f"{name} {shown}: not valid Unicode. Rename the folder") from error


def _explain(tree: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> str:
    """Explain the first value that pydantic refuses, with the allowed values."""
    section = faults[0]["loc"][0]
    # A place is the section, the kind in a union and the setting, then inside its value.
    depth = 3 if kinds_of(section) else 2
    place = faults[0]["loc"][:depth]
    messages = [str(fault["msg"]) for fault in faults if fault["loc"][:depth] == place]
    allowed = " or ".join(message.removeprefix("Input should be ") for message in messages)
    key = place[-1]
    given = tree[section][key]
    value = str(given)
    example = json.dumps(given, default=str)[:100]
    allowed = allowed.replace("a valid array", f"a list, as in [{example}]")
    for said, plain in _PLAIN_WORDS.items():
        allowed = allowed.replace(said, plain)
    close = difflib.get_close_matches(value, re.findall(r"'([\w-]+)'", allowed), n=1)
    hint = f". Did you mean {close[0]}?" if close else ""
    return f"{section}.{key} {value[:100]}: not accepted. It should be {allowed}{hint}"


_PLAIN_WORDS = {  # of pydantic
    "a valid integer": "an integer",
    "a valid boolean": "true or false",
    "a valid ": "a ",
}


def class_of(section: str, values: Mapping[str, Any]) -> type[Section]:
    """Find the class of a section by its kind, the first by default."""
    kinds = kinds_of(section)
    if not kinds:
        return SECTIONS[section][0]
    return kinds[nearest(str(values.get("kind", next(iter(kinds)))), kinds, what=f"{section}.kind")]


def kinds_of(section: str) -> dict[str, type[Section]]:
    """Map the kinds of a section to their classes; empty if the section has one class."""
    classes = SECTIONS[section]
    return {str(vars(cls)["kind"]): cls for cls in classes} if len(classes) > 1 else {}


def _names(cls: type[Section]) -> list[str]:
    return [field.name for field in fields_of(cls)]
