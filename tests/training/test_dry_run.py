"""The costs of a planned training are near the real ones, and measuring them writes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.pictures import save_picture

from imgtranslate import cli
from imgtranslate.memory import peak_memory, restart_peak
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training import dry_run
from imgtranslate.training.dry_run import MemoryMeter, _largest_crop, _peak_at, measure_costs
from imgtranslate.training.request import Request
from imgtranslate.training.train import Plan, plan_training, start

SMALL: dict[str, Any] = {
    "data.crop_size": 32,
    "data.workers": 0,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "method.pool_size": 7,
    "train.sample_every": 3,
    "train.steps": 8,
    "train.validate_every": 4,
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for side in ("horses", "zebras"):
        for seed in range(12):
            save_picture(tmp_path / side / f"{seed}.png", seed=seed, size=(40, 40))
    return tmp_path


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "SECONDS", 0.0)
    monkeypatch.setattr(dry_run, "QUICK", 0.0)
    monkeypatch.setattr("imgtranslate.training.train.write_report", lambda run, **_: run)


def planned(pictures: Path, **changes: Any) -> Plan:
    request = Request(
        a=pictures / "horses",
        b=pictures / "zebras",
        out=pictures / "run",
        settings={**SMALL, **changes},
    )
    return plan_training(request, device="cpu")


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_costs_are_those_of_the_training(pictures: Path) -> None:
    plan, before = planned(pictures), files(pictures)
    costs = measure_costs(plan)
    assert costs is not None
    assert files(pictures) == before
    assert costs.steps == 8
    assert costs.seconds > 8 * costs.seconds_per_step > 0  # and two validations and three samples
    assert 0 < costs.memory < costs.available_memory
    assert costs.largest_crop >= 32

    start(plan)
    run, header = pictures / "run", 20_000  # bytes
    models = sum((run / f"{name}.safetensors").stat().st_size for name in ("ab", "ba"))
    assert 0 <= models - costs.models < header
    assert costs.best == costs.models
    assert abs((run / "state.safetensors").stat().st_size - costs.state) < header
    samples = [path.stat().st_size for path in (run / "samples").iterdir()]
    assert len(samples) == costs.samples == 3
    assert costs.sample == pytest.approx(samples[0], rel=0.2)


def test_a_training_without_held_out_pictures_has_no_best(pictures: Path) -> None:
    costs = measure_costs(planned(pictures, **{"data.held_out": 0}))
    assert costs is not None
    assert costs.best == 0


def test_a_stop_ends_the_measurement(pictures: Path) -> None:
    assert measure_costs(planned(pictures), stop=lambda: True) is None


def command(pictures: Path, *more: str) -> list[str]:
    sets = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    sides = ["--a", str(pictures / "horses"), "--b", str(pictures / "zebras")]
    return ["train", *sides, *sets, "--out", str(pictures / "run"), "--device", "cpu", *more]


def test_the_command_prints_four_results(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(pictures)
    assert cli.run(command(pictures, "--dry-run", "--log", "csv")) == 0
    assert files(pictures) == before
    labels = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert labels == ["time", "memory", "crop", "disk"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--check"], "--dry-run, --check: give one of them; --dry-run checks the pictures too"),
        (["--gpu", "0,1"], "--gpu 0,1: --dry-run measures one GPU. Give one"),
        (
            ["--resume", "r"],
            "--resume r: uses the pictures and settings of the run, so --dry-run cannot be "
            "combined with it. Leave --dry-run out",
        ),
    ],
)
def test_combinations_are_refused(
    options: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["train", "--dry-run", *options]) == 2
    assert capsys.readouterr().err == f"error: {line}\n"


# Memory


@pytest.mark.parametrize("size", [32, 64])
def test_a_crop_that_does_not_fit_is_refused_with_one_that_does(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    """Before a step, also of a smaller crop, that the system might end with the process."""
    monkeypatch.setattr(MemoryMeter, "available", lambda _: 2_000 / dry_run.USABLE)
    peaks = {8: 500, 16: 1_400}  # so 5,000 at 32 px

    def peak(_: object, side: int, __: object) -> int:
        return peaks[side]

    monkeypatch.setattr(dry_run, "_peak_of_steps", peak)
    assert cli.run(command(pictures, "--dry-run", "--set", f"data.crop_size={size}")) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: --size {size}: a step does not fit into the memory. About 16 px do, with the same "
        "networks; or set train.recompute=true, or choose a smaller --batch-size or "
        "--base-channels"
    )


def test_out_of_memory_in_a_step_is_one_line_too(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Learner.step

    def stepped(self: Learner, *given: Any, **options: Any) -> None:
        if self.settings.data.crop_size >= 32:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        step(self, *given, **options)

    monkeypatch.setattr(Learner, "step", stepped)
    assert cli.run(command(pictures, "--dry-run")) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("error: --size 32: a step does not fit into the memory. About ")


def test_the_peak_follows_the_area() -> None:
    peaks = {8: 100 + 64, 16: 100 + 256}
    assert _peak_at(32, peaks) == 100 + 1024
    assert _peak_at(32, {16: 256}) == 1024


@pytest.mark.parametrize(
    ("method", "limit", "largest"),
    [("cyclegan", 100**2, 100), ("cyclegan", 101.9**2, 100), ("pix2pix", 800**2, 768)],
)
def test_the_largest_crop_is_one_that_the_networks_take(
    method: str, limit: float, largest: int
) -> None:
    settings = build_settings(method=method, layers=[{"data": {"a": "a", "b": "b"}}])
    assert _largest_crop(settings, {256: 256**2}, limit) == largest


def test_the_peak_of_this_process_can_be_measured_anew() -> None:
    restart_peak()
    before = peak_memory()
    assert before > 0
    held = bytearray(2**26)
    assert peak_memory() >= before + 2**25
    del held
