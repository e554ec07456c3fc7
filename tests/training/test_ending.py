"""Ends before the end of the schedule: ``train.patience``, and ``--max-hours``."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.pictures import save_sides

from imgtranslate import cli
from imgtranslate.errors import UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import load_tensors, read_state_header
from imgtranslate.training.events import Event, Saved, Started, TrainResult
from imgtranslate.training.train import resume, train

SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "data.workers": 0,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "train.log_every": 3,
    "train.sample_every": 100,
    "train.save_every": 100,
    "train.steps": 12,
    "train.validate_every": 2,
}
VALUES = [0.9, 0.4, 0.6, 0.4, 0.3, 0.7]  # of the validations at steps 2, 4, 6, 8, 10, 12


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sides(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(autouse=True)
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The runs whose page was written."""
    written: list[Path] = []

    def write(run: Path, **_: object) -> Path:
        written.append(run)
        return run / "report.html"

    monkeypatch.setattr("imgtranslate.training.train.write_report", write)
    return written


@pytest.fixture
def validations(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: object, learner: Learner) -> dict[str, float]:
        return {"validation": VALUES[len(learner.validations)]}

    monkeypatch.setattr("imgtranslate.training.validation.Validation.measure", measure)


def trained(
    pictures: Path, out: Path, *, told: list[Event] | None = None, **changes: Any
) -> TrainResult:
    a, b, events = pictures / "horses", pictures / "zebras", [] if told is None else told
    settings = {**SMALL, **changes}
    return train(a=a, b=b, out=out, settings=settings, device="cpu", report=events.append)


def assert_same(found: Path, wanted: Path) -> None:
    a, b = (load_tensors(out / "state.safetensors") for out in (found, wanted))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], tensor) for name, tensor in b.items())
    files = ("ab.safetensors", "best/ab.safetensors", "metrics.jsonl")
    assert all((found / name).read_bytes() == (wanted / name).read_bytes() for name in files)


# train.patience


@pytest.mark.usefixtures("validations")
@pytest.mark.parametrize(("patience", "end"), [(1, 6), (2, 8), (3, 12), (0, 12)])
def test_patience_ends_a_training_like_its_last_step(
    patience: int, end: int, pictures: Path, tmp_path: Path, reports: list[Path]
) -> None:
    told: list[Event] = []
    changes = {"train.patience": patience}
    done = trained(pictures, tmp_path / "run", told=told, **changes)
    assert (done.step, done.total_steps, done.finished) == (end, 12, True)
    assert done.ended_early == (end < 12)
    assert (done.best, done.best_step) == ((0.4, 4) if end < 12 else (0.3, 10))
    assert read_state_header(tmp_path / "run/state.safetensors").step == end
    assert [event.step for event in told if isinstance(event, Saved) and event.final] == [end]
    assert (tmp_path / f"run/samples/step_{end:07}.png").exists()
    assert reports == [tmp_path / "run"]


@pytest.mark.usefixtures("validations")
def test_a_resume_trains_no_further_unless_patience_is_raised(
    pictures: Path, tmp_path: Path
) -> None:
    """And then as if it had never ended."""
    whole, out = tmp_path / "whole", tmp_path / "run"
    trained(pictures, whole)
    trained(pictures, out, **{"train.patience": 2})
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    told: list[Event] = []
    again = resume(out, device="cpu", report=told.append)
    assert (again.finished, again.ended_early, again.step) == (True, True, 8)
    assert [event.ended_early for event in told if isinstance(event, Started)] == [True]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    longer = resume(out, device="cpu", settings={"train.patience": 3})
    assert (longer.finished, longer.ended_early, longer.step) == (True, False, 12)
    assert_same(out, whole)


def test_patience_needs_validations(pictures: Path, tmp_path: Path) -> None:
    changes = {"train.patience": 2, "data.held_out": 0}
    with pytest.raises(UsageError) as caught:
        trained(pictures, tmp_path / "run", **changes)
    assert str(caught.value) == (
        "train.patience 2: no pictures are held out to validate on. Set data.held_out_a and "
        "data.held_out_b, or set it to 0"
    )
    assert not (tmp_path / "run").exists()
    trained(pictures, tmp_path / "run", **{"train.steps": 1, "data.held_out": 0})
    with pytest.raises(UsageError, match="no pictures are held out"):
        resume(tmp_path / "run", device="cpu", settings={"train.patience": 2, "train.steps": 3})


# --max-hours


def command(pictures: Path, out: Path) -> list[str]:
    sets = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    sides = ["--a", str(pictures / "horses"), "--b", str(pictures / "zebras")]
    return ["train", *sides, *sets, "--out", str(out), "--device", "cpu"]


def test_max_hours_stops_between_two_steps_and_a_resume_is_exact(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], reports: list[Path]
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "run"
    trained(pictures, whole)
    assert cli.run([*command(pictures, out), "--max-hours", "1e-9"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n"
    step = read_state_header(out / "state.safetensors").step
    assert step in (0, 1)
    assert shown.err.splitlines()[-2:] == [
        f"stopped  at step {step} of 12 by --max-hours 1e-09, saved in {out}",
        f"resume   imgtranslate train --resume {out} --device cpu",
    ]
    assert reports == [whole]
    assert cli.run(["train", "--resume", str(out), "--device", "cpu", "--max-hours", "1"]) == 0
    assert "stopped" not in capsys.readouterr().err
    assert_same(out, whole)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf"])
def test_max_hours_is_above_0(
    hours: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*command(pictures, tmp_path / "run"), "--max-hours", hours]) == 2
    assert capsys.readouterr().err == (
        f"error: --max-hours {hours}: not a number of hours above 0. Give one\n"
    )
    assert not (tmp_path / "run").exists()
