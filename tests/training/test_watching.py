"""What a run does while it learns: it keeps the best, says what is wrong, survives a NaN."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imgtranslate import cli
from imgtranslate.data.loader import Batch, SampleDataset
from imgtranslate.methods.cyclegan import CycleGan, build_cyclegan
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import load_tensors, read_model_header, read_state_header
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import CycleGanConfig, Settings, is_paired
from imgtranslate.settings.presets import METHODS
from imgtranslate.training import run_state
from imgtranslate.training.events import Event, Progress, Unwell, Validated
from imgtranslate.training.loop import Pace
from imgtranslate.training.train import resume, train

SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "method.pool_size": 3,
    "train.ema_decay": 0.5,
    "train.log_every": 1,
    "train.sample_every": 100,
    "train.save_every": 5,
    "train.validate_every": 2,
    "train.steps": 12,
    "data.workers": 0,
}
MODELS = ("ab.safetensors", "ba.safetensors")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for side, least in (("horses", 0), ("zebras", 120)):
        (folder / side).mkdir()
        for index in range(20):
            values = rng.integers(least, least + 100, (20, 24, 3), np.uint8)
            Image.fromarray(values).save(folder / side / f"{index}.png")
    return folder


def trained(
    pictures: Path, out: Path, *, stop_at: int = 0, told: list[Event] | None = None, **changes: Any
) -> Path:
    """Train, or stop after a step; ``told`` takes what is reported."""
    events: list[Event] = [] if told is None else told

    def stop() -> bool:
        steps = [event.step for event in events if isinstance(event, Progress)]
        return bool(steps) and steps[-1] == stop_at

    a, b = pictures / "horses", pictures / "zebras"
    settings = {**SMALL, **changes}
    train(a=a, b=b, out=out, settings=settings, device="cpu", report=events.append, stop=stop)
    return out


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def best_steps(out: Path) -> list[int]:
    return [read_model_header(out / "best" / name).step for name in MODELS]


def best_row(out: Path) -> int:
    judged = [row for row in rows(out) if "validation" in row]
    return int(min(judged, key=lambda row: float(row["validation"]))["step"])


def assert_same(found: Path, wanted: Path) -> None:
    a, b = (load_tensors(out / "state.safetensors") for out in (found, wanted))
    assert a.keys() == b.keys()
    for name, tensor in b.items():
        assert torch.equal(a[name], tensor), name
    for name in (*MODELS, "metrics.jsonl", *(f"best/{name}" for name in MODELS)):
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name


# The best


def fixed_validations(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    def measure(_: object, learner: Learner) -> dict[str, float]:
        return {"validation": values[len(learner.validations)]}

    monkeypatch.setattr("imgtranslate.training.validation.Validation.measure", measure)


def test_best_is_the_first_row_of_the_least_number(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed_validations(monkeypatch, [0.9, 0.4, 0.6, 0.4, 0.5, 0.7])
    told: list[Event] = []
    out = trained(pictures, tmp_path / "run", told=told)
    assert best_steps(out) == [4, 4]
    assert best_row(out) == 4
    assert [read_model_header(out / name).step for name in MODELS] == [12, 12]  # and the last
    seen = [(e.step, e.value, e.best_step) for e in told if isinstance(e, Validated)]
    assert seen == [(2, 0.9, 2), (4, 0.4, 4), (6, 0.6, 4), (8, 0.4, 4), (10, 0.5, 4), (12, 0.7, 4)]


@pytest.mark.parametrize("cut", [1, 4, 7])
def test_going_on_keeps_the_same_best(cut: int, pictures: Path, tmp_path: Path) -> None:
    whole = trained(pictures, tmp_path / "whole")
    found = trained(pictures, tmp_path / "cut", stop_at=cut)
    assert read_state_header(found / "state.safetensors").step == cut
    assert resume(found, device="cpu").finished
    assert_same(found, whole)
    assert best_steps(whole) == [best_row(whole)] * 2


@pytest.mark.parametrize("log_every", [1, 100])
def test_divergence_is_told_at_the_end_and_in_the_report(
    log_every: int, pictures: Path, tmp_path: Path, capsys: Any
) -> None:
    """Also if the run is too short for a row of its losses."""
    diverging = {
        "optimizer.lr": 1.0,
        "method.gan_mode": "wgangp",
        "generator.norm": "none",
        "discriminator.norm": "none",
        "discriminator.base_channels": 8,
        "discriminator.num_layers": 2,
        "train.log_every": log_every,
    }
    sets = [f"{name}={value}" for name, value in (SMALL | diverging).items()]
    sides = ["--a", str(pictures / "horses"), "--b", str(pictures / "zebras")]
    options = [part for text in sets for part in ("--set", text)]
    out = tmp_path / "run"
    assert cli.run(["train", *sides, *options, "--out", str(out), "--device", "cpu"]) == 1
    output = capsys.readouterr()
    assert output.out.strip() == str(out)
    assert output.err.splitlines()[-1].startswith("failed: the losses have diverged: ")
    assert "lower --lr" in output.err.splitlines()[-1]
    assert "learnt" not in output.err
    assert "the losses have diverged: " in (out / "report.html").read_text()
    assert resume(out, device="cpu").diverged


# The validation of the last step, where none is due


@pytest.mark.parametrize(
    ("values", "best"), [([0.9, 0.4, 0.3], 5), ([0.9, 0.4, 0.5], 4), ([0.9, 0.4, 0.4], 4)]
)
def test_the_last_step_is_validated_and_may_be_the_best(
    values: list[float], best: int, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed_validations(monkeypatch, values)
    told: list[Event] = []
    out = trained(pictures, tmp_path / "run", told=told, **{"train.steps": 5})
    last = rows(out)[-1]
    assert (last["step"], last["validation"], last["last"]) == (5, values[-1], True)
    assert best_steps(out) == [best, best]
    assert [event for event in told if isinstance(event, Validated)][-1] == Validated(
        step=5, value=values[-1], best=min(values), best_step=best
    )
    before = {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    again = resume(out, device="cpu")  # nothing is left to do
    assert (again.best, again.best_step) == (min(values), best)
    assert {path: path.read_bytes() for path in out.rglob("*.safetensors")} == before
    assert rows(out)[-1] == last


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ((5, 12), [0.9, 0.5, 0.1, 0.7, 0.8, 0.9]),  # the last step is the best, and taken back
        ((5, 12), [0.9, 0.5, 0.8, 0.4, 0.8, 0.9]),
        ((1, 5, 7, 12), [0.9, 0.5, 0.2, 0.4, 0.8, 0.3]),  # no best at all before the first
    ],
)
def test_an_extended_run_equals_one_that_never_stopped(
    steps: tuple[int, ...],
    values: list[float],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(_: object, learner: Learner) -> dict[str, float]:
        due = learner.steps_done % 2 == 0
        return {"validation": values[len(learner.validations)] if due else 0.1}

    monkeypatch.setattr("imgtranslate.training.validation.Validation.measure", measure)
    whole = trained(pictures, tmp_path / "whole")
    found = trained(pictures, tmp_path / "cut", **{"train.steps": steps[0]})
    for end in steps[1:]:
        assert best_steps(found) == [read_state_header(found / "state.safetensors").step] * 2
        assert resume(found, settings={"train.steps": end}, device="cpu").finished
    assert_same(found, whole)
    assert sorted(p.name for p in found.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_a_run_without_held_out_pictures_ends_without_a_validation(
    pictures: Path, tmp_path: Path
) -> None:
    out = trained(pictures, tmp_path / "run", **{"train.steps": 3, "data.held_out": 0})
    assert not [row for row in rows(out) if "validation" in row]
    assert not (out / "best").exists()


@pytest.mark.parametrize("again", [{}, {"train.steps": 12}])
@pytest.mark.parametrize("moment", ["models", "row"])
def test_a_kill_in_the_last_validation_loses_nothing(
    moment: str,
    again: dict[str, Any],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed before the best models have their name, or before the row is written."""
    values = [0.9, 0.5, 0.1, 0.4, 0.8, 0.9]
    fixed_validations(monkeypatch, values)
    whole = trained(pictures, tmp_path / "whole", **{"train.steps": 5} | again)

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        rename = Path.rename

        def renamed(self: Path, target: Path) -> None:
            if target.name == "best" and (self.parent / ".best.earlier").exists():
                killed()
            rename(self, target)

        if moment == "models":
            patch.setattr(Path, "rename", renamed)
        else:
            patch.setattr("imgtranslate.training.loop.save_best", saved_then(killed))
        with pytest.raises(KilledError):
            trained(pictures, tmp_path / "cut", **{"train.steps": 5})
    assert resume(tmp_path / "cut", settings=again, device="cpu").finished
    assert_same(tmp_path / "cut", whole)


def saved_then(kill: Callable[..., None]) -> Callable[..., None]:
    def saved(*given: Any, keep: bool = False) -> None:
        run_state.save_best(*given, keep=keep)
        if keep:
            kill()

    return saved


class KilledError(Exception):
    pass


def test_a_kill_before_the_best_is_written_loses_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed_validations(monkeypatch, [0.9, 0.4, 0.6, 0.5, 0.3, 0.7])
    whole = trained(pictures, tmp_path / "whole")

    def kill(*_: object) -> None:
        if best_steps(tmp_path / "cut") == [2, 2]:
            (tmp_path / "cut/best").rename(tmp_path / "cut/.best.old")
            raise KilledError

    monkeypatch.setattr(run_state, "_save_models", killing(run_state._save_models, kill))
    with pytest.raises(KilledError):
        trained(pictures, tmp_path / "cut")
    monkeypatch.undo()
    fixed_validations(monkeypatch, [0.9, 0.4, 0.6, 0.5, 0.3, 0.7])
    assert not (tmp_path / "cut/best").exists()
    told: list[Event] = []
    assert resume(tmp_path / "cut", device="cpu", settings={"train.steps": 4}).finished
    assert best_steps(tmp_path / "cut") == [4, 4]
    assert resume(tmp_path / "cut", settings={"train.steps": 12}, report=told.append).finished
    assert_same(tmp_path / "cut", whole)
    assert not list((tmp_path / "cut").glob(".best*"))


def killing(real: Callable[..., None], kill: Callable[..., None]) -> Callable[..., None]:
    """Killed where models go to the best's place, not to the run's."""

    def replaced(run: Run, *others: Any) -> None:
        if run.folder.name == ".best.new" and (run.folder.parent / "best").exists():
            kill()
        real(run, *others)

    return replaced


# Numbers that are not finite


def poison(
    monkeypatch: pytest.MonkeyPatch, at: int, *, again: bool = False, lasting: bool = False
) -> None:
    """Spoil the losses of step ``at``; ``again`` after the way back too; ``lasting``: weights."""
    step = Learner.step

    def spoilt(self: Learner, batch: Batch, *, learning_rate: float) -> None:
        bad = self.steps_done + 1 == at and (again or self.rate_factor == 1)
        if bad and not lasting:
            batch = Batch(batch.real_a * float("nan"), batch.real_b)
        step(self, batch, learning_rate=learning_rate)
        if bad and lasting:
            next(iter(self.networks.values())).parameters().__next__().data.fill_(float("inf"))

    monkeypatch.setattr(Learner, "step", spoilt)


def files_of(out: Path, step: int) -> list[str]:
    settings, record = Run(out).read_config()
    domains = domains_of_run(settings, record)
    dataset = SampleDataset(*domains, settings, paired=is_paired(settings.method))
    return [str(dataset.file_at(step - 1, side=side)) for side in (0, 1)]


def test_a_nan_sets_the_run_back_once_with_half_the_rate(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 8)
    told: list[Event] = []
    out = trained(
        pictures, tmp_path / "run", told=told, **{"train.log_every": 3, "train.validate_every": 4}
    )
    (line,) = [event.text for event in told if isinstance(event, Unwell)]
    a, b = files_of(out, 8)
    assert line.startswith(f"the losses are not finite at step 8 ({a}, {b}). Continuing from step ")
    assert "\n" not in line
    spoken = [row for row in rows(out) if "health" in row]
    assert [row["health"] for row in spoken] == [{"not_finite": line}]
    back = spoken[0]["step"]
    assert f"from step {back} " in line
    assert 4 <= back < 8
    rates = {row["step"]: row["lr"] for row in rows(out)}
    assert rates[3] == 2e-4
    assert rates[9] == rates[12] == 1e-4
    steps = [row["step"] for row in rows(out)]
    assert steps == sorted(steps)
    state = load_tensors(out / "state.safetensors")
    assert all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())
    assert best_steps(out) == [best_row(out)] * 2


def test_going_on_after_a_nan_is_exact(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 8)
    whole = trained(pictures, tmp_path / "whole")
    cut = trained(pictures, tmp_path / "cut", stop_at=9)
    assert resume(cut, device="cpu").finished
    assert_same(cut, whole)


@pytest.mark.parametrize("lasting", [False, True])
def test_every_step_is_timed_also_one_that_sets_the_run_back(
    lasting: bool, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 5, lasting=lasting)  # found by its losses, or before it is saved
    ticks: list[bool] = []
    monkeypatch.setattr(Pace, "tick", lambda _, *, extra=False: ticks.append(extra))
    trained(pictures, tmp_path / "run", **{"train.validate_every": 100})
    assert len(ticks) == 12 + 5
    assert ticks[4]  # its time is not that of a plain step


def test_weights_that_are_not_finite_are_never_saved(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 5, lasting=True)  # a step that is saved, whose losses are fine
    told: list[Event] = []
    out = trained(pictures, tmp_path / "run", told=told, **{"train.validate_every": 100})
    (line,) = [event.text for event in told if isinstance(event, Unwell)]
    assert "not finite at step 5 " in line
    assert "from step 0 " in line
    assert rows(out)[-1]["step"] == 12


def test_a_second_nan_stops_with_one_line_and_loses_nothing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    poison(monkeypatch, 8, again=True)
    saved: dict[str, bytes] = {}
    stop = run_state.Recovery._files_of

    def remember(self: Any, step: int) -> str:  # asked before anything is touched
        saved.update({str(p): p.read_bytes() for p in self.run.folder.rglob("*.safetensors")})
        return stop(self, step)

    monkeypatch.setattr(run_state.Recovery, "_files_of", remember)
    sets = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    sides = ["--a", str(pictures / "horses"), "--b", str(pictures / "zebras")]
    out = tmp_path / "run"
    assert cli.run(["train", *sides, *sets, "--out", str(out), "--device", "cpu"]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    a, b = files_of(out, 8)
    assert f"the losses are again not finite, at step 8 ({a}, {b}). The state of step " in last
    assert {str(p): p.read_bytes() for p in out.rglob("*.safetensors")} == saved
    assert best_steps(out) == [best_row(out)] * 2
    monkeypatch.undo()
    assert resume(out, device="cpu").finished


@pytest.mark.parametrize("method", sorted(METHODS))
def test_flat_pictures_train_without_nan(method: str, tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for index in range(11):  # from black to white
        Image.new("RGB", (80, 40), (index * 51 // 2,) * 3).save(tmp_path / f"pairs/{index}.png")
    narrow: Mapping[str, Any] = {
        key: SMALL[key] for key in SMALL if key not in ("method.pool_size", "generator.num_blocks")
    }
    told: list[Event] = []
    train(
        pairs=tmp_path / "pairs",
        out=tmp_path / "run",
        method=method,
        settings={**narrow, "data.crop_size": 32, "train.steps": 10, "optimizer.lr": 0.01},
        device="cpu",
        report=told.append,
    )
    found = rows(tmp_path / "run")
    assert len(found) == 10
    assert all(np.isfinite(v) for row in found for v in row.values() if isinstance(v, float))
    assert sum("validation" in row for row in found) == 5
    assert not [e for e in told if isinstance(e, Unwell) and e.name == "not_finite"]


# Health


def freeze_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(parameter: torch.Tensor) -> None:
        parameter.grad = None

    def build(config: CycleGanConfig, settings: Settings) -> CycleGan:
        method = build_cyclegan(config, settings)
        for network in method.generators().values():
            for parameter in network.parameters():
                parameter.register_post_accumulate_grad_hook(forget)
        return method

    monkeypatch.setattr("imgtranslate.methods.learner.build_cyclegan", build)


def test_generators_that_do_not_learn_are_told_within_500_steps(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_generators(monkeypatch)
    told: list[Event] = []
    changes = {"train.steps": 400, "train.log_every": 50, "train.validate_every": 500}
    out = trained(
        pictures, tmp_path / "run", told=told, **changes, **{"discriminator.base_channels": 8}
    )
    names = {event.name for event in told if isinstance(event, Unwell)}
    assert names & {"discriminator_a_won", "discriminator_b_won"}
    written = {name for row in rows(out) for name in row.get("health", {})}
    assert written == names


def test_outputs_that_are_all_alike_are_told(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generators that begin with no weights at all, and stay so."""
    freeze_generators(monkeypatch)
    told: list[Event] = []
    changes = {"train.steps": 10, "train.validate_every": 10}
    trained(pictures, tmp_path / "run", told=told, **changes, **{"init.gain": 1e-6})
    lines = {event.name: event.text for event in told if isinstance(event, Unwell)}
    assert lines["collapsed_ab"].startswith(
        "horses → zebras has collapsed: its outputs differ from each other by only 0.0% of "
    )


def test_health_goes_on_where_the_run_stopped(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_generators(monkeypatch)
    whole = trained(pictures, tmp_path / "whole", **{"init.gain": 1e-6})
    cut = trained(pictures, tmp_path / "cut", stop_at=7, **{"init.gain": 1e-6})
    assert resume(cut, device="cpu").finished
    assert_same(cut, whole)
    said = [(row["step"], *row["health"]) for row in rows(whole) if "health" in row]
    assert [step for step, *_ in said] == [2, 4, 8]  # not in every row
    shutil.rmtree(whole)
