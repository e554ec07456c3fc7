"""Settings, with the papers' defaults. Every default value stands here and nowhere else.

A setting is named ``section.name``, on the command line (``--set method.lambda_a=5``), in a
TOML file and in error messages alike. Layers of settings are plain nested dictionaries until
``parse_settings`` turns the merged tree into frozen dataclasses.
"""

import dataclasses
import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from annotated_types import Interval

from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from pydantic import ConfigDict

Tree = dict[str, Any]
S = TypeVar("S", bound="Section")

Norm = Literal["instance", "batch", "none"]
Upsample = Literal["transpose", "resize"]
Padding = Literal["reflect", "zero"]
GanMode = Literal["lsgan", "vanilla", "hinge"]
PictureChannels = Literal[1, 3]
BaseChannels = Annotated[int, Interval(ge=1, le=1024)]
Weight = Annotated[float, Interval(ge=0, le=1e6)]
Count = Annotated[int, Interval(ge=1, le=10**12)]
CountOrZero = Annotated[int, Interval(ge=0, le=10**12)]
Side = Annotated[int, Interval(ge=1, le=65_536)]


class Section:
    """Settings of one kind: unknown names, wrong types and values out of range are refused."""

    __pydantic_config__: ClassVar["ConfigDict"] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
    }


@dataclass(frozen=True, kw_only=True)
class ResnetConfig(Section):
    """CycleGAN's generator (arXiv 1703.10593, appendix 7.2)."""

    kind: Literal["resnet"] = "resnet"
    base_channels: BaseChannels = 64
    num_blocks: Annotated[int, Interval(ge=0, le=64)] = 9
    norm: Norm = "instance"
    dropout: bool = False
    upsample: Upsample = "transpose"
    padding: Padding = "reflect"


@dataclass(frozen=True, kw_only=True)
class UnetConfig(Section):
    """pix2pix's generator (arXiv 1611.07004, appendix 6.1.1)."""

    kind: Literal["unet"] = "unet"
    base_channels: BaseChannels = 64
    depth: Annotated[int, Interval(ge=5, le=12)] = 8
    norm: Norm = "instance"
    dropout: bool = False
    upsample: Upsample = "transpose"


GeneratorConfig = ResnetConfig | UnetConfig


@dataclass(frozen=True, kw_only=True)
class PatchGanConfig(Section):
    """The patch discriminator; 3 layers see 70x70 px (arXiv 1611.07004, appendix 6.1.2)."""

    kind: Literal["patchgan"] = "patchgan"
    base_channels: BaseChannels = 64
    num_layers: Annotated[int, Interval(ge=1, le=5)] = 3
    norm: Norm = "instance"


@dataclass(frozen=True, kw_only=True)
class CycleGanConfig(Section):
    """CycleGAN's losses (arXiv 1703.10593, equations 1 to 3 and section 5.2)."""

    kind: Literal["cyclegan"] = "cyclegan"
    gan_mode: GanMode = "lsgan"
    lambda_a: Weight = 10.0  # of the cycle A -> B -> A
    lambda_b: Weight = 10.0  # of the cycle B -> A -> B
    lambda_identity: Weight = 0.5  # relative to lambda_a and lambda_b; keeps colours
    pool_size: Annotated[int, Interval(ge=0, le=100_000)] = 50


@dataclass(frozen=True, kw_only=True)
class DataSettings(Section):
    """Two folders of pictures and how a training sample is cut from them."""

    a: str
    b: str
    held_out_a: str = ""  # a folder; without it some of the training pictures are set aside
    held_out_b: str = ""
    held_out: CountOrZero = 8  # how many are set aside of each side, a tenth of it at most
    name_a: str = "a"
    name_b: str = "b"
    channels_a: PictureChannels = 3
    channels_b: PictureChannels = 3
    load_size: Side = 286  # px of the shorter side before the crop
    crop_size: Side = 256  # px
    flip: bool = True
    skip_unreadable: bool = False
    workers: Annotated[int, Interval(ge=0, le=256)] | Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Section):
    """Adam, one for all generators and one for all discriminators."""

    lr: Annotated[float, Interval(gt=0, le=1)] = 2e-4
    beta1: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    beta2: Annotated[float, Interval(ge=0, lt=1)] = 0.999


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings(Section):
    """A constant rate, then a linear fall; in epochs, or in steps where those are given."""

    epochs: CountOrZero = 100
    decay_epochs: CountOrZero = 100
    constant_steps: CountOrZero | None = None
    decay_steps: CountOrZero | None = None


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Section):
    """What a run does and how often it reports."""

    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    batch_size: Annotated[int, Interval(ge=1, le=4096)] = 1
    steps: Count | None = None  # where to stop; the learning rate does not depend on it
    ema_decay: Annotated[float, Interval(ge=0, lt=1)] = 0.0  # 0: the weights themselves
    save_every: Count = 1000  # steps
    sample_every: Count = 500
    log_every: Count = 50


@dataclass(frozen=True, kw_only=True)
class Settings(Section):
    """Everything that decides what a run computes."""

    data: DataSettings
    method: CycleGanConfig = field(default_factory=CycleGanConfig)
    generator: GeneratorConfig = field(default_factory=ResnetConfig)
    discriminator: PatchGanConfig = field(default_factory=PatchGanConfig)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


PRESETS: Mapping[str, Tree] = {
    "paper": {},
    "fast": {
        "data": {"crop_size": 128},
        "generator": {"base_channels": 32, "num_blocks": 6},
        "discriminator": {"base_channels": 32},
        "schedule": {"epochs": 10, "decay_epochs": 10},
    },
    "tiny": {
        "data": {"crop_size": 64},
        "generator": {"base_channels": 16, "num_blocks": 3},
        "discriminator": {"base_channels": 32, "num_layers": 2},
        "optimizer": {"lr": 1e-3},
        "schedule": {"constant_steps": 1000, "decay_steps": 1000},
        "train": {"ema_decay": 0.995},
    },
}


def build_settings(*, preset: str = "paper", layers: Iterable[Mapping[str, Any]] = ()) -> Settings:
    """Lay ``layers`` (later ones win) over ``preset``, derive what is left open, and check.

    Raises ``UsageError`` naming the first setting that is unknown, of the wrong type, out of
    range, or that does not fit the others.
    """
    chosen = merge(*layers)
    settings = parse_settings(_derive(merge(_fitting_preset(preset, chosen), chosen)))
    check_sizes(settings)
    return settings


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Turn a nested dictionary into ``Settings``; what it leaves out takes its default."""
    for section in tree:
        nearest(section, _section_names(), what="settings section")
    return Settings(
        data=_parse_section("data", DataSettings, tree),
        method=_parse_section("method", CycleGanConfig, tree),
        generator=_parse_section("generator", _generator_class(tree.get("generator")), tree),
        discriminator=_parse_section("discriminator", PatchGanConfig, tree),
        optimizer=_parse_section("optimizer", OptimizerSettings, tree),
        schedule=_parse_section("schedule", ScheduleSettings, tree),
        train=_parse_section("train", TrainSettings, tree),
    )


def merge(*trees: Mapping[str, Any]) -> Tree:
    """One nested dictionary of many; later values win, dictionaries are merged."""
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def parse_assignment(text: str) -> Tree:
    """Turn ``section.name=value``, the form of ``--set``, into a nested dictionary."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise UsageError(f"--set {text}: not of the form section.name=value. {_SET_EXAMPLE}")
    return {section: {key: _toml_value(value.strip())}}


def read_settings_file(path: Path) -> Tree:
    """Read a TOML file of settings; the ``[record]`` that a run adds to its own is left out."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}. Mend that line") from error
    tree.pop("record", None)
    return tree


def to_tree(settings: Section) -> Tree:
    """Turn settings into the nested dictionary that ``parse_settings`` takes, in full."""
    return {
        name: to_tree(value) if isinstance(value, Section) else value
        for name, value in ((f.name, vars(settings)[f.name]) for f in _fields(type(settings)))
        if value is not None
    }


def size_multiple(config: GeneratorConfig) -> int:
    """The number of px that both sides must be a multiple of."""
    match config:
        case ResnetConfig():
            return 4
        case UnetConfig():
            return int(2**config.depth)


def smallest_side(config: GeneratorConfig) -> int:
    """The shortest side in px that the generator takes: instance norm needs 2 x 2 px somewhere."""
    match config:
        case ResnetConfig():
            return 8
        case UnetConfig():
            return int(2**config.depth)


def check_sizes(settings: Settings) -> None:
    """Refuse a crop that the networks cannot take, naming the nearest that they can."""
    crop, multiple = settings.data.crop_size, size_multiple(settings.generator)
    least = max(smallest_side(settings.generator), _smallest_judged(settings.discriminator))
    least = math.ceil(least / multiple) * multiple
    if crop % multiple or crop < least:
        fit = max(least, round(crop / multiple) * multiple)
        raise UsageError(
            f"--size {crop}: the {settings.generator.kind} generator and the discriminator need "
            f"a multiple of {multiple} px and at least {least} px. The nearest is --size {fit}"
        )
    if settings.data.load_size < crop:
        raise UsageError(
            f"data.load_size {settings.data.load_size}: smaller than the crop of {crop} px. "
            f"Set it to {crop} or more"
        )


def nearest(name: str, allowed: Iterable[str], *, what: str) -> str:
    """``name`` if it is allowed, else a ``UsageError`` that says what was probably meant."""
    names = list(allowed)
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(names)}"
    raise UsageError(f"{what} {name}: no such name. {hint}")


_SET_EXAMPLE = "For example --set method.lambda_identity=0.2"
_FLAGS = {  # settings that are flags of `train` are named as such
    "data.a": "--a",
    "data.b": "--b",
    "data.crop_size": "--size",
    "data.channels_a": "--channels-a",
    "data.channels_b": "--channels-b",
    "data.workers": "--workers",
    "generator.base_channels": "--base-channels",
    "optimizer.lr": "--lr",
    "schedule.epochs": "--epochs",
    "schedule.decay_epochs": "--decay-epochs",
    "train.batch_size": "--batch-size",
    "train.save_every": "--save-every",
    "train.seed": "--seed",
    "train.steps": "--steps",
}


def _derive(tree: Tree) -> Tree:
    """Fill in what follows from the crop size, unless it was set (`methods.md`, section 1)."""
    crop = tree.get("data", {}).get("crop_size", DataSettings.crop_size)
    if type(crop) is not int or crop < 1:
        return tree  # refused by the validation that follows
    generator = tree.get("generator", {})
    if isinstance(generator, Mapping) and generator.get("kind", "resnet") == "unet":
        derived: Tree = {"depth": min(max(crop.bit_length() - 1, 5), 8)}
    else:
        derived = {"num_blocks": 6 if crop <= 128 else 9}
    return merge({"data": {"load_size": round(crop * 286 / 256)}, "generator": derived}, tree)


def _smallest_judged(config: PatchGanConfig) -> int:
    """The shortest side of which an n-layer PatchGAN leaves at least one patch."""
    return int(3 * 2**config.num_layers)


def _generator_class(generator: Any) -> type[ResnetConfig] | type[UnetConfig]:
    kind = generator.get("kind", "resnet") if isinstance(generator, Mapping) else "resnet"
    match nearest(str(kind), ("resnet", "unet"), what="generator.kind"):
        case "unet":
            return UnetConfig
        case _:
            return ResnetConfig


def _fitting_preset(name: str, chosen: Tree) -> Tree:
    """The preset without what the chosen settings replace: another generator, epochs for steps."""
    preset = PRESETS[nearest(name, PRESETS, what="--preset")]
    known = {f.name for f in _fields(_generator_class(chosen.get("generator")))}
    generator = {k: v for k, v in preset.get("generator", {}).items() if k in known}
    by_epochs = chosen.get("schedule", {}).keys() & {"epochs", "decay_epochs"}
    schedule = {} if by_epochs else preset.get("schedule", {})
    return {**preset, "generator": generator, "schedule": schedule}


def _parse_section(name: str, cls: type[S], tree: Mapping[str, Any]) -> S:
    from pydantic import TypeAdapter, ValidationError

    values = tree.get(name, {})
    if not isinstance(values, Mapping):
        raise UsageError(f"{name}: a section, not a value. Write {name}.<setting>={values}")
    for key in values:
        nearest(f"{name}.{key}", [f"{name}.{f.name}" for f in _fields(cls)], what="setting")
    try:
        return TypeAdapter(cls).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise UsageError(_explain(name, values, error.errors())) from error


def _explain(section: str, values: Mapping[str, Any], faults: Sequence[Mapping[str, Any]]) -> str:
    key = str(faults[0]["loc"][0])
    name = _FLAGS.get(f"{section}.{key}", f"{section}.{key}")
    if faults[0]["type"] == "missing":
        return f"{name}: not given. Name it with --a and --b, or in the settings file"
    messages = [str(fault["msg"]) for fault in faults if fault["loc"][0] == key]
    allowed = " or ".join(message.removeprefix("Input should be ") for message in messages)
    allowed = allowed.replace("a valid integer", "an integer").replace("a valid ", "a ")
    close = difflib.get_close_matches(str(values[key]), re.findall(r"'([\w-]+)'", allowed), n=1)
    hint = f". Did you mean {close[0]}?" if close else ""
    return f"{name} {values[key]}: not accepted. It should be {allowed}{hint}"


def _toml_value(text: str) -> Any:
    """Read ``text`` as a TOML value where it is one, else take it as a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _fields(cls: type[Section]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)  # type: ignore[arg-type]  # every Section is a dataclass


def _section_names() -> list[str]:
    return [f.name for f in _fields(Settings)]
