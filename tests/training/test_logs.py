"""The logs beside ``metrics.jsonl``: what their readers find, and that none ends a training."""

import ast
import csv
import json
import math
import os
import shutil
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.pictures import save_sides

import imgtranslate
from imgtranslate.data.loader import Batch
from imgtranslate.errors import UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.config import Settings
from imgtranslate.training.events import Event, Logged, Notice, Progress, Started
from imgtranslate.training.logs import listeners
from imgtranslate.training.logs.csv_log import CsvLog
from imgtranslate.training.logs.listeners import find_logs, grouped, logging_to
from imgtranslate.training.train import resume, train

SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "data.workers": 0,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "train.log_every": 2,
    "train.sample_every": 4,
    "train.validate_every": 4,
    "train.save_every": 5,
    "train.steps": 12,
}
SELDOM_SAVED = {"train.validate_every": 100}  # at step 5, as no validation saves a best model


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sides(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a finished run takes longer than these trainings."""
    monkeypatch.setattr("imgtranslate.training.train.write_report", lambda run, **_: run)


class KilledError(Exception):
    pass


def trained(
    pictures: Path,
    out: Path,
    *logs: str,
    notices: list[str] | None = None,
    killed_at: int = 0,
    at: int = 0,
    then: Callable[[], object] = lambda: None,
    **changes: Any,
) -> Path:
    """Train with logs; die in a step like a killed process, or call ``then`` at a step."""

    def report(event: Event) -> None:
        if isinstance(event, Notice) and notices is not None:
            notices.append(event.text)
        if isinstance(event, Progress) and event.step == killed_at:
            raise KilledError
        if isinstance(event, Progress) and event.step == at:
            then()

    settings = {**SMALL, "train.log": [*logs], **changes}
    a, b = pictures / "horses", pictures / "zebras"
    try:
        train(a=a, b=b, out=out, settings=settings, device="cpu", report=report)
    except KilledError:
        assert killed_at
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def break_a_loss(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Make the losses of a step not finite, once, so that the run returns to a saved state."""
    step = Learner.step

    def spoilt(self: Learner, batch: Batch, *, learning_rate: float) -> None:
        if self.steps_done + 1 == at and self.rate_factor == 1:
            batch = Batch(batch.real_a * math.nan, batch.real_b)
        step(self, batch, learning_rate=learning_rate)

    monkeypatch.setattr(Learner, "step", spoilt)


# CSV


def assert_same_table(out: Path) -> None:
    """The table has the rows of ``metrics.jsonl``, number by number."""
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        found = [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    wanted = rows(out)
    assert len(found) == len(wanted) > 0
    for row, line in zip(wanted, found, strict=True):
        assert line.pop("health", "") == "; ".join(row.pop("health", {}).values())
        row.pop("last", None)
        assert {name: float(cell) for name, cell in line.items()} == row


def test_the_table_has_every_row_also_after_a_kill_and_a_longer_run(
    pictures: Path, tmp_path: Path
) -> None:
    out = trained(pictures, tmp_path / "run", "csv", killed_at=9)
    assert_same_table(out)
    assert resume(out, device="cpu").finished
    assert_same_table(out)
    assert len(rows(out)) == 6
    assert resume(out, device="cpu", settings={"train.steps": 15}).finished
    assert_same_table(out)  # with the validation of the last step
    assert resume(out, device="cpu", settings={"train.steps": 18}).finished
    assert_same_table(out)  # and without it


def test_the_table_is_written_anew_after_a_recovery(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_a_loss(monkeypatch, at=9)
    # a first validation would write it anew too
    changes = {**SELDOM_SAVED, "data.held_out": 0}
    out = trained(pictures, tmp_path / "run", "csv", **changes)
    assert any("not_finite" in row.get("health", {}) for row in rows(out))
    assert_same_table(out)


# TensorBoard


def read_tensorboard(out: Path) -> Any:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"scalars": 0, "images": 0, "tensors": 0}
    return EventAccumulator(str(out / "tensorboard"), size_guidance=everything).Reload()


def scalars(out: Path) -> dict[str, list[tuple[int, float]]]:
    log = read_tensorboard(out)
    return {
        tag: [(event.step, event.value) for event in log.Scalars(tag)]
        for tag in log.Tags()["scalars"]
    }


def series(out: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers of ``metrics.jsonl``, with the precision and the names of event files."""
    found = defaultdict(list)
    for row in rows(out):
        numbers = {name: n for name, n in row.items() if name not in ("step", "health", "last")}
        for name, value in grouped(numbers).items():
            found[name].append((row["step"], struct.unpack("f", struct.pack("f", value))[0]))
    return dict(found)


def test_tensorboard_reads_losses_validations_samples_and_settings(
    pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    notices: list[str] = []
    out = trained(pictures, tmp_path / "my run", "tensorboard", notices=notices)
    assert notices == [f"train.log tensorboard: see it with tensorboard `logdir` '{out}'"]
    assert scalars(out) == series(out)
    assert {"loss/cycle_a", "validation/validation", "schedule/lr"} <= scalars(out).keys()
    log = read_tensorboard(out)
    shown = {event.step: event.encoded_image_string for event in log.Images("samples")}
    files = {step: out / "samples" / f"step_{step:07}.png" for step in (4, 8, 12)}
    assert shown == {step: path.read_bytes() for step, path in files.items()}
    (settings,) = log.Tensors("settings/text_summary")
    assert b"    crop_size = 16" in settings.tensor_proto.string_val[0]


def test_tensorboard_shows_one_series_after_a_kill(pictures: Path, tmp_path: Path) -> None:
    """Steps 6 to 8 were logged twice: the first time, they were not saved."""
    pytest.importorskip("tensorboard")
    out = trained(pictures, tmp_path / "run", "tensorboard", killed_at=9, **SELDOM_SAVED)
    assert max(step for step, _ in scalars(out)["loss/cycle_a"]) == 8
    config = (out / "config.toml").read_text()
    assert "lr = 0.0002" in config
    # other values than those that were logged before the kill
    (out / "config.toml").write_text(config.replace("lr = 0.0002", "lr = 0.001"))
    assert resume(out, device="cpu").finished
    assert len(list((out / "tensorboard").iterdir())) == 2
    assert scalars(out) == series(out)
    assert [event.step for event in read_tensorboard(out).Images("samples")] == [4, 8, 12]


def test_tensorboard_shows_one_series_after_a_recovery(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    break_a_loss(monkeypatch, at=9)
    out = trained(pictures, tmp_path / "run", "tensorboard", **SELDOM_SAVED)
    found = scalars(out)
    assert found == series(out)
    assert {value for step, value in found["schedule/lr"] if step > 9} == {
        value for _, value in series(out)["schedule/lr"][-1:]
    }
    log = read_tensorboard(out)
    (warning,) = log.Tensors("health/not_finite/text_summary")
    assert b"the losses are not finite at step 9" in warning.tensor_proto.string_val[0]


# Weights & Biases

OFFLINE = """
import sys
from imgtranslate import cli
pictures, settings = sys.argv[1:]
new = ["--a", f"{pictures}/horses", "--b", f"{pictures}/zebras", "--config", settings]
assert cli.run(["train", *new, "--out", "run", "--log", "wandb"]) == 0
assert cli.run(["train", "--resume", "run", "--steps", "6"]) == 0
"""


def records(path: Path) -> Iterator[Any]:
    """Read a file of wandb: records of protobuf in the blocks of LevelDB's log format."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32_768 - at % 32_768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(whole)
            whole = b""


def toml(settings: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in settings.items())


@pytest.mark.slow
def test_wandb_logs_offline_without_network_or_login(pictures: Path, tmp_path: Path) -> None:
    """A real run in a process that reaches only itself, and its resume, which is the same run."""
    pytest.importorskip("wandb")
    changes = {"train.steps": 3, "train.log_every": 1, "train.validate_every": 2}
    settings = {**SMALL, **changes, "train.sample_every": 2}
    (tmp_path / "settings.toml").write_text(toml(settings))
    (tmp_path / "home").mkdir()
    alone = ["unshare", "--map-root-user", "--net"]
    can = shutil.which("unshare") and not subprocess.run([*alone, "true"], check=False).returncode
    names = ("CI", "GITHUB_", "WANDB_", "BUILD", "JENKINS", "XDG_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    done = subprocess.run(
        [*(alone if can else ()), sys.executable, "-c", OFFLINE, pictures, "settings.toml"],
        cwd=tmp_path,
        env=environment | {"HOME": str(tmp_path / "home")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "notice: --log wandb: offline; upload it with wandb sync run/wandb/" in done.stderr
    assert "Training continues without it" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("wandb:")] == []
    assert list((tmp_path / "home").iterdir()) == []

    out = tmp_path / "run"
    files = sorted((out / "wandb").glob("offline-run-*/*.wandb"))
    assert {path.stem.removeprefix("run-") for path in files} == {
        (out / "wandb/run_id").read_text()
    }
    everything = [record for path in files for record in records(path)]
    history: dict[int, dict[str, Any]] = defaultdict(dict)
    for record in everything:
        for item in record.history.item:
            name = "/".join(item.nested_key) or item.key
            history[record.history.step.num][name] = json.loads(item.value_json)
    for row in rows(out):
        numbers = {name: n for name, n in row.items() if name not in ("step", "health", "last")}
        assert grouped(numbers).items() <= history[row["step"]].items()
    assert [step for step, row in history.items() if "samples/_type" in row or "samples" in row]
    config = {
        "/".join(item.nested_key) or item.key: json.loads(item.value_json)
        for record in everything
        for item in record.run.config.update
    }
    assert config["data"]["crop_size"] == 16


# Failing logs


class BrokenLog:
    place = "nowhere"

    def __init__(self, _: Started) -> None:
        self.closed = 0

    def show(self, event: Event) -> None:
        if isinstance(event, Logged):
            raise ZeroDivisionError

    def close(self) -> None:
        self.closed += 1
        raise OSError("gone")


def test_a_log_that_fails_is_dropped_with_one_line(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = {"csv": BrokenLog, "wandb": CsvLog}
    monkeypatch.setattr("imgtranslate.training.train.find_logs", lambda _: find)
    notices: list[str] = []
    out = trained(pictures, tmp_path / "run", notices=notices)
    assert notices == [
        "train.log csv: nowhere",
        f"train.log wandb: {out / 'metrics.csv'}",
        "train.log csv: ZeroDivisionError. Training continues without it",
    ]
    assert_same_table(out)  # the other log goes on


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("no space\nleft"), "no space left"), (RuntimeError(), "RuntimeError")],
)
def test_a_log_that_cannot_be_opened_or_closed_is_dropped(error: Exception, said: str) -> None:
    started = Started(
        run=Path("r"), device="cpu", step=0, total_steps=1, total_epochs=1, parameters=1,
        settings=Settings(), report=None,
    )  # fmt: skip
    told: list[Event] = []

    def fail(_: Started) -> BrokenLog:
        raise error

    with logging_to({"wandb": fail, "csv": BrokenLog}, told.append) as report:
        report(started)
    assert [event.text for event in told if isinstance(event, Notice)] == [
        f"train.log wandb: {said}. Training continues without it",
        "train.log csv: nowhere",
        "train.log csv: gone. Training continues without it",
    ]


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="a full disk exists on Linux alone")
def test_a_full_disk_ends_a_table_but_not_the_training(pictures: Path, tmp_path: Path) -> None:
    out, notices = tmp_path / "run", list[str]()

    def fill() -> None:
        (out / "metrics.csv").unlink()
        (out / "metrics.csv").symlink_to(FULL)

    trained(pictures, out, "csv", notices=notices, at=4, then=fill)
    assert len(rows(out)) == 6
    (line,) = notices[1:]
    assert line.startswith(f"train.log csv: {out / 'metrics.csv'}: cannot be written: the disk is")


@pytest.mark.skipif(not FULL.exists(), reason="a full disk exists on Linux alone")
def test_a_full_disk_ends_event_files_but_not_the_training(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr("time.time_ns", lambda: 7)
    out, notices = tmp_path / "run", list[str]()
    real = Path.open

    def opened(self: Path, *given: Any, **options: Any) -> Any:
        return real(FULL, "wb") if "tfevents" in self.name else real(self, *given, **options)

    monkeypatch.setattr(Path, "open", opened)
    trained(pictures, out, "tensorboard", notices=notices)
    assert notices[1:] == [
        "train.log tensorboard: [Errno 28] No space left on device. Training continues without it"
    ]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_folder_that_cannot_be_written_ends_its_log_alone(
    name: str, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip(name)
    out = trained(pictures, tmp_path / "run", **{"train.steps": 2})
    (out / name).write_text("a file")
    told: list[Event] = []
    changes = {"train.log": [name], "train.steps": 4}
    assert resume(out, device="cpu", settings=changes, report=told.append).finished
    (line,) = [event.text for event in told if isinstance(event, Notice)]
    assert line.startswith(f"train.log {name}: {out / name}")
    assert line.endswith("Training continues without it")


# Extras


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_extra_is_said_before_the_pictures_are_checked(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"imgtranslate.training.logs.{name}_log", None)
    told: list[Event] = []
    with pytest.raises(UsageError, match="needs more packages") as caught:
        train(
            a=pictures / "horses", b=pictures / "zebras", out=tmp_path / "run",
            settings={**SMALL, "train.log": ["csv", name]}, device="cpu", report=told.append,
        )  # fmt: skip
    assert str(caught.value) == (
        f"train.log {name}: needs more packages. Run pip install 'imgtranslate[{name}]'"
    )
    assert told == []
    assert not (tmp_path / "run").exists()


def test_the_libraries_of_logs_are_imported_when_asked_for() -> None:
    package = Path(imgtranslate.__file__).parent
    importing = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            if any(part in f"{source} {' '.join(names)}" for part in ("tensorboard", "wandb")):
                importing.add(path.name)
    assert importing == {"listeners.py", "tensorboard_log.py", "wandb_log.py"}
    tree = ast.parse(Path(listeners.__file__).read_text("utf-8"))
    top = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not any("_log" in str(name) for name in top)
    assert find_logs([]) == {}
    assert not torch.cuda.is_initialized()
