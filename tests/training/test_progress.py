"""The figures that a training reports: its speed, its losses, its best step."""

import time
from pathlib import Path
from typing import Any

import pytest
from fixtures.pictures import save_soft_pictures

from imgtranslate.training.events import Event, Forecast, Progress, Started, TrainResult, Validated
from imgtranslate.training.loop import Pace
from imgtranslate.training.train import resume, train

SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "train.log_every": 1,
    "train.validate_every": 2,
    "train.sample_every": 100,
    "train.steps": 6,
    "data.workers": 0,
}


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def steps(self, pace: Pace, *durations: float, extra: bool = False) -> None:
        for duration in durations:
            self.now += duration
            pace.tick(extra=extra)


def test_the_slow_first_steps_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    clock.steps(pace, 30, 20)
    assert not pace.is_known()
    clock.steps(pace, 2, 4)
    assert pace.is_known()
    assert pace.seconds_per_step() == 3


def test_a_validation_counts_by_its_mean_over_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    clock.steps(pace, *[1.0] * 99)
    clock.steps(pace, 51, extra=True)
    assert pace.seconds_per_step() == pytest.approx(1.5)
    clock.steps(pace, *[1.0] * 99)
    clock.steps(pace, 51, extra=True)
    assert pace.seconds_per_step() == pytest.approx(1.5)


def test_a_validation_in_every_step_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, pace = Clock(monkeypatch), Pace()
    clock.steps(pace, *[2.0] * 10, extra=True)
    assert pace.seconds_per_step() == pytest.approx(2)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for side in ("horses", "zebras"):
        save_soft_pictures(folder / side, 12)
    return folder


def learn(pictures: Path, out: Path, *, stop_at: int = 0) -> tuple[TrainResult, list[Event]]:
    told: list[Event] = []

    def stop() -> bool:
        return isinstance(told[-1], Progress) and told[-1].step == stop_at

    result = train(
        a=pictures / "horses",
        b=pictures / "zebras",
        out=out,
        settings=SMALL,
        device="cpu",
        report=told.append,
        stop=stop,
    )
    return result, told


def steps_of(told: list[Event]) -> list[Progress]:
    return [event for event in told if isinstance(event, Progress)]


def test_a_resume_measures_its_own_speed(pictures: Path, tmp_path: Path) -> None:
    learn(pictures, tmp_path / "run", stop_at=2)
    told: list[Event] = []
    result = resume(tmp_path / "run", device="cpu", report=told.append)
    known = [event.speed is not None for event in steps_of(told)]
    assert known == [False, False, False, True]
    assert (result.first_step, result.step) == (2, 6)
    assert result.seconds > 0
    assert [event.step for event in told if isinstance(event, Started)] == [2]


def test_the_time_left_is_that_of_the_remaining_steps(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgtranslate.training.loop.FORECAST_SECONDS", 0.0)
    _, told = learn(pictures, tmp_path / "run")
    *_, before, last = (event.speed for event in steps_of(told))
    assert before is not None
    assert last is not None
    assert before.remaining_seconds == pytest.approx(1 / before.steps_per_second)
    assert last.remaining_seconds == 0
    (forecast,) = (event for event in told if isinstance(event, Forecast))
    assert forecast.seconds == pytest.approx(forecast.steps * forecast.seconds_per_step)


def test_losses_are_reported_without_the_validation(pictures: Path, tmp_path: Path) -> None:
    _, told = learn(pictures, tmp_path / "run")
    for event in steps_of(told):
        assert {name.rpartition("_")[0] for name in event.losses} == {
            "cycle",
            "discriminator",
            "gan",
            "identity",
        }


def test_the_result_names_the_best_step_and_the_report(pictures: Path, tmp_path: Path) -> None:
    result, told = learn(pictures, tmp_path / "run")
    last = [event for event in told if isinstance(event, Validated)][-1]
    assert (result.best, result.best_step) == (last.best, last.best_step)
    assert result.report == tmp_path / "run" / "report.html"
    assert resume(result.run, device="cpu").best_step == result.best_step


def test_an_interrupted_run_has_no_report(pictures: Path, tmp_path: Path) -> None:
    result, _ = learn(pictures, tmp_path / "run", stop_at=1)
    assert not result.finished
    assert (result.best, result.best_step, result.report) == (None, None, None)
