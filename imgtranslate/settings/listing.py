"""Every setting with its defaults, the values that it takes and its explanation.

Help, the list that `train` prints, and ``docs/settings.md`` are generated from ``config.py`` and
``presets.py``, without loading pydantic.
"""

import ast
import dataclasses
import functools
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Interval

from imgtranslate.settings import config
from imgtranslate.settings.config import Section, Settings, Tree, fields_of
from imgtranslate.settings.parsing import SECTIONS, class_of, kinds_of, preset_values
from imgtranslate.settings.presets import METHODS, PRESETS


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting, as help and docs show it."""

    name: str  # section.name
    explanation: str
    default: Any
    other_defaults: Mapping[str, Any]  # by the kind, method or preset that has them
    kinds: tuple[str, ...]  # of its section that have the setting; empty: all
    choices: tuple[str, ...]  # the words that it takes
    limits: Mapping[str, float]  # ge, gt, le, lt
    type: str  # of values that are no words: integer, number, true or false, text, list

    @property
    def section(self) -> str:
        """The section, which is the first half of the name."""
        return self.name.partition(".")[0]

    @property
    def values(self) -> str:
        """The accepted values in words: ``1 to 64``, ``auto, fp32, bf16``."""
        ranges = [_range(self.limits) or self.type] if self.type else []
        return ", ".join([*ranges, *self.choices])

    @property
    def defaults(self) -> str:
        """The default, followed by those of presets: ``64, 32 (fast), 16 (tiny)``."""
        names: dict[str, list[str]] = {}
        for name, value in self.other_defaults.items():
            names.setdefault(spell(value), []).append(name)
        others = ", ".join(f"{value} ({', '.join(of)})" for value, of in names.items())
        return ", ".join(filter(None, [spell(self.default), others]))


def spell(value: Any) -> str:
    """Write a value as a settings file does, or ``none`` for a setting that is not set."""
    match value:
        case None:
            return "none"
        case "":
            return '""'
        case bool():
            return str(value).lower()
        case tuple():
            return str([*value])
        case _:
            return str(value)


def explain_section(section: str) -> str:
    """Return the line that explains a section."""
    return _explanations()[Settings.__name__, section]


@functools.cache
def list_settings() -> Mapping[str, Setting]:
    """List every setting by its name, in the order of ``config.py``."""
    names = {
        f"{section}.{field.name}": (section, field.name)
        for section, classes in SECTIONS.items()
        for cls in classes
        for field in fields_of(cls)
    }
    return {name: _setting(section, key) for name, (section, key) in names.items()}


def _setting(section: str, key: str) -> Setting:
    classes = SECTIONS[section]
    owners = [cls for cls in classes if key in _types(cls)]
    allowed = [_types(cls)[key] for cls in (owners if key == "kind" else owners[:1])]
    flat = [part for one in allowed for part in _parts(one)]
    intervals = [part for part in flat if isinstance(part, Interval)]
    explanations = _explanations()
    return Setting(
        name=f"{section}.{key}",
        explanation=next(
            explanations[cls.__name__, key] for cls in owners if (cls.__name__, key) in explanations
        ),
        default=_default(section, key),
        other_defaults=dict(_other_defaults(section, key)),
        kinds=() if owners == [*classes] else tuple(str(vars(cls)["kind"]) for cls in owners),
        choices=tuple(part for part in flat if isinstance(part, str)),
        limits={
            name: limit
            for interval in intervals[:1]
            for name, limit in dataclasses.asdict(interval).items()
            if limit is not None
        },
        type=next(filter(None, map(_type_of, flat)), ""),
    )


_TYPES = {
    int: "integer",
    float: "number",
    bool: "true, false",
    str: "text",
}


def _type_of(part: Any) -> str:
    """Name a plain type, or a list by its items; empty for words and limits."""
    if isinstance(part, tuple):
        return f"list of {', '.join(part)}"
    return _TYPES.get(part, "") if isinstance(part, type) else ""


def _types(cls: type[Section]) -> dict[str, Any]:
    return {field.name: field.type for field in fields_of(cls)}


def _parts(annotation: Any) -> Iterator[Any]:
    """Split a type into plain types, the words of ``Literal``, limits, and a tuple for a list."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from arguments
    elif origin is tuple:
        words = [part for part in _parts(arguments[0]) if isinstance(part, str)]
        yield tuple(words or ["integers"])
    elif origin in (Annotated, UnionType) or "Union" in str(origin):
        for argument in arguments:
            yield from _parts(argument)
    else:
        yield annotation


def _other_defaults(section: str, key: str) -> Iterator[tuple[str, Any]]:
    """Find the defaults of kinds, methods and presets, in this order, if they differ."""
    default = _default(section, key)
    by_kind = {} if key == "kind" else kinds_of(section)
    for kind, cls in by_kind.items():
        if vars(cls).get(key, default) != default:
            yield kind, vars(cls)[key]
    methods = [method for method in METHODS if _knows(method, section, key)]
    for method in methods:
        values = _values(method).get(section, {})
        of_kind = vars(class_of(section, values))[key] if by_kind else default
        if values.get(key, of_kind) != of_kind:
            yield method, values[key]
    for preset in PRESETS:
        paper, other = (_values(methods[0], name).get(section, {}) for name in ("paper", preset))
        if other.get(key, default) != paper.get(key, default):
            yield preset, other[key]


def _default(section: str, key: str) -> Any:
    """Return the default of the first kind that has the setting."""
    return next(vars(cls)[key] for cls in SECTIONS[section] if key in _types(cls))


@functools.cache
def _values(method: str, preset: str = "paper") -> Tree:
    return preset_values(method, preset)


def _knows(method: str, section: str, key: str) -> bool:
    """Return whether the losses or networks of a method have the setting."""
    values = _values(method).get(section, {})
    without = section == "encoder" and not values
    return not without and key in _types(class_of(section, values))


def _range(limits: Mapping[str, float]) -> str:
    """Write limits in words: ``0 to 1``, ``above 0 up to 1``, ``0 to below 1``."""
    least = f"above {_number(limits['gt'])}" if "gt" in limits else _number(limits.get("ge"))
    most = f"below {_number(limits['lt'])}" if "lt" in limits else _number(limits.get("le"))
    return f"{least} to {most}" if limits else ""


def _number(number: float | None) -> str:
    """Write large round numbers in a short form: ``1e12``, ``2^63``."""
    if number is None:
        return "any"
    if number >= 10**6 and number == 10 ** round(math.log10(number)):
        return f"1e{round(math.log10(number))}"
    if number >= 10**6 and number == 2 ** round(math.log2(number)):
        return f"2^{round(math.log2(number))}"
    return str(number)


@functools.cache
def _explanations() -> Mapping[tuple[str, str], str]:
    """Read the text below each field of the classes in ``config.py``."""
    found = {}
    for cls in ast.parse(inspect.getsource(config)).body:
        if isinstance(cls, ast.ClassDef):
            for field, text in zip(cls.body, cls.body[1:], strict=False):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(line))),
                    ):
                        found[cls.name, name] = line
    return found
