"""The state of runs that another process writes, from their files alone."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures.pictures import digests
from fixtures.runs import make_light_run

from imgtranslate.evaluation.report import live
from imgtranslate.evaluation.report.live import Watch, pace_of
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Pix2PixConfig, TrainSettings

TRAIN = "import sys\nfrom imgtranslate.runs.folder import Run\nfrom pathlib import Path\n"
TRAIN += "with Run(Path(sys.argv[1])).only_one(print): print('trains', flush=True); input()"


@contextmanager
def training(run: Run) -> Iterator[None]:
    """Another process that holds the lock of a training."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(run.folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "trains\n"
        yield
        process.stdin.close()


@pytest.fixture(autouse=True)
def reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "READING_SHARE", 1e9)


def rows(*steps: int, **numbers: Any) -> list[dict[str, Any]]:
    return [{"step": step, "lr": 0.1, "gan_ab": 0.5, **numbers} for step in steps]


def only(watch: Watch) -> dict[str, Any]:
    (run,) = watch.list_runs()["runs"]
    found = watch.describe(run["key"])
    assert found is not None
    return found


def reached(run: Run, *, seconds: float) -> None:
    """Date the last row so long ago."""
    then = time.time() - seconds
    os.utime(run.metrics, (then, then))


# States


def test_a_run_begins_trains_stops_and_ends(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run", steps=30)
    watch = Watch([run.folder])
    assert only(watch)["state"] == "stopped"
    with training(run):
        begun = only(watch)
        assert (begun["state"], begun["rows"], begun["step"]) == ("training", 0, 0)
        assert begun["curves"] == begun["samples"] == []
        for row in rows(10, 20):
            run.append_metrics(row)
        going = only(watch)
        assert (going["state"], going["step"], going["total"]) == ("training", 20, 30)
        assert [curve["steps"] for curve in going["curves"]] == [[10, 20]] * 2
    stopped = only(watch)
    assert stopped["state"] == "stopped"
    assert stopped["resume"] == f"imgtranslate train --resume {run.folder}"
    assert stopped["version"] == going["version"]
    run.append_metrics(rows(30)[0])
    assert only(watch)["state"] == "finished"


def test_without_locks_a_run_counts_as_stopped_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10, 20))
    monkeypatch.setattr(Run, "is_training", lambda _: None)
    reached(run, seconds=live.QUIET_SECONDS / 2)
    assert only(Watch([run.folder]))["state"] == "training"
    reached(run, seconds=live.QUIET_SECONDS * 2)
    assert only(Watch([run.folder]))["state"] == "stopped"


def test_a_row_counts_once_it_is_whole(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10))
    watch = Watch([run.folder])
    with run.metrics.open("ab") as file:
        file.write('{"step": 20, "note": "ü'.encode()[:-1])
    assert only(watch)["step"] == 10
    with run.metrics.open("ab") as file:
        file.write("ü".encode()[1:] + b'", "gan_ab": 2}\n')
    found = only(watch)
    assert (found["step"], found["rows"]) == (20, 2)


def test_a_rewind_takes_rows_and_samples_back(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10, 20, 30, 40), samples=(20, 40))
    watch = Watch([run.folder])
    assert [step for step, _ in only(watch)["samples"]] == [20, 40]
    run.rewind_metrics(20)
    found = only(watch)
    assert found["step"] == 20
    assert [step for step, _ in found["samples"]] == [20]
    run.append_metrics(rows(30)[0])
    assert [step for step, _ in only(watch)["samples"]] == [20, 40]  # 40 is due before its row


def test_warnings_of_the_second_half_tell_the_health(tmp_path: Path) -> None:
    old, new = ({"health": {"collapsed_ab": f"has collapsed {n}"}} for n in (1, 2))
    run = make_light_run(tmp_path / "run", rows=[*rows(10, **old), *rows(30, **new), *rows(40)])
    run.append_metrics({"step": 40, "gan_ab": float("nan")})
    found = only(Watch([run.folder]))
    assert found["unwell"] == [[30, "has collapsed 2"]]
    assert found["earlier"] == [[10, "has collapsed 1"]]
    assert found["not_finite"] == ["gan_ab was not finite at step 40."]
    json.dumps(found, allow_nan=False)


def test_the_best_validation_is_named(tmp_path: Path) -> None:
    found = [rows(10 * n, validation=value)[0] for n, value in enumerate((3, 1, 2), 1)]
    run = make_light_run(tmp_path / "run", rows=found)
    assert only(Watch([run.folder]))["validation"] == {
        "first": {"step": 10, "value": 3},
        "last": {"step": 30, "value": 2},
        "best": {"step": 20, "value": 1},
    }


def test_validations_without_a_gain_end_a_run(tmp_path: Path) -> None:
    for patience, state in ((0, "stopped"), (3, "stopped"), (2, "finished")):
        found = [rows(10 * n, validation=value)[0] for n, value in enumerate((3, 1, 2, 1), 1)]
        train = TrainSettings(steps=100, patience=patience)
        run = make_light_run(tmp_path / f"{patience}", rows=found, train=train)
        told = only(Watch([run.folder]))
        assert (told["state"], told["ended_early"]) == (state, state == "finished")
        assert ("--set train.patience=0" in told["resume"]) is told["ended_early"]


@pytest.mark.parametrize("record", [{}, {"pictures_a": 9}, {"pictures_a": "9", "pictures_b": 1}])
def test_an_old_run_has_no_total(tmp_path: Path, record: dict[str, Any]) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10), record=record)
    found = only(Watch([run.folder]))
    assert (found["total"], found["state"], found["data"]) == (None, "stopped", [])


def test_a_method_of_one_direction_is_said_to_be_one(tmp_path: Path) -> None:
    make_light_run(tmp_path / "one", rows=rows(10), method=Pix2PixConfig())
    make_light_run(tmp_path / "two", rows=rows(10))
    found = {run["name"]: run["both"] for run in Watch([tmp_path]).list_runs()["runs"]}
    assert found == {"one": False, "two": True}


# Time left


def test_the_time_left_follows_from_the_times_of_samples_and_rows(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10, 20, 30, 40), samples=(10, 20, 30))
    now = time.time()
    for n, step in enumerate((10, 20, 30)):
        os.utime(run.samples / f"step_{step:07}.png", (now, now - 65 + 20 * n))
    reached(run, seconds=5)
    with training(run):
        found = only(Watch([run.folder]))
    assert found["pace"] == pytest.approx(2)
    assert found["remaining"] == pytest.approx(60 * 2 - 5, abs=3)
    assert only(Watch([run.folder]))["remaining"] is None  # it has stopped


def test_a_watched_run_needs_no_samples_to_tell_the_time_left(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10))
    watch = Watch([run.folder])
    reached(run, seconds=30)
    assert only(watch)["pace"] is None
    run.append_metrics(rows(20)[0])
    reached(run, seconds=20)
    assert only(watch)["pace"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("marks", "pace"),
    [
        ([], None),
        ([(10, 5.0)], None),
        ([(0, 0.0), (10, 5.0), (30, 15.0)], 0.5),
        ([(0, 0.0), (10, 5.0), (20, 9005.0), (30, 9010.0)], 0.5),  # resumed after a night
        ([(0, 0.0), (10, 9000.0), (20, 9005.0)], 0.5),
        ([(0, 100.0), (10, 5.0), (20, 10.0)], 0.5),  # times that go back
        ([(10, 5.0), (20, 5.0)], None),
    ],
)
def test_pauses_do_not_count(marks: list[tuple[int, float]], pace: float | None) -> None:
    assert pace_of(marks) == pace


# Folders


def test_new_runs_appear_and_the_newest_is_first(tmp_path: Path) -> None:
    (tmp_path / "runs/not a run").mkdir(parents=True)
    watch = Watch([tmp_path / "runs"])
    assert watch.list_runs() == {"folder": str(tmp_path / "runs"), "runs": [], "left_out": 0}
    for n, name in enumerate(["first", "second", ".imgtranslate-x.tmp"]):
        run = make_light_run(tmp_path / "runs" / name)
        os.utime(run.config, (n, n))
    assert [run["name"] for run in watch.list_runs()["runs"]] == ["second", "first"]
    shutil.rmtree(tmp_path / "runs/second")
    assert [run["name"] for run in watch.list_runs()["runs"]] == ["first"]
    shutil.rmtree(tmp_path / "runs")
    assert watch.list_runs()["runs"] == []


def test_only_the_newest_of_very_many_runs_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_RUNS", 2)
    for n in range(5):
        os.utime(make_light_run(tmp_path / f"{n}").config, (n, n))
    found = Watch([tmp_path]).list_runs()
    assert ([run["name"] for run in found["runs"]], found["left_out"]) == (["4", "3"], 3)


def test_a_run_that_was_named_stays_when_it_is_removed(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10))
    watch = Watch([run.folder])
    assert only(watch)["step"] == 10
    run.folder.rename(tmp_path / "away")
    found = only(watch)
    assert (found["state"], found["fault"]) == ("unreadable", "The folder of this run is gone.")
    (tmp_path / "away").rename(run.folder)
    assert only(watch)["step"] == 10


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [make_light_run(tmp_path / x / "run").folder for x in "ab"]
    folders.append(make_light_run(tmp_path / "c").folder)
    found = Watch([*folders, folders[0]]).list_runs()["runs"]
    assert [run["name"] for run in found] == [str(folders[0]), str(folders[1]), "c"]


def test_any_name_can_be_shown(tmp_path: Path) -> None:
    names = ["a 'b' \"c\"", "<script>alert(1)", "x\x1b[2J", os.fsdecode(b"\xff\xfe")]
    for name in names:
        make_light_run(tmp_path / name, rows=rows(10))
    watch = Watch([tmp_path])
    found = watch.list_runs()["runs"]
    assert {run["name"] for run in found} == {*names[:2], "x\\x1b[2J", "\\udcff\\udcfe"}
    for run in found:
        json.dumps(watch.describe(run["key"])).encode("utf-8")


# Faults


@pytest.mark.parametrize("text", ["", "[data", "\x00", '[data]\ncrop_size = "x"', "record = 1"])
def test_a_damaged_run_is_told_beside_the_others(tmp_path: Path, text: str) -> None:
    make_light_run(tmp_path / "good", rows=rows(10))
    damaged = make_light_run(tmp_path / "damaged", rows=rows(10))
    damaged.config.write_text(text)
    found = {run["name"]: run for run in Watch([tmp_path]).list_runs()["runs"]}
    assert found["good"]["step"] == 10
    assert found["damaged"]["fault"] or found["damaged"]["step"] == 10
    assert "\n" not in found["damaged"]["fault"]


@pytest.mark.parametrize("content", [b"\xff\x00\n" * 99, b"{}\n[]\n7\n", b"[" * 10**5, b""])
def test_damaged_rows_are_left_out(tmp_path: Path, content: bytes) -> None:
    run = make_light_run(tmp_path / "run")
    run.metrics.write_bytes(content)
    found = only(Watch([run.folder]))
    assert (found["rows"], found["curves"], found["fault"]) == (0, [], "")


def test_files_that_are_no_files_do_no_harm(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "run")
    run.samples.rmdir()
    run.samples.write_text("a file")
    for name in ("metrics.jsonl", ".lock", "report.html"):
        os.mkfifo(run.folder / name)
    watch = Watch([run.folder])
    found = only(watch)
    assert (found["rows"], found["report"], found["state"]) == (0, False, "stopped")
    assert watch.read_report(found["key"]) is None
    run.config.unlink()
    os.mkfifo(run.config)
    assert "not a file" in only(watch)["fault"]


def test_no_file_outside_of_a_run_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"step": 10, "secret": 1}\n')
    run = make_light_run(tmp_path / "run", rows=rows(10), samples=(10,))
    sample = run.samples / "step_0000010.png"
    for path in (sample, run.report, run.samples / "step_0000009.png"):
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
    watch = Watch([run.folder])
    key = only(watch)["key"]
    assert watch.read_report(key) is None
    assert watch.read_sample(key, 10) is watch.read_sample(key, 9) is None
    assert watch.describe("../../secret") is watch.read_sample(str(run.folder), 10) is None
    run.metrics.unlink()
    run.metrics.symlink_to(secret)
    found = only(watch)
    assert found["fault"].startswith(f"{run.metrics}: leads out of the run")
    assert "curves" not in found


def test_a_run_behind_a_link_is_read(tmp_path: Path) -> None:
    run = make_light_run(tmp_path / "disk/run", rows=rows(10), samples=(10,))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/link").symlink_to(run.folder)
    watch = Watch([tmp_path / "runs"])
    found = only(watch)
    assert (found["name"], found["step"]) == ("link", 10)
    sample = watch.read_sample(found["key"], 10)
    assert sample == (run.samples / "step_0000010.png").read_bytes()


def test_nothing_is_written_and_files_are_read_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_light_run(tmp_path / "run", rows=rows(10, 20), samples=(10,))
    before = digests(tmp_path)
    read: list[Run] = []
    monkeypatch.setattr(live, "read_log", lambda of: read.append(of) or original(of))
    watch = Watch([tmp_path])
    for _ in range(3):
        found = only(watch)
        watch.read_sample(found["key"], 10)
        watch.read_report(found["key"])
    assert len(read) == 1
    assert digests(tmp_path) == before


original = live.read_log


def test_reading_takes_a_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_light_run(tmp_path / "run", rows=rows(10))
    monkeypatch.setattr(live, "READING_SHARE", 1e-9)
    watch = Watch([run.folder])
    assert only(watch)["step"] == 10
    run.append_metrics(rows(20)[0])
    assert only(watch)["step"] == 10
    monkeypatch.setattr(live, "LISTING_SECONDS", 0.0)
    (found,) = Watch([run.folder]).list_runs()["runs"]
    assert found["state"] == "unread"
