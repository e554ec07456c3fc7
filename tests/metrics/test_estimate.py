import numpy as np
import pytest

from imgtranslate.metrics.estimate import (
    bootstrap_interval,
    difference,
    distance_of,
    half_samples,
    mean_of,
    pooled,
)


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


def test_few_pictures_have_no_interval_and_no_clear_difference() -> None:
    few, enough = ([mean_of([0.1 * n] * k, better="lower") for n in (1, 9)] for k in (4, 5))
    assert [one.interval for one in few] == [(), ()]
    assert [len(one.interval) for one in enough] == [2, 2]
    assert difference(*few, same_pictures=True).interval == ()
    assert not difference(*few, same_pictures=True).is_clear
    assert difference(*enough, same_pictures=True).is_clear
    assert distance_of(np.arange(101.0), 4).interval == ()


def test_nothing_is_estimated_of_nothing() -> None:
    with pytest.raises(ValueError, match="without pictures"):
        mean_of([], better="lower")


# Intervals of a mean


def test_it_is_that_of_the_normal_law_where_that_holds() -> None:
    values = np.random.default_rng(3).normal(5, 2, size=400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_a_lower_level_is_narrower_and_lies_within() -> None:
    values = np.random.default_rng(0).random(30)
    wide, narrow = bootstrap_interval(values), bootstrap_interval(values, level=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_it_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    intervals = [bootstrap_interval(rng.random(20), level=0.9) for _ in range(60)]
    covered = sum(low <= 0.5 <= high for low, high in intervals)
    assert 46 <= covered <= 59


def test_the_same_values_give_the_same_interval() -> None:
    values = [0.1, 0.4, 0.2, 0.9]
    assert bootstrap_interval(values) == bootstrap_interval(np.array(values))
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=0, level=0.5) != bootstrap_interval(
        values, seed=1, level=0.5
    )


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3]])
def test_equal_values_have_no_width(values: list[float]) -> None:
    assert bootstrap_interval(values) == (pytest.approx(0.3), pytest.approx(0.3))


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_what_has_no_mean_is_a_mistake_of_the_caller(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval(values)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([0.1], level=level)
