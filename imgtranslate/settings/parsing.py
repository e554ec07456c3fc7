"""From layers of settings, nested dictionaries, to checked dataclasses.

Whatever is wrong gives one ``UsageError`` that names the setting, its value and what is allowed.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from imgtranslate.errors import UsageError, nearest
from imgtranslate.settings.compatibility import check_settings
from imgtranslate.settings.config import (
    LARGEST_SIDE,
    AveragingConfig,
    BicycleGanConfig,
    CycleGanConfig,
    DataSettings,
    InitSettings,
    MultiScaleConfig,
    OptimizerSettings,
    PatchGanConfig,
    Pix2PixConfig,
    PixelConfig,
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    ResnetConfig,
    ScheduleSettings,
    Section,
    Settings,
    TrainSettings,
    Tree,
    UnetConfig,
    fields_of,
)
from imgtranslate.settings.presets import METHODS, PRESETS

S = TypeVar("S", bound=Section)
LARGEST_TEXT = 64 * 2**20  # bytes of a file of settings; its record lists held-out pictures

SECTIONS: Mapping[str, tuple[type[Section], ...]] = {  # a section's kinds, the default first
    "data": (DataSettings,),
    "method": (CycleGanConfig, Pix2PixConfig, BicycleGanConfig),
    "generator": (ResnetConfig, UnetConfig),
    "discriminator": (PatchGanConfig, MultiScaleConfig, AveragingConfig, PixelConfig),
    "encoder": (ResidualEncoderConfig, Resnet18EncoderConfig),
    "init": (InitSettings,),
    "optimizer": (OptimizerSettings,),
    "schedule": (ScheduleSettings,),
    "train": (TrainSettings,),
}


def build_settings(
    *,
    method: str | None = None,
    preset: str = "paper",
    layers: Iterable[Mapping[str, Any]] = (),
) -> Settings:
    """Lay ``layers`` (later ones win) over method and preset, derive what is left open, check.

    Without ``method`` the layers' ``method.kind`` says which it is. Raises ``UsageError`` naming
    the first setting that is unknown, of the wrong type, out of range, or that does not fit the
    others.
    """
    chosen = merge(*layers)
    for section in chosen:
        nearest(section, SECTIONS, what="settings section")
    base = _base(_method_name(method, chosen), preset, chosen)
    settings = parse_settings(_derive(merge(base, chosen)))
    check_settings(settings)
    return settings


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Turn a nested dictionary into ``Settings``; what it leaves out takes its default."""
    for section in tree:
        nearest(section, SECTIONS, what="settings section")
    parsed = {name: _parse_section(name, tree.get(name, {})) for name in SECTIONS}
    if "encoder" not in tree:
        del parsed["encoder"]
    return Settings(**parsed)


def merge(*trees: Mapping[str, Any]) -> Tree:
    """One nested dictionary of many; later values win, dictionaries are merged."""
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def nested(settings: Mapping[str, Any]) -> Tree:
    """Turn ``{"section.name": value}`` into nested dictionaries."""
    split = ((*name.partition("."), value) for name, value in settings.items())
    return merge(*({section: {key: value}} for section, _, key, value in split))


def read_settings_text(path: Path) -> str:
    """Read at most ``LARGEST_TEXT`` of a file of settings: what is named may have no end.

    Raises ``OSError``, ``ValueError`` if it is longer or not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"longer than {LARGEST_TEXT} bytes")
    return content.decode()


def read_settings_file(path: Path) -> Tree:
    """Read a TOML file of settings; the ``[record]`` that a run adds to its own is left out."""
    try:
        tree = tomllib.loads(read_settings_text(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Give a TOML file") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}. Mend that line") from error
    tree.pop("record", None)
    return tree


def _method_name(method: str | None, chosen: Tree) -> str:
    """Which entry of ``METHODS`` is meant; a file of settings for another one is refused."""
    section = chosen.get("method")
    kind = section.get("kind") if isinstance(section, Mapping) else None
    if method is None:
        return nearest(str(kind or "cyclegan"), _kinds("method"), what="method.kind")
    name = nearest(method, METHODS, what="`method`")
    own = METHODS[name]["method"]["kind"]
    if kind not in (None, own):
        raise UsageError(f"`method` {method}: the settings say method.kind {kind}. Leave one out")
    return name


def _base(method: str, preset: str, chosen: Tree) -> Tree:
    """The method's layer and the preset's, without what the chosen settings replace."""
    lower = merge(METHODS[method], PRESETS[nearest(preset, PRESETS, what="`preset`")])
    if lower["method"]["kind"] != "bicyclegan":
        lower.pop("encoder", None)
    schedule = _mapping(chosen.get("schedule"))
    if schedule.keys() & {"epochs", "decay_epochs"}:
        lower.pop("schedule", None)
    return {name: _fitting(name, values, chosen.get(name)) for name, values in lower.items()}


def _fitting(section: str, values: Tree, chosen: Any) -> Tree:
    """What of a lower layer is known to the kind that is chosen for a section."""
    known = {field.name for field in fields_of(_class(section, {**values, **_mapping(chosen)}))}
    return {key: value for key, value in values.items() if key in known}


def _derive(tree: Tree) -> Tree:
    """Fill in what follows from the crop size, unless it was set (``docs/train.md``)."""
    crop = _mapping(tree.get("data")).get("crop_size", DataSettings.crop_size)
    if type(crop) is not int or crop < 1:
        return tree  # refused by the validation that follows
    derived: Tree = {"data": {"load_size": min(round(crop * 286 / 256), LARGEST_SIDE)}}
    if _mapping(tree.get("schedule")).get("kind") == "plateau":
        derived["schedule"] = {"factor": 0.2}
    if _mapping(tree.get("generator")).get("kind") == "unet":
        derived["generator"] = {"depth": min(max(crop.bit_length() - 1, 5), 8)}
    else:
        derived["generator"] = {"num_blocks": 6 if crop <= 128 else 9}
    encoder = _mapping(tree.get("encoder")).get("kind")
    if encoder == "residual" and crop <= 128:
        derived["encoder"] = {"num_blocks": 3}
    if encoder and crop <= 128:
        derived["discriminator"] = _fitting(
            "discriminator", {"num_layers": 2}, tree.get("discriminator")
        )
    return merge(derived, tree)


def _parse_section(name: str, values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise UsageError(f"{name}: a section, not a value. Write {name}.<setting>={values}")
    return _validated(name, _class(name, values), values)


def _validated(section: str, cls: type[S], values: Mapping[str, Any]) -> S:
    from pydantic import TypeAdapter, ValidationError

    for key, value in values.items():
        _refuse_of_another_kind(section, cls, key)
        nearest(f"{section}.{key}", [f"{section}.{f.name}" for f in fields_of(cls)], what="setting")
        _refuse_undecodable(f"{section}.{key}", value)
    try:
        return TypeAdapter(cls).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise UsageError(_explain(section, values, error.errors())) from error


def _refuse_of_another_kind(section: str, cls: type[Section], key: str) -> None:
    """A setting that others of the section's kinds have: the kind is wrong, not the spelling."""
    owners = [
        kind
        for kind, other in _kinds(section).items()
        if key in {field.name for field in fields_of(other)}
    ]
    if owners and cls not in map(_kinds(section).get, owners):
        kind = str(vars(cls)["kind"])
        raise UsageError(
            f"setting {section}.{key}: {kind} has none. Leave it out, or set {section}.kind to "
            f"{' or '.join(owners)}"
        )


def _refuse_undecodable(name: str, value: Any) -> None:
    """Names of files may be any bytes, which a file of settings cannot hold."""
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        shown = str(value).encode(errors="replace").decode()
        raise UsageError(f"{name} {shown}: not valid Unicode. Rename the folder") from error


def _explain(section: str, values: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> str:
    key = str(faults[0]["loc"][0])
    messages = [str(fault["msg"]) for fault in faults if fault["loc"][0] == key]
    allowed = " or ".join(message.removeprefix("Input should be ") for message in messages)
    for said, plain in _PLAIN_WORDS.items():
        allowed = allowed.replace(said, plain)
    close = difflib.get_close_matches(str(values[key]), re.findall(r"'([\w-]+)'", allowed), n=1)
    hint = f". Did you mean {close[0]}?" if close else ""
    return f"{section}.{key} {str(values[key])[:100]}: not accepted. It should be {allowed}{hint}"


_PLAIN_WORDS = {  # for what pydantic says
    "a valid integer": "an integer",
    "a valid boolean": "true or false",
    "a valid array": "an array",
    "a valid ": "a ",
}


def _class(section: str, values: Mapping[str, Any]) -> type[Section]:
    """The class of a section: by its kind where there are several, the first by default."""
    classes = SECTIONS[section]
    if len(classes) == 1:
        return classes[0]
    kinds = _kinds(section)
    kind = str(values.get("kind", next(iter(kinds))))
    return kinds[nearest(kind, kinds, what=f"{section}.kind")]


def _kinds(section: str) -> dict[str, type[Section]]:
    """The classes of a section by their kind."""
    return {
        str(field.default): cls
        for cls in SECTIONS[section]
        for field in fields_of(cls)
        if field.name == "kind"
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
