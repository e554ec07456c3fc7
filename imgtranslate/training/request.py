"""The settings and the folder of a new run, and the settings that a resume may change."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtranslate.data.shards import names_shards, plain_shard
from imgtranslate.errors import DataError, UsageError
from imgtranslate.methods.schedule import Schedule
from imgtranslate.runs.folder import Run
from imgtranslate.settings.compatibility import check_settings
from imgtranslate.settings.config import DataSettings, Settings, Tree, to_tree
from imgtranslate.settings.parsing import (
    build_settings,
    merge,
    nested,
    parse_settings,
    read_settings_file,
)

RESUMABLE = (  # settings that may change on a resume
    "schedule.epochs",
    "schedule.decay_epochs",
    "schedule.constant_steps",
    "schedule.decay_steps",
    "train.steps",
    "train.save_every",
    "train.sample_every",
    "train.accumulate",
    "train.patience",
    "train.log",
    "data.workers",
    "data.cache",
    "data.cache_memory",
    "data.cache_disk",
)
LENGTHS = frozenset(  # those of them that may change the last step
    {*(name for name in RESUMABLE if name.startswith("schedule.")), "train.steps"}
)
LAUNCH = "launch"  # key in the record


@dataclass(frozen=True, kw_only=True)
class Request:
    """The pictures, method and settings of a new run, and its folder.

    ``a`` and ``b``: the two folders, or ``data``: a folder with trainA and trainB, or with train,
    or ``pairs``: a folder of pairs side by side, or a CSV file. ``settings`` win over the file
    ``config``, which wins over ``preset`` and ``method``; their names are ``section.name``.
    ``out``: the folder of the run, by default ``runs/<a>2<b>``.
    """

    a: Path | str | None = None
    b: Path | str | None = None
    data: Path | str | None = None
    pairs: Path | str | None = None
    out: Path | str | None = None
    method: str | None = None
    preset: str = "paper"
    config: Path | str | None = None
    settings: Mapping[str, Any] | None = None

    def resolve(self) -> tuple[Settings, Path]:
        """Return the settings and the folder of the run; raise ``UsageError`` if one is invalid."""
        settings = build_settings(
            method=self.method,
            preset=self.preset,
            layers=[
                read_settings_file(Path(self.config)) if self.config else {},
                _folder_settings(self),
                nested(self.settings or {}),
            ],
        )
        return settings, _path(self.out) or Path("runs") / _name_of_run(settings.data)


def find_begun(request: Request, launch: str) -> Path | None:
    """Find the requested run if this launch has already started it.

    A launcher restarts the same command after a process was lost.
    """
    if not launch:
        return None
    _, out = request.resolve()
    run = Run(out)
    return out if run.config.exists() and run.read_config()[1].get(LAUNCH) == launch else None


def change_settings(saved: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return the settings of a run with ``changes``, which must be allowed on a resume."""
    for name in changes:
        if name not in RESUMABLE:
            raise UsageError(
                f"{name}: cannot change on `resume`. Leave it out; only these can change: "
                f"{', '.join(RESUMABLE)}"
            )
    changed = parse_settings(merge(to_tree(saved), nested(changes)))
    by_epochs = changes.keys() & {"schedule.epochs", "schedule.decay_epochs"}
    if by_epochs and changed.schedule.constant_steps is not None:
        raise UsageError(
            "schedule.epochs, schedule.decay_epochs: the schedule of this run is in steps. Extend "
            "it with schedule.constant_steps or schedule.decay_steps"
        )
    check_settings(changed)  # the file may have been edited
    return changed


def refuse_past(changed: Settings, changes: Iterable[str], *, step: int, longer_side: int) -> None:
    """Raise ``UsageError`` if ``changes`` end a run before the ``step`` at which it is."""
    given = sorted(LENGTHS.intersection(changes))
    total = Schedule(settings=changed, longer_side=longer_side).total_steps()
    if given and total < step:
        raise UsageError(
            f"{', '.join(given)}: would end the run at step {total:,}, but it is at step {step:,} "
            "already. Give more, or leave this out"
        )


def _folder_settings(request: Request) -> Tree:
    """Convert the folders of a request to settings, with names for both sides."""
    a, b, pairs, data = map(_path, (request.a, request.b, request.pairs, request.data))
    if data is not None:
        if a or b or pairs:
            raise DataError("`data`: cannot be combined with `a`, `b` or `pairs`. Give one of them")
        return _layout_of(data)
    if pairs is not None and not (pairs.exists() or names_shards(pairs)):
        raise DataError(
            f"`pairs` {pairs}: no such folder or file. Name a folder of pictures side by side, "
            "or a CSV file"
        )
    given = (("a", a), ("b", b), ("pairs", pairs))
    tree: Tree = {key: str(path.absolute()) for key, path in given if path}
    if a and b:
        tree["name_a"], tree["name_b"] = _domain_names(_typed(a), _typed(b))
    return {"data": tree}


def _name_of_run(data: DataSettings) -> str:
    """Return ``horses2zebras``, or the name of the folder or file of pairs."""
    if not data.pairs:
        return f"{_plain_name(data.name_a) or 'a'}2{_plain_name(data.name_b) or 'b'}"
    place = _typed(Path(data.pairs))
    return (place.parent.name if place.name == "train" else place.stem) or "pairs"


def _path(path: Path | str | None) -> Path | None:
    return Path(path) if path else None


def _plain_name(name: str) -> str:
    """Reduce a name to 40 characters that are safe in file names on every system."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:40]


def _layout_of(data: Path) -> Tree:
    """Find trainA and trainB (testA, testB), or train (val, test) with pictures side by side."""
    root = data.absolute()
    if (root / "train").is_dir() and not (root / "trainA").is_dir():
        held_out = next((root / n for n in ("val", "test") if _has_files(root / n)), None)
        tree = {"pairs": str(root / "train")}
        return {"data": tree | ({"held_out_pairs": str(held_out)} if held_out else {})}
    for part in ("trainA", "trainB"):
        if not (root / part).is_dir():
            raise DataError(
                f"`data` {data}: no folder {part} in it. Name a folder with trainA and trainB, or "
                "with train of pictures side by side, or give two folders with `a` and `b`"
            )
    tree = {"a": str(root / "trainA"), "b": str(root / "trainB")}
    for letter, part in (("a", "testA"), ("b", "testB")):
        if _has_files(root / part):
            tree[f"held_out_{letter}"] = str(root / part)
    match = re.fullmatch(r"([a-zA-Z]+)2([a-zA-Z]+)", _typed(data).name)  # the layout of horse2zebra
    tree["name_a"], tree["name_b"] = (match[1], match[2]) if match else ("a", "b")
    return {"data": tree}


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _domain_names(a: Path, b: Path) -> tuple[str, str]:
    """Return the names of the two folders, or of their nearest parents that differ."""
    for part_a, part_b in zip(reversed(a.parts), reversed(b.parts), strict=False):
        name_a, name_b = _plain_name(plain_shard(part_a)), _plain_name(plain_shard(part_b))
        if name_a and name_b and name_a != name_b:
            return name_a, name_b
    return "a", "b"


def _typed(path: Path) -> Path:
    """Make a path absolute without ``..``, but with the names of links, as the user typed them."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve replaces links
