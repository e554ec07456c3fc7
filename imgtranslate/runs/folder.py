"""A run: the folder in which a training keeps its settings, models, state, metrics and samples."""

import contextlib
import json
import math
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.files import explained, remove_leftovers, write_text
from imgtranslate.settings.config import Settings, to_tree
from imgtranslate.settings.parsing import parse_settings, read_settings_text

if sys.platform != "win32":
    import fcntl

FRESH_BEST, OLD_BEST = ".best.new", ".best.old"  # while ``best`` is exchanged


@dataclass(frozen=True)
class Run:
    """Where everything of a run lies."""

    folder: Path

    @property
    def config(self) -> Path:
        """Settings, and in ``[record]`` what the run was made with."""
        return self.folder / "config.toml"

    @property
    def state(self) -> Path:
        """The training state: what ``--resume`` needs."""
        return self.folder / "state.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON object a line, one line every ``train.log_every`` steps."""
        return self.folder / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The models of the best validation so far."""
        return self.folder / "best"

    @property
    def samples(self) -> Path:
        """Pictures of the same held-out images as training goes on."""
        return self.folder / "samples"

    def model(self, direction: str) -> Path:
        """The model that translates in ``direction``, ``ab`` or ``ba``."""
        return self.folder / f"{direction}.safetensors"

    def write_config(self, settings: Settings, record: Mapping[str, Any]) -> None:
        """Keep the resolved settings and the record."""
        write_text(self.config, config_text(settings, record))

    def read_config(self) -> tuple[Settings, dict[str, Any]]:
        """Read settings and record back; raises ``CheckpointError`` if this is no run."""
        if self.config.exists() and not self.config.is_file():
            raise CheckpointError(f"{self.config}: not a file. Restore it from a copy")
        try:
            return parse_config(read_settings_text(self.config))
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: not a run: it has no config.toml. Name a folder that "
                "`imgtranslate train` made"
            ) from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{self.config}: damaged: {error}. Restore it from a copy"
            ) from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """What was logged so far; what is no line of metrics is left out."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if math.isfinite(_step_of(line))]

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one line."""
        with explained(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rewind_metrics(self, step: int) -> None:
        """Drop what was logged after ``step``, and any line cut short by a kill."""
        if self.metrics.exists():
            if not self.metrics.is_file():
                raise CheckpointError(f"{self.metrics}: not a file. Remove it")
            lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            write_text(self.metrics, "".join(f"{line}\n" for line in kept))

    @contextlib.contextmanager
    def only_one(self) -> Iterator[None]:
        """Keep other processes from training this run; the system ends that when this one dies.

        Two of them would mix their lines in ``metrics.jsonl`` and overwrite each other's state.
        """
        place = self.folder / ".lock"
        with explained(place):
            file = place.open("a")
        with file:
            if not _lock(file.fileno()):
                raise UsageError(
                    f"{self.folder}: another process is training it. Wait for its end, or stop it"
                )
            yield

    @contextlib.contextmanager
    def replacing_best(self) -> Iterator["Run"]:
        """Yield an empty folder that takes the place of ``best`` at once, on success."""
        fresh, old = self.folder / FRESH_BEST, self.folder / OLD_BEST
        with explained(self.best):
            for half in (fresh, old):
                shutil.rmtree(half, ignore_errors=True)
            fresh.mkdir()
            yield Run(fresh)
            if self.best.exists():
                self.best.rename(old)
            fresh.rename(self.best)
            shutil.rmtree(old, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove what a killed process left half-written."""
        for half in (self.folder / FRESH_BEST, self.folder / OLD_BEST):
            shutil.rmtree(half, ignore_errors=True)
        remove_leftovers(self.folder)
        remove_leftovers(self.samples)


def config_text(settings: Settings, record: Mapping[str, Any]) -> str:
    """Settings and record as they stand in ``config.toml``."""
    return tomli_w.dumps({**to_tree(settings), "record": dict(record)})


def parse_config(text: str) -> tuple[Settings, dict[str, Any]]:
    """Read ``config_text`` back; ``ValueError`` if it is no TOML."""
    tree = tomllib.loads(text)
    record = tree.pop("record", {})
    return parse_settings(tree), record if isinstance(record, dict) else {}


def _lock(descriptor: int) -> bool:
    """Take a file for this process alone, not for those that it forks; whether it was free."""
    if sys.platform == "win32":  # there nothing is kept from others
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refuse_existing(out: Path) -> None:
    """Refuse a place where something stands already: a run is never overwritten."""
    if Run(out).config.exists():
        raise UsageError(
            f"{out}: a run is there already. Continue it with --resume {out}, or choose another "
            "place with --out"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: something is there already. Choose another place with --out")


def begin(out: Path) -> Run:
    """Make the folder in which a run is prepared, beside the place that it will take."""
    place = out.absolute()
    folder = place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "samples").mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{out}: cannot be made: {error.strerror}. Choose another place with --out"
        ) from error
    return Run(folder)


def publish(run: Run, out: Path) -> Run:
    """Move a prepared run to its place in one rename, so that no half of it is ever seen."""
    try:
        run.folder.rename(out)
    except OSError as error:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise UsageError(
            f"{out}: cannot be made: {error.strerror}. Choose another place with --out"
        ) from error
    return Run(out)


def _step_of(line: str) -> float:
    """The step of a line of metrics; of what is no such line, infinity."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
