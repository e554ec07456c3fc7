"""The settings and the folder of a new run, and the settings that a resume may change."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import folder_settings, plain_name
from imgtranslate.errors import UsageError
from imgtranslate.runs.folder import Run
from imgtranslate.settings.compatibility import check_settings
from imgtranslate.settings.config import DataSettings, Settings, to_tree
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
    "data.workers",
    "data.cache",
    "data.cache_memory",
    "data.cache_disk",
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
                folder_settings(
                    a=_path(self.a), b=_path(self.b), data=_path(self.data), pairs=_path(self.pairs)
                ),
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


def _name_of_run(data: DataSettings) -> str:
    """Return ``horses2zebras``, or the name of the folder or file of pairs."""
    if not data.pairs:
        return f"{plain_name(data.name_a) or 'a'}2{plain_name(data.name_b) or 'b'}"
    place = Path(data.pairs)
    return (place.parent.name if place.name == "train" else place.stem) or "pairs"


def _path(path: Path | str | None) -> Path | None:
    return Path(path) if path else None
