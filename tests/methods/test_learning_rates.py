"""Every schedule against torch's, by epochs and by steps, and over an interruption."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from methods.textbook import learner, random_batch
from PIL import Image
from torch.optim import lr_scheduler

from imgtranslate.errors import UsageError
from imgtranslate.methods.schedule import Schedule
from imgtranslate.settings.config import ScheduleSettings
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.events import Event, Progress
from imgtranslate.training.train import resume, train

CONSTANT, DECAY = 7, 5
TOTAL = CONSTANT + DECAY
KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "linear": (
        {},
        lambda o: lr_scheduler.LambdaLR(
            o, lambda epoch: 1.0 - max(0, epoch + 1 - CONSTANT) / float(DECAY + 1)
        ),
    ),
    "step": (
        {"every": 3, "factor": 0.5},
        lambda o: lr_scheduler.StepLR(o, step_size=3, gamma=0.5),
    ),
    "multistep": (
        {"milestones": (2, 6, 11), "factor": 0.3},
        lambda o: lr_scheduler.MultiStepLR(o, milestones=[2, 6, 11], gamma=0.3),
    ),
    "cosine": ({}, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL, eta_min=0)),
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
}


WHOLE = build_settings(layers=[{"data": {"a": "a", "b": "b"}, "optimizer": {"lr": 2e-4}}])


def schedule(settings: ScheduleSettings, *, side: int = 9, batch: int = 3) -> Schedule:
    train = replace(WHOLE.train, batch_size=batch)
    return Schedule(settings=replace(WHOLE, schedule=settings, train=train), longer_side=side)


def torch_rates(kind: str) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-4)
    scheduler = KINDS[kind][1](optimizer)
    rates = []
    for _ in range(TOTAL):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("kind", KINDS)
def test_by_epochs(kind: str) -> None:
    options: Any = KINDS[kind][0]
    found = schedule(ScheduleSettings(kind=kind, epochs=CONSTANT, decay_epochs=DECAY, **options))  # type: ignore[arg-type]
    rates = [found.learning_rate(step) for step in range(found.total_steps())]
    assert rates == pytest.approx([rate for rate in torch_rates(kind) for _ in range(3)])


@pytest.mark.parametrize("kind", KINDS)
def test_by_steps(kind: str) -> None:
    options: Any = KINDS[kind][0]
    spans: Any = {"constant_steps": CONSTANT, "decay_steps": DECAY}
    found = schedule(ScheduleSettings(kind=kind, **spans, **options))  # type: ignore[arg-type]
    rates = [found.learning_rate(step) for step in range(found.total_steps())]
    assert rates == pytest.approx(torch_rates(kind))


def test_the_papers_schedules() -> None:
    found = schedule(ScheduleSettings(), side=1, batch=1)
    assert found.total_steps() == 200
    assert found.learning_rate(99) == 2e-4
    assert found.learning_rate(100) == pytest.approx(2e-4 * 100 / 101)
    assert found.learning_rate(199) == pytest.approx(2e-4 / 101)
    tenths = schedule(ScheduleSettings(kind="step"), side=1, batch=1)
    assert [tenths.learning_rate(s) for s in (49, 50, 100)] == pytest.approx([2e-4, 2e-5, 2e-6])
    halves = schedule(
        ScheduleSettings(
            kind="multistep",
            constant_steps=200_000,
            milestones=(50_000, 100_000, 150_000),
            factor=0.5,
        )
    )
    rates = [halves.learning_rate(s) for s in (49_999, 50_000, 100_000, 150_000, 199_999)]
    assert rates == pytest.approx([2e-4, 1e-4, 5e-5, 2.5e-5, 2.5e-5])


@given(
    kind=st.sampled_from([*KINDS, "plateau"]),
    constant=st.integers(0, 30),
    decay=st.integers(0, 30),
    by_steps=st.booleans(),
    side=st.integers(1, 40),
    batch=st.integers(1, 50),
)
def test_every_step_learns_and_no_rate_rises(
    kind: Any, constant: int, decay: int, by_steps: bool, side: int, batch: int
) -> None:
    spans: Any = (
        {"constant_steps": constant, "decay_steps": decay}
        if by_steps
        else {"epochs": constant, "decay_epochs": decay}
    )
    found = schedule(ScheduleSettings(kind=kind, milestones=(3,), **spans), side=side, batch=batch)
    rates = [found.learning_rate(step) for step in range(found.total_steps())]
    assert (len(rates) > 0) == (constant + decay > 0)
    assert all(0 < rate <= 2e-4 for rate in rates)
    assert rates == sorted(rates, reverse=True)


@given(st.lists(st.floats(0.0, 2.0) | st.sampled_from([0.5, 0.495, 0.4951, math.inf]), max_size=80))
def test_plateau_falls_when_torchs_does(validations: list[float]) -> None:
    found = schedule(ScheduleSettings(kind="plateau", factor=0.2, patience=5))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2e-4)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", factor=0.2, threshold=0.01, patience=5, eps=0.0
    )
    for count, validation in enumerate(validations, start=1):
        scheduler.step(validation)
        rate = found.learning_rate(count, validations[:count])
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=0.0)


def test_a_learner_remembers_its_validations() -> None:
    ours, again = learner(), learner()
    ours.step(random_batch(0), learning_rate=1e-3)
    ours.validations.extend([0.1, 1 / 3, 0.25])
    again.restore(ours.state_tensors(), steps_done=1)
    assert again.validations == [0.1, 1 / 3, 0.25]


SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "generator.base_channels": 4,
    "generator.num_blocks": 0,
    "generator.norm": "none",
    "discriminator.num_layers": 1,
    "method.lambda_gan_ab": 0.0,
    "method.lambda_gan_ba": 0.0,
    "schedule.kind": "plateau",
    "optimizer.lr": 0.02,
    "schedule.patience": 0,
    "train.steps": 12,
    "train.log_every": 1,
    "train.validate_every": 1,
    "data.workers": 0,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for side in ("horses", "zebras"):
        (folder / side).mkdir()
        for index in range(10):
            values = rng.integers(190, 256, (20, 24, 3), np.uint8)  # soon learnt to be bright
            Image.fromarray(values).save(folder / side / f"{index}.png")
    return folder


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_plateau_follows_a_real_validation_and_goes_on_where_it_stopped(
    pictures: Path, tmp_path: Path
) -> None:
    seen = [0]

    def count(event: Event) -> None:
        seen[0] = event.step if isinstance(event, Progress) else seen[0]

    a, b = pictures / "horses", pictures / "zebras"
    train(a=a, b=b, out=tmp_path / "whole", settings=SMALL, device="cpu")
    train(
        a=a,
        b=b,
        out=tmp_path / "cut",
        settings=SMALL,
        device="cpu",
        report=count,
        stop=lambda: seen[0] == 7,
    )
    assert resume(tmp_path / "cut", device="cpu").finished
    whole = rows(tmp_path / "whole")
    assert rows(tmp_path / "cut") == whole
    validations = [row["validation"] for row in whole]
    assert len(set(validations)) > 6
    best, falls = math.inf, 0
    for row in whole:
        assert row["lr"] == pytest.approx(0.02 * 0.2**falls, abs=0.0)
        falls += row["validation"] >= best * 0.99
        best = row["validation"] if row["validation"] < best * 0.99 else best
    assert 0 < falls < len(whole) - 1  # some bettered the best, some did not


def test_plateau_without_held_out_pictures_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^schedule\.kind plateau: no pictures are held out"):
        train(
            a=pictures / "horses",
            b=pictures / "zebras",
            out=tmp_path / "run",
            settings={**SMALL, "data.held_out": 0},
            device="cpu",
        )
    assert not (tmp_path / "run").exists()
