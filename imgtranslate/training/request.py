"""What was asked for: the settings and the place of a run, and what may change on a resume."""

from collections.abc import Mapping
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
LAUNCH = "launch"  # in the record
PLACING = ("a", "b", "data", "pairs", "out", "method", "preset", "config", "settings")


def resolve(
    *,
    a: Path | str | None = None,
    b: Path | str | None = None,
    data: Path | str | None = None,
    pairs: Path | str | None = None,
    out: Path | str | None = None,
    method: str | None = None,
    preset: str = "paper",
    config: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> tuple[Settings, Path]:
    """The settings and the place of a run; see ``plan_training``."""
    resolved = build_settings(
        method=method,
        preset=preset,
        layers=[
            read_settings_file(Path(config)) if config else {},
            folder_settings(a=_path(a), b=_path(b), data=_path(data), pairs=_path(pairs)),
            nested(settings or {}),
        ],
    )
    return resolved, _path(out) or Path("runs") / _name_of_run(resolved.data)


def begun_by(launch: str, options: Mapping[str, Any]) -> Path | None:
    """The run that these options of ``plan_training`` mean, if this launch has begun it already.

    A launcher starts the same command anew when a process was lost.
    """
    if not launch:
        return None
    placing: dict[str, Any] = {name: options[name] for name in PLACING if name in options}
    _, place = resolve(**placing)
    run = Run(place)
    return place if run.config.exists() and run.read_config()[1].get(LAUNCH) == launch else None


def changed_settings(kept: Settings, settings: Mapping[str, Any]) -> Settings:
    """The settings of a run with those changes that leave what was learnt valid."""
    for name in settings:
        if name not in RESUMABLE:
            raise UsageError(
                f"{name}: cannot change on `resume`. Leave it out; these can: "
                f"{', '.join(RESUMABLE)}"
            )
    changed = parse_settings(merge(to_tree(kept), nested(settings)))
    by_epochs = settings.keys() & {"schedule.epochs", "schedule.decay_epochs"}
    if by_epochs and changed.schedule.constant_steps is not None:
        raise UsageError(
            "schedule.epochs, schedule.decay_epochs: this run's schedule counts steps. Extend it "
            "with schedule.constant_steps or schedule.decay_steps"
        )
    check_settings(changed)  # the file may have been edited
    return changed


def _name_of_run(data: DataSettings) -> str:
    """``horses2zebras``, or the name of the folder or file of pairs."""
    if not data.pairs:
        return f"{plain_name(data.name_a) or 'a'}2{plain_name(data.name_b) or 'b'}"
    place = Path(data.pairs)
    return (place.parent.name if place.name == "train" else place.stem) or "pairs"


def _path(path: Path | str | None) -> Path | None:
    return Path(path) if path else None
