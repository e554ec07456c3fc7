from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imgtranslate.config import ScheduleSettings
from imgtranslate.methods.schedule import Schedule


def schedule(*, batch_size: int = 1, longer_side: int = 10, **settings: Any) -> Schedule:
    return Schedule(
        settings=ScheduleSettings(**settings),
        base_rate=1.0,
        batch_size=batch_size,
        longer_side=longer_side,
        stop_at=None,
    )


def rates_by_epoch(found: Schedule) -> list[float]:
    steps = found.longer_side // found.batch_size
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
    cut = Schedule(**{**vars(whole), "stop_at": 42})
    assert cut.total_steps() == 42
    assert [cut.learning_rate(s) for s in range(42)] == [whole.learning_rate(s) for s in range(42)]
    assert Schedule(**{**vars(whole), "stop_at": 9999}).total_steps() == 50
