import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgtranslate.methods.schedule import Schedule
from imgtranslate.settings.config import ScheduleSettings
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.train import train

TINY: dict[str, Any] = {  # ten steps: four passes over five pictures, two by two
    "data.crop_size": 16,
    "data.held_out": 0,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.num_layers": 1,
    "method.lambda_gan_ab": 0.0,
    "method.lambda_gan_ba": 0.0,
    "optimizer.lr": 0.01,
    "schedule.epochs": 2,
    "schedule.decay_epochs": 2,
    "train.batch_size": 2,
    "train.log_every": 1,
}


WHOLE = build_settings(layers=[{"data": {"a": "a", "b": "b"}, "optimizer": {"lr": 1.0}}])


def schedule(
    *, batch_size: int = 1, longer_side: int = 10, steps: int | None = None, **settings: Any
) -> Schedule:
    train = replace(WHOLE.train, batch_size=batch_size, steps=steps)
    changed = replace(WHOLE, schedule=ScheduleSettings(**settings), train=train)
    return Schedule(settings=changed, longer_side=longer_side)


def rates_by_epoch(found: Schedule) -> list[float]:
    steps = found.longer_side // found.settings.train.batch_size
    return [found.learning_rate(step) for step in range(0, found.total_steps(), steps)]


def torch_rates(kind: Any, epochs: int, **options: Any) -> list[float]:
    """Of torch's scheduler, epoch by epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = kind(optimizer, **options)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_linear_is_constant_then_falls_and_the_last_epoch_learns() -> None:
    rates = rates_by_epoch(schedule(epochs=3, decay_epochs=2))
    assert rates == pytest.approx([1, 1, 1, 2 / 3, 1 / 3])
    assert rates_by_epoch(schedule(epochs=2, decay_epochs=0)) == [1, 1]
    assert rates_by_epoch(schedule(epochs=0, decay_epochs=1)) == [0.5]


def test_steps_and_epochs_alike() -> None:
    by_steps = schedule(constant_steps=3, decay_steps=2)
    rates = [by_steps.learning_rate(step) for step in range(by_steps.total_steps())]
    assert rates == rates_by_epoch(schedule(epochs=3, decay_epochs=2))


def test_step_multistep_cosine_and_constant_are_torchs() -> None:
    kinds = torch.optim.lr_scheduler
    spans = {"epochs": 7, "decay_epochs": 5}
    assert rates_by_epoch(schedule(kind="step", every=5, **spans)) == pytest.approx(
        torch_rates(kinds.StepLR, 12, step_size=5, gamma=0.1)
    )
    found = schedule(kind="multistep", milestones=(2, 6), factor=0.5, **spans)
    assert rates_by_epoch(found) == pytest.approx(
        torch_rates(kinds.MultiStepLR, 12, milestones=[2, 6], gamma=0.5)
    )
    assert rates_by_epoch(schedule(kind="cosine", **spans)) == pytest.approx(
        torch_rates(kinds.CosineAnnealingLR, 12, T_max=12)
    )
    assert rates_by_epoch(schedule(kind="constant", **spans)) == [1.0] * 12


@given(st.lists(st.floats(0.001, 1.0), max_size=60), st.integers(0, 6))
def test_plateau_is_torchs(validations: list[float], patience: int) -> None:
    found = schedule(kind="plateau", patience=patience, factor=0.2)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", factor=0.2, threshold=0.01, patience=patience, eps=0.0
    )
    for count, validation in enumerate(validations, start=1):
        scheduler.step(validation)
        rate = found.learning_rate(0, validations[:count])
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])


def test_an_epoch_is_one_pass_over_the_longer_side() -> None:
    found = schedule(batch_size=3, longer_side=10, epochs=2, decay_epochs=1)
    assert [found.epoch(step) for step in range(8)] == [1, 1, 1, 1, 2, 2, 2, 3]
    assert found.total_steps() == 10  # 30 samples by 3


def test_where_to_stop_changes_no_rate() -> None:
    whole = schedule(epochs=3, decay_epochs=2)
    cut = schedule(epochs=3, decay_epochs=2, steps=42)
    assert cut.total_steps() == 42
    assert [cut.learning_rate(s) for s in range(42)] == [whole.learning_rate(s) for s in range(42)]
    assert schedule(epochs=3, decay_epochs=2, steps=9999).total_steps() == 50


@given(
    constant=st.integers(0, 12),
    decay=st.integers(0, 12),
    side=st.integers(1, 25),
    batch=st.integers(1, 30),
)
def test_linear_is_its_formula_with_batches_that_do_not_divide_the_side(
    constant: int, decay: int, side: int, batch: int
) -> None:
    found = schedule(batch_size=batch, longer_side=side, epochs=constant, decay_epochs=decay)
    passes = constant + decay
    firsts = range(0, passes * side, batch)  # the position of each step's first picture
    epochs = [first // side + 1 for first in firsts]
    assert found.total_steps() == len(firsts)
    assert [found.epoch(step) for step in range(len(firsts))] == epochs
    rates = [1 - max(0, epoch - constant) / (decay + 1) for epoch in epochs]
    assert [found.learning_rate(step) for step in range(len(firsts))] == pytest.approx(rates)
    assert all(rate > 0 for rate in rates)
    assert passes == 0 or found.total_epochs() == epochs[-1]


def test_the_papers_last_epoch_learns_at_a_hundred_and_first_of_the_rate() -> None:
    found = schedule(longer_side=7, batch_size=2)
    last = found.total_steps() - 1
    assert (found.total_steps(), found.epoch(last)) == (700, 200)
    assert found.learning_rate(last) == pytest.approx(1 / 101)


@pytest.mark.parametrize("decay_steps", [None, 0])
def test_steps_without_decay(decay_steps: int | None) -> None:
    found = schedule(constant_steps=5, decay_steps=decay_steps, batch_size=4)
    assert found.total_steps() == 5
    assert {found.learning_rate(step) for step in range(5)} == {1.0}


def test_a_schedule_in_steps_asks_neither_for_the_batch_nor_for_the_side() -> None:
    spans = {"constant_steps": 4, "decay_steps": 4}
    small, large = schedule(**spans), schedule(batch_size=7, longer_side=3, **spans)
    assert small.total_steps() == large.total_steps() == 8
    for step in range(8):
        assert small.learning_rate(step) == large.learning_rate(step)
    assert large.learning_rate(7) == pytest.approx(0.2)


def test_training_follows_the_longer_side_and_steps_only_cut_it_short(tmp_path: Path) -> None:
    for side, count in (("a", 2), ("b", 5)):
        (tmp_path / side).mkdir()
        for index in range(count):
            Image.new("RGB", (20, 20), (40 * index, 0, 0)).save(tmp_path / side / f"{index}.png")

    def rows(name: str, **changes: Any) -> list[dict[str, float]]:
        train(
            a=tmp_path / "a",
            b=tmp_path / "b",
            out=tmp_path / name,
            settings={**TINY, **changes},
            device="cpu",
        )
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    whole = rows("whole")
    assert [row["epoch"] for row in whole] == [1, 1, 1, 2, 2, 3, 3, 3, 4, 4]
    rates = {1: 1, 2: 1, 3: 2 / 3, 4: 1 / 3}
    assert [row["lr"] for row in whole] == pytest.approx(
        [0.01 * rates[int(row["epoch"])] for row in whole]
    )
    assert rows("cut", **{"train.steps": 7}) == whole[:7]
    assert rows("beyond", **{"train.steps": 99}) == whole
