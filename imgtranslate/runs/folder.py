"""A run: the folder that holds the settings, models, state, metrics and samples of a training."""

import contextlib
import itertools
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from imgtranslate.errors import CheckpointError, ImgTranslateError, UsageError
from imgtranslate.files import explained, remove_leftovers, temporary_beside, write_text
from imgtranslate.settings.config import Settings, to_tree
from imgtranslate.settings.parsing import parse_settings, read_settings_text

if sys.platform != "win32":
    import fcntl

FRESH_BEST, OLD_BEST = ".best.new", ".best.old"  # while ``best`` is replaced
EARLIER_BEST = ".best.earlier"  # the best models before the validation of the last step


@dataclass(frozen=True)
class Run:
    """The files of a run."""

    folder: Path

    @property
    def config(self) -> Path:
        """The settings, and in ``[record]`` the versions and pictures of the run."""
        return self.folder / "config.toml"

    @property
    def state(self) -> Path:
        """The training state, from which a run is resumed."""
        return self.folder / "state.safetensors"

    @property
    def metrics(self) -> Path:
        """The log: one line with a JSON object every ``train.log_every`` steps."""
        return self.folder / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The models of the best validation so far."""
        return self.folder / "best"

    @property
    def samples(self) -> Path:
        """The folder with translations of the same held-out pictures over the training."""
        return self.folder / "samples"

    @property
    def report(self) -> Path:
        """The page that `report` and the end of a training write."""
        return self.folder / "report.html"

    def model(self, direction: str) -> Path:
        """The model that translates in ``direction``, ``ab`` or ``ba``."""
        return self.folder / f"{direction}.safetensors"

    def write_config(self, settings: Settings, record: Mapping[str, Any]) -> None:
        """Write the resolved settings and the record."""
        write_text(self.config, config_text(settings, record))

    def read_config(self) -> tuple[Settings, dict[str, Any]]:
        """Read settings and record; raises ``CheckpointError`` if this is not a run."""
        if self.config.exists() and not self.config.is_file():
            raise CheckpointError(f"{self.config}: not a file. Restore it from a backup")
        try:
            return parse_config(read_settings_text(self.config))
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: not a run: it has no config.toml. Name a folder that "
                "`imgtranslate train` wrote"
            ) from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{self.config}: damaged: {error}. Restore it from a backup"
            ) from error

    def list_samples(self) -> dict[int, Path]:
        """Return the sample of each step, in the order of the steps."""
        found = {step: path for path in self.samples.glob("step_*.png") if (step := _step_of(path))}
        return dict(sorted(found.items()))

    def is_training(self) -> bool | None:
        """Return whether another process trains this run; None if the file system cannot tell."""
        place = self.folder / ".lock"
        try:
            if not place.is_file():
                return False
            with place.open("rb") as file:
                return _is_locked(file.fileno())
        except OSError:
            return None

    def read_metrics(self) -> Iterator["MetricsRow"]:
        """Read the rows that were logged so far, skipping lines that are not valid rows."""
        if self.metrics.is_file():
            with self.metrics.open(encoding="utf-8", errors="replace") as file:
                yield from (row for line in file if (row := parse_row(line)))

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        with explained(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rewind_metrics(self, step: int) -> None:
        """Remove the rows after ``step``, and any line that a killed process cut short."""
        if self.metrics.exists():
            if not self.metrics.is_file():
                raise CheckpointError(f"{self.metrics}: not a file. Remove it")
            lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if (row := parse_row(line)) and row.step <= step]
            write_text(self.metrics, "".join(f"{line}\n" for line in kept))

    def take_back_last(self) -> None:
        """Undo the validation of a last step, of which a longer run knows nothing."""
        self.restore_best()
        if any(row.last for row in self.read_metrics()):
            lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if (row := parse_row(line)) and not row.last]
            write_text(self.metrics, "".join(f"{line}\n" for line in kept))

    @contextlib.contextmanager
    def only_one(self, notice: Callable[[str], None]) -> Iterator[None]:
        """Prevent other processes from training this run until this one ends or dies.

        Two processes would mix their lines in ``metrics.jsonl`` and overwrite each other's state.
        ``notice`` receives one line if the file system has no locks, as some network drives.
        """
        place = self.folder / ".lock"
        with explained(place):
            file = place.open("a")
        with file:
            try:
                _lock(file.fileno())
            except (BlockingIOError, PermissionError) as error:  # the two codes of POSIX
                raise UsageError(
                    f"{self.folder}: another process is training it. Wait until it ends, or stop it"
                ) from error
            except OSError as error:
                notice(
                    f"{place}: this file system has no locks ({error.strerror}). Do not train "
                    "this run in a second process at the same time"
                )
            yield

    @contextlib.contextmanager
    def replacing_best(self, *, keep: bool = False) -> Iterator["Run"]:
        """Yield an empty folder that replaces ``best`` in one step on success.

        ``keep``: keep the present ``best``, which may be missing, for ``restore_best``.
        """
        fresh, old = self.folder / FRESH_BEST, self.folder / (EARLIER_BEST if keep else OLD_BEST)
        with explained(self.best):
            self._remove_half_best()
            fresh.mkdir()
            yield Run(fresh)
            if self.best.exists():
                self.best.rename(old)
            elif keep:
                old.mkdir()
            fresh.rename(self.best)
            if not keep:
                shutil.rmtree(old, ignore_errors=True)

    def restore_best(self) -> None:
        """Undo a replacement of ``best`` that kept the models before it, if there was one."""
        earlier = self.folder / EARLIER_BEST
        if earlier.is_dir():
            with explained(self.best):
                shutil.rmtree(self.best, ignore_errors=True)
                if any(earlier.iterdir()):
                    earlier.rename(self.best)
                else:
                    earlier.rmdir()

    def remove_leftovers(self) -> None:
        """Remove the incomplete files of a killed process."""
        self._remove_half_best()
        for folder in (self.folder.absolute().parent, self.folder, self.samples):
            remove_leftovers(folder)

    def _remove_half_best(self) -> None:
        for half in (FRESH_BEST, OLD_BEST):
            shutil.rmtree(self.folder / half, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class MetricsRow:
    """A line of ``metrics.jsonl``."""

    step: int
    numbers: dict[str, float]  # by name: epoch, lr, losses, validation; NaN if training diverged
    health: dict[str, str]  # warnings by name
    last: bool = False  # the validation of the last step, taken back if the run is extended


def parse_row(line: str) -> MetricsRow | None:
    """Read one line of ``metrics.jsonl``; None if it is not a JSON object with a step.

    The line may have been edited: values of unexpected types are left out.
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
        last=tree.get("last") is True,
    )


def config_text(settings: Settings, record: Mapping[str, Any]) -> str:
    """Write settings and record as the text of ``config.toml``."""
    return tomli_w.dumps({**to_tree(settings), "record": dict(record)})


def parse_config(text: str) -> tuple[Settings, dict[str, Any]]:
    """Parse the text of ``config.toml``; ``ValueError`` if it is not valid TOML."""
    tree = tomllib.loads(text)
    record = tree.pop("record", {})
    return parse_settings(tree), record if isinstance(record, dict) else {}


def _lock(descriptor: int) -> None:
    """Lock a file for this process but not its forks; raise ``OSError`` if that fails."""
    if sys.platform != "win32":  # no lock on Windows, which has no fcntl
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_locked(descriptor: int) -> bool | None:
    """Return whether another process has locked a file, without locking it."""
    if sys.platform == "win32":
        return None
    try:
        os.lockf(descriptor, os.F_TEST, 0)
    except (BlockingIOError, PermissionError):  # the two codes of POSIX
        return True
    return False


def _step_of(sample: Path) -> int | None:
    digits = sample.stem.removeprefix("step_")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def refuse_existing(out: Path, *, method: str) -> None:
    """Raise ``UsageError`` if ``out`` already exists: a run is never overwritten.

    ``method``: the method of the new run, which the name of another folder contains.
    """
    if Run(out).config.exists():
        numbers = itertools.chain([""], map(str, itertools.count(2)))
        others = (Path(f"{out}-{method}{number}") for number in numbers)
        other = next(path for path in others if not path.exists())
        raise UsageError(
            f"{out}: already contains a run. Continue it with `resume` {out}, or start another "
            f"with `out` {other}"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: already exists. Choose another folder with `out`")


@contextlib.contextmanager
def new_run(out: Path) -> Iterator[Run]:
    """Yield a temporary folder beside ``out``, which is renamed to ``out`` on success.

    So no incomplete run is ever visible there. A folder in which files have appeared meanwhile is
    not replaced.
    """
    folder = temporary_beside(out.absolute())
    try:
        try:
            (folder / "samples").mkdir(parents=True)
        except OSError as error:
            raise _cannot_be_created(out, error) from error
        remove_leftovers(folder.parent)
        yield Run(folder)
        try:
            folder.rename(out)
        except OSError as error:
            raise _cannot_be_created(out, error) from error
    except ImgTranslateError as error:
        raise type(error)(str(error).replace(str(folder), str(out))) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cannot_be_created(out: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{out}: cannot be created: {error.strerror}. Choose another folder with `out`"
    )
