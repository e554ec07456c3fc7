"""Runs while they are trained, from their files alone: state, figures, samples and settings.

Another process writes these files meanwhile. A line that is half written counts once it is whole,
and a run that was named stays in the list if it is removed. Nothing is written here. A run is asked
for by its key, so no request names a path.
"""

import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, final

from imgtranslate.errors import ImgTranslateError
from imgtranslate.evaluation.report.curves import Log, read_log
from imgtranslate.evaluation.report.provenance import lines_of, resume_command, settings_of
from imgtranslate.methods.schedule import Schedule
from imgtranslate.pages import number, shown
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, learns_both_ways
from imgtranslate.settings.presets import name_of_method

MOST_RUNS = 200  # of a folder, the newest
LISTING_SECONDS = 0.5  # of reading for one list; other runs keep the figures of the list before
READING_SHARE = 0.05  # of the time, the most that is spent on reading one run
QUIET_SECONDS = 300.0  # without a row, after which a run without locks counts as stopped
MARKS = 50  # last pairs of step and time that give the pace
PAUSE = 5.0  # times the usual pace: the training stood still
LARGEST_FILE = 64_000_000  # bytes, of a picture or page
LONGEST_LINE = 400  # characters

Mark = tuple[int, float]  # a step, and the time at which it was written


@final
class Watch:
    """The watched runs: those that were named, and those in the folders that were named."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._named = {place for place in places if _is_run(place)}  # may be removed later
        self._runs: dict[str, WatchedRun] = {}
        self._lock = Lock()

    def list_runs(self) -> dict[str, Any]:
        """Return the state and the main figures of every run, in plain values."""
        with self._lock:
            left_out = self._find()
            deadline = time.monotonic() + LISTING_SECONDS
            for run in self._runs.values():
                if time.monotonic() < deadline:
                    run.read()
            folders = [str(place) for place in self._places if place not in self._named]
            return {
                "folder": shown(", ".join(folders)),
                "runs": [{"key": key, **run.summary()} for key, run in self._runs.items()],
                "left_out": left_out,
            }

    def describe(self, key: str) -> dict[str, Any] | None:
        """Return all that is shown of a run, in plain values; None for an unknown run."""
        with self._lock:
            if (run := self._runs.get(key)) is None:
                return None
            run.read()
            return {"key": key, **run.summary(), **run.details()}

    def read_sample(self, key: str, step: int) -> bytes | None:
        """Return the PNG of a sample, or None."""
        run = self._runs.get(key)
        return None if run is None else _read_own(run.run, run.run.list_samples().get(step))

    def read_report(self, key: str) -> bytes | None:
        """Return the page that the training or `report` has written, or None."""
        run = self._runs.get(key)
        return None if run is None else _read_own(run.run, run.run.report)

    def _find(self) -> int:
        """List the runs again; return the number of runs that are left out."""
        folders: list[Path] = []
        left_out = 0
        for place in self._places:
            if place in self._named or _is_run(place):
                self._named.add(place)
                folders.append(place)
            else:
                found = sorted(_runs_in(place), reverse=True)
                folders += [folder for _, folder in found[:MOST_RUNS]]
                left_out += max(0, len(found) - MOST_RUNS)
        folders = list(dict.fromkeys(folders))
        names = [folder.absolute().name for folder in folders]
        before, self._runs = self._runs, {}
        for folder, name in zip(folders, names, strict=True):
            key = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
            known = before.get(key) or WatchedRun(Run(folder))
            known.name = shown(name if names.count(name) == 1 else str(folder))
            self._runs[key] = known
        return left_out


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The content of the files of a run at one time."""

    settings: Settings
    record: dict[str, Any]
    log: Log
    total: int | None  # steps
    samples: dict[int, float]  # time by step
    written: float  # time of the last row, or of the start

    @property
    def ended_early(self) -> bool:
        """Return whether the training ended by ``train.patience``."""
        return self.log.ended_early(self.settings.train.patience)

    def marks(self) -> Iterator[Mark]:
        """Yield steps with the time at which they were reached."""
        yield from self.samples.items()
        if self.log.rows:
            yield self.log.last_step, self.written


class WatchedRun:
    """One run, and what was last read of it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.name = ""
        self._version = ""
        self._fault = ""
        self._reading: Reading | None = None
        self._marks: dict[int, float] = {}
        self._locked: bool | None = False
        self._rests_until = 0.0

    def read(self) -> None:
        """Read the files again if they have changed, but not all the time."""
        self._locked = self.run.is_training()
        began = time.monotonic()
        version = _version_of(self.run)
        if version == self._version or began < self._rests_until:
            return
        try:
            self._reading, self._fault = _read(self.run), ""
        except (ImgTranslateError, OSError) as error:
            self._reading, self._fault = None, _fault_of(self.run, error)
        if (reading := self._reading) is not None:
            last = reading.log.last_step
            found = {step: at for step, at in self._marks.items() if step <= last}
            found |= dict(reading.marks())
            self._marks = dict(sorted(found.items())[-MARKS:])
        self._version = version
        self._rests_until = began + (time.monotonic() - began) / READING_SHARE

    def summary(self) -> dict[str, Any]:
        """Return the state and the main figures."""
        head = {"name": self.name, "version": self._version, "fault": self._fault}
        if (reading := self._reading) is None:
            return {**head, "state": "unread" if not self._version else "unreadable"}
        settings, log = reading.settings, reading.log
        age = max(0.0, time.time() - reading.written)
        pace = pace_of(sorted(self._marks.items()))
        state = self._state(reading, age=age, pace=pace)
        remaining = None
        if state == "training" and pace is not None and reading.total is not None:
            remaining = max(0.0, (reading.total - log.last_step) * pace - age)
        return {
            **head,
            "state": state,
            "ended_early": reading.ended_early,
            "names": {"a": shown(settings.data.name_a), "b": shown(settings.data.name_b)},
            "both": learns_both_ways(settings.method),
            "method": name_of_method(settings),
            "size": settings.data.crop_size,
            "step": log.last_step,
            "total": reading.total,
            "rows": log.rows,
            "age": number(age),
            "pace": number(pace),
            "remaining": number(remaining),
            "validation": log.validation_figures(),
            "unwell": [[step, shown(text, limit=LONGEST_LINE)] for step, text in log.recent_notes],
            "log_every": settings.train.log_every,
        }

    def details(self) -> dict[str, Any]:
        """Return curves, samples, warnings and settings."""
        if (reading := self._reading) is None:
            return {}
        settings, log = reading.settings, reading.log
        earlier = [note for note in log.notes if note not in log.recent_notes]
        return {
            "curves": [curve.to_json() for curve in log.curves if curve.values],
            "samples": [[step, round(at * 1000)] for step, at in reading.samples.items()],
            "earlier": [[step, shown(text, limit=LONGEST_LINE)] for step, text in earlier],
            "not_finite": log.faults(),
            "data": lines_of(reading.record, "facts"),
            "data_warnings": lines_of(reading.record, "warnings"),
            "settings": settings_of(settings),
            "folder": shown(str(self.run.folder.absolute()), limit=LONGEST_LINE),
            "resume": resume_command(self.run, ended_early=reading.ended_early),
            "report": self.run.report.is_file(),
        }

    def _state(self, reading: Reading, *, age: float, pace: float | None) -> str:
        """Return ``training``, ``finished`` or ``stopped``."""
        if reading.ended_early:
            return "finished"
        if reading.total is not None and reading.log.last_step >= reading.total:
            return "finished"
        if self._locked is None:
            usual = (pace or 0.0) * reading.settings.train.log_every
            return "training" if age < max(QUIET_SECONDS, 10 * usual) else "stopped"
        return "training" if self._locked else "stopped"


def pace_of(marks: Sequence[Mark]) -> float | None:
    """Return the seconds of a step by steps and their times, in order; None if they do not tell.

    Validations, samples and saves count. Pauses do not, as between a stop and a resume.
    """
    spans = [
        (later[0] - earlier[0], later[1] - earlier[1])
        for earlier, later in itertools.pairwise(marks)
        if later[0] > earlier[0] and later[1] > earlier[1]
    ]
    if not spans:
        return None
    paces = sorted(seconds / steps for steps, seconds in spans)
    usual = paces[(len(paces) - 1) // 2]
    spans = [(steps, seconds) for steps, seconds in spans if seconds / steps <= PAUSE * usual]
    return sum(seconds for _, seconds in spans) / sum(steps for steps, _ in spans)


def _read(run: Run) -> Reading:
    """Read the files of a run. Raises ``ImgTranslateError`` or ``OSError``."""
    for path in (run.config, run.metrics, run.samples):
        if path.exists() and not _is_own(run, path):
            raise ImgTranslateError(f"{path}: leads out of the run. Replace the link by a copy")
    began = run.config.stat().st_mtime if run.config.is_file() else 0.0
    settings, record = run.read_config()
    log = read_log(run)
    limit = log.last_step + settings.train.log_every  # of samples; those after it await a resume
    samples = {step: path for step, path in run.list_samples().items() if step <= limit}
    return Reading(
        settings=settings,
        record=record,
        log=log,
        total=_total_steps(settings, record),
        samples={step: path.stat().st_mtime for step, path in samples.items() if path.is_file()},
        written=run.metrics.stat().st_mtime if log.rows else began,
    )


def _total_steps(settings: Settings, record: dict[str, Any]) -> int | None:
    """Return the number of steps by the pictures that the run recorded; None of an old run."""
    counts = [record.get(f"pictures_{letter}") for letter in "ab"]
    known = [count for count in counts if isinstance(count, int) and count > 0]
    if len(known) < len(counts):
        return None
    return Schedule(settings=settings, longer_side=max(known)).total_steps()


def _runs_in(folder: Path) -> Iterator[tuple[float, Path]]:
    """Yield the runs in a folder with the time at which each was started."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and _is_run(Path(entry.path)):
                with suppress(OSError):
                    yield Run(Path(entry.path)).config.stat().st_mtime, Path(entry.path)


def _is_run(folder: Path) -> bool:
    return Run(folder).config.is_file()


def _version_of(run: Run) -> str:
    """Return a text that changes with the files of a run."""
    files = (run.folder, run.config, run.metrics, run.samples)
    return hashlib.sha256(repr([_mark_of(path) for path in files]).encode()).hexdigest()[:16]


def _mark_of(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _fault_of(run: Run, error: ImgTranslateError | OSError) -> str:
    if not run.folder.is_dir():
        return "The folder of this run is gone."
    if isinstance(error, OSError):
        error = ImgTranslateError(f"{error.filename}: cannot be read: {error.strerror}")
    return shown(str(error), limit=LONGEST_LINE)


def _is_own(run: Run, path: Path) -> bool:
    """Return whether a file is in the folder of a run when all links are followed."""
    return path.resolve().is_relative_to(run.folder.resolve())


def _read_own(run: Run, path: Path | None) -> bytes | None:
    """Read a file of a run; None if there is none, or it is elsewhere, or too large."""
    with suppress(OSError):
        if path is not None and path.is_file() and _is_own(run, path):
            return path.read_bytes() if path.stat().st_size <= LARGEST_FILE else None
    return None
