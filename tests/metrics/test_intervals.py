import numpy as np
import pytest

from imgtranslate.metrics.intervals import bootstrap_interval


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
