"""The settings, data, versions and command that made a run, in plain values."""

import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tomli_w

from imgtranslate._version import __version__
from imgtranslate.data.folders import Domain
from imgtranslate.pages import shown
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, Tree, to_tree

LONGEST_VALUE = 400  # characters
LONGEST_FILE = 30_000


def settings_of(settings: Settings) -> list[dict[str, Any]]:
    """List every setting with its default; those that differ first, each group in its order."""
    usual = dict(_flat(to_tree(_defaults(settings))))
    rows = [
        {
            "name": name,
            "value": shown(_spelled(value), limit=LONGEST_VALUE),
            "usual": _spelled(usual[name]) if name in usual else "",
            "differs": usual.get(name) != value,
        }
        for name, value in _flat(to_tree(settings))
        if value != ""
    ]
    return sorted(rows, key=lambda row: not row["differs"])


def data_of(
    settings: Settings, record: Mapping[str, Any], domains: tuple[Domain, Domain] | None
) -> list[dict[str, Any]]:
    """Return counts and fingerprint of both sides, as recorded when the run began."""
    data = settings.data
    folders = (str(d.folder) for d in domains) if domains else (data.a, data.b)
    names, channels = (data.name_a, data.name_b), (data.channels_a, data.channels_b)
    return [
        {
            "letter": letter.upper(),
            "name": shown(name),
            "folder": shown(folder or data.pairs, limit=LONGEST_VALUE),
            "pictures": _count(record.get(f"pictures_{letter}")),
            "held_out": len(_texts(record.get(f"held_out_{letter}"))),
            "left_out": len(_texts(record.get(f"left_out_{letter}"))),
            "channels": count,
            "fingerprint": shown(str(record.get(f"fingerprint_{letter}", ""))),
        }
        for letter, name, folder, count in zip("ab", names, folders, channels, strict=True)
    ]


def lines_of(record: Mapping[str, Any], name: str) -> list[str]:
    """Return the ``facts`` or ``warnings`` of the data check; none of a run before 0.1."""
    return [shown(text, limit=LONGEST_VALUE) for text in _texts(record.get(name))[:50]]


def versions_of(record: Mapping[str, Any]) -> list[list[str]]:
    """List the versions that the run was begun with, and those that make the page."""
    names = ("imgtranslate", "torch", "python")
    begun = [[f"{name}, run", shown(str(record[name]))] for name in names if name in record]
    now = {"imgtranslate": __version__, "python": platform.python_version()}
    return begun + [[f"{name}, this page", version] for name, version in now.items()]


def recipe_of(run: Run, settings: Settings) -> dict[str, str]:
    """Return the command that begins the same run anew, and the settings that it reads."""
    words = ["imgtranslate", "train", "--config", str(run.config), "--out", new_folder(run)]
    text = tomli_w.dumps(to_tree(settings))
    return {
        "command": shown(shlex.join(words), limit=2000),
        "config": "\n".join(shown(line, limit=2000) for line in text[:LONGEST_FILE].splitlines()),
    }


def resume_command(run: Run, *, ended_early: bool) -> str:
    """Return the command that continues a run, also after an end by ``train.patience``."""
    words = ["imgtranslate", "train", "--resume", str(run.folder)]
    words += ["--set", "train.patience=0"] if ended_early else []
    return shown(shlex.join(words), limit=2000)


def new_folder(run: Run) -> str:
    """Name a folder beside a run, to train again in."""
    return str(run.folder.with_name(f"{run.folder.name}-again"))


def _defaults(settings: Settings) -> Settings:
    """Return the default of every setting that this run has, of its method or network."""
    sections = {name: type(section)() for name, section in vars(settings).items() if section}
    return Settings(**sections)


def _flat(tree: Tree) -> Iterator[tuple[str, Any]]:
    for section, values in tree.items():
        for name, value in values.items():
            yield f"{section}.{name}", value


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, Iterable) else []
