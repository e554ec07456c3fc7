"""The values that a shell completes: runs, models, methods, presets and settings.

`imgtranslate --install-completion` installs completion for the current shell. A list without
matches makes bash and zsh complete names of files.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from imgtranslate.settings.listing import Setting, list_settings, spell
from imgtranslate.settings.presets import METHODS, PRESETS

RUNS = "runs/"  # where train puts a run by default
MODELS = {".safetensors", ".onnx", ".pt2"}
_PLAIN = re.compile(r"[\w./@%+,:=~-]+")  # typer quotes no other character for the shell


def words(*choices: str) -> Callable[[str], list[str]]:
    """Return a function that completes one of ``choices``."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


complete_method = words(*METHODS)
complete_preset = words(*PRESETS)
complete_device = words("auto", "cpu", "cuda", "mps")


def complete_run(incomplete: str) -> list[str]:
    """List the runs in the typed folder, or without one in ``runs/``."""
    folder = _folder_of(incomplete) or RUNS
    return [name for name, path in _entries(folder, incomplete) if (path / "config.toml").is_file()]


def complete_model(incomplete: str) -> list[str]:
    """List the model files in the typed folder, or without one in this folder, and the runs."""
    entries = _entries(_folder_of(incomplete), incomplete)
    files = [name for name, path in entries if path.suffix in MODELS and path.is_file()]
    return [*files, *complete_run(incomplete)]


def complete_setting(incomplete: str) -> list[tuple[str, str]]:
    """List settings with their explanations as ``name=``, or one with its values."""
    name, equals, _ = incomplete.partition("=")
    settings = [each for each in list_settings().values() if each.name.startswith(name)]
    if equals:
        settings = [each for each in settings if each.name == name]
    if len(settings) != 1:
        return [(f"{setting.name}=", setting.explanation) for setting in settings]
    # With several candidates, a shell inserts what they share: the name without a space after it.
    (setting,) = settings
    values = values_of(setting) if equals else ["", *values_of(setting)]
    lines = [f"{setting.name}={value}" for value in values]
    return [(line, setting.explanation) for line in lines if line.startswith(incomplete)]


def values_of(setting: Setting) -> list[str]:
    """Return the default of a setting, and its other values if they are words."""
    known = ["true", "false"] if setting.type == "true, false" else [*setting.choices]
    default = spell(setting.default)
    others = [spell(value) for value in setting.other_defaults.values()]
    plain = [each for each in (default, *known, *others) if _PLAIN.fullmatch(each)]
    return [value for value in dict.fromkeys(plain) if value not in ("none", "required")]


def _folder_of(incomplete: str) -> str:
    return "".join(incomplete.rpartition("/")[:2])


def _entries(folder: str, incomplete: str) -> Iterator[tuple[str, Path]]:
    """List a folder as the names to complete, with their paths."""
    try:
        paths = sorted(Path(folder).expanduser().iterdir())
    except (OSError, RuntimeError):  # no such folder, or no such user
        return
    for path in paths:
        name = f"{folder}{path.name}"
        if name.startswith(incomplete) and _PLAIN.fullmatch(name):
            yield name, path
