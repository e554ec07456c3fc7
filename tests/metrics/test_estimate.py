import numpy as np
import pytest

from imgtranslate.metrics.estimate import (
    difference,
    distance_of,
    half_samples,
    mean_of,
    pooled,
)
from imgtranslate.metrics.intervals import bootstrap_interval


def test_the_interval_of_a_mean_is_that_of_the_other_numbers_of_the_project() -> None:
    values = np.random.default_rng(0).normal(5, 2, 80)
    estimate = mean_of(values, better="lower")
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.interval == pytest.approx(bootstrap_interval(values), abs=0.06)


def test_a_small_change_of_every_picture_is_clear_though_pictures_differ_much() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 50)
    first, second = mean_of(values, better="lower"), mean_of(values + 0.01, better="lower")
    apart = difference(first, second, same_pictures=True)
    assert apart.value == pytest.approx(0.01)
    assert apart.is_clear
    assert apart.interval == pytest.approx((0.01, 0.01))
    assert not difference(first, second, same_pictures=False).is_clear


def test_a_pooled_figure_is_not_the_mean_of_figures() -> None:
    parts, wholes = np.array([1.0, 0.0]), np.array([1.0, 9.0])
    estimate = pooled(lambda counts: counts @ parts / (counts @ wholes), 2, better="higher")
    assert estimate.value == pytest.approx(0.1)


def test_half_samples_hold_half_of_the_pictures_and_differ_between_sets() -> None:
    halves = half_samples(20, seed=0)
    assert (halves.sum(2) == 10).all()
    assert (halves[:, 0] != halves[:, 1]).any()


def test_half_samples_scatter_as_whole_samples_drawn_anew() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 400)
    parts = [values[mine].mean() for mine, _ in half_samples(400, seed=0)]
    low, high = distance_of(np.array([values.mean(), *parts]), 400, least=-1).interval
    assert (high - low) / 2 == pytest.approx(1.96 / np.sqrt(400), rel=0.25)


def test_nothing_is_estimated_of_nothing() -> None:
    with pytest.raises(ValueError, match="without pictures"):
        mean_of([], better="lower")
