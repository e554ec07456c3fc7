"""A run: the folder that holds the settings, models, state, metrics and samples of a training."""

import contextlib
import json
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
    """The files of a run."""

    folder: Path

    @property
    def config(self) -> Path:
        """Settings, and in ``[record]`` the versions and pictures that the run was made with."""
        return self.folder / "config.toml"

    @property
    def state(self) -> Path:
        """The training state, from which a run is resumed."""
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
        """The same held-out pictures, translated as training goes on."""
        return self.folder / "samples"

    def model(self, direction: str) -> Path:
        """The model that translates in ``direction``, ``ab`` or ``ba``."""
        return self.folder / f"{direction}.safetensors"

    def write_config(self, settings: Settings, record: Mapping[str, Any]) -> None:
        """Write the resolved settings and the record."""
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

    def read_metrics(self) -> Iterator["MetricsRow"]:
        """Read the rows that were logged so far, leaving out lines that are no rows."""
        if self.metrics.is_file():
            with self.metrics.open(encoding="utf-8", errors="replace") as file:
                yield from (row for line in file if (row := parse_row(line)))

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one row."""
        with explained(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rewind_metrics(self, step: int) -> None:
        """Drop what was logged after ``step``, and any line cut short by a kill."""
        if self.metrics.exists():
            if not self.metrics.is_file():
                raise CheckpointError(f"{self.metrics}: not a file. Remove it")
            lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if (row := parse_row(line)) and row.step <= step]
            write_text(self.metrics, "".join(f"{line}\n" for line in kept))

    @contextlib.contextmanager
    def only_one(self) -> Iterator[None]:
        """Keep other processes from training this run until this one ends or dies.

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
            self._remove_half_best()
            fresh.mkdir()
            yield Run(fresh)
            if self.best.exists():
                self.best.rename(old)
            fresh.rename(self.best)
            shutil.rmtree(old, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove the half-written files of a killed process."""
        self._remove_half_best()
        remove_leftovers(self.folder)
        remove_leftovers(self.samples)

    def _remove_half_best(self) -> None:
        for half in (FRESH_BEST, OLD_BEST):
            shutil.rmtree(self.folder / half, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """A line of ``metrics.jsonl``."""

    step: int
    numbers: dict[str, float]  # by name: epoch, lr, losses, validation; NaN where training failed
    health: dict[str, str]  # warnings by name


def parse_row(line: str) -> MetricsRow | None:
    """Read one line of ``metrics.jsonl``; None if it is no JSON object with a step.

    Somebody may have edited it: values of other kinds than a row has are left out.
    """
    try:
        tree = json.loads(line, parse_int=float)
        step, health = tree.pop("step"), tree.pop("health", {})
        if not isinstance(step, float):
            return None
        step = int(step)
    except (AttributeError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    texts = health.items() if isinstance(health, dict) else ()
    return MetricsRow(
        step=step,
        numbers={name: value for name, value in tree.items() if isinstance(value, float)},
        health={name: text for name, text in texts if isinstance(text, str)},
    )


def config_text(settings: Settings, record: Mapping[str, Any]) -> str:
    """Write settings and record as the text of ``config.toml``."""
    return tomli_w.dumps({**to_tree(settings), "record": dict(record)})


def parse_config(text: str) -> tuple[Settings, dict[str, Any]]:
    """Read ``config_text`` back; ``ValueError`` if it is no TOML."""
    tree = tomllib.loads(text)
    record = tree.pop("record", {})
    return parse_settings(tree), record if isinstance(record, dict) else {}


def _lock(descriptor: int) -> bool:
    """Lock a file for this process, not for those that it forks; tell whether it was free."""
    if sys.platform == "win32":  # Windows has no fcntl: no lock
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refuse_existing(out: Path) -> None:
    """Raise ``UsageError`` if something is at ``out`` already: a run is never overwritten."""
    if Run(out).config.exists():
        raise UsageError(
            f"{out}: a run is there already. Continue it with --resume {out}, or choose another "
            "place with --out"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: something is there already. Choose another place with --out")


def begin(out: Path) -> Run:
    """Make the folder in which a run is prepared, beside its final place."""
    place = out.absolute()
    folder = place.with_name(f".{place.name}.{os.getpid()}.new")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "samples").mkdir(parents=True)
    except OSError as error:
        raise _cannot_be_made(out, error) from error
    return Run(folder)


def publish(run: Run, out: Path) -> Run:
    """Move a prepared run to its place in one rename, so that nobody sees half of it."""
    try:
        run.folder.rename(out)
    except OSError as error:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise _cannot_be_made(out, error) from error
    return Run(out)


def _cannot_be_made(out: Path, error: OSError) -> UsageError:
    return UsageError(f"{out}: cannot be made: {error.strerror}. Choose another place with --out")
