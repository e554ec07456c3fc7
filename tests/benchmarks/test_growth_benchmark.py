import itertools
from pathlib import Path

from benchmarks.growth import draw, starting, training, translating


def ticking() -> float:
    """A clock that advances a second each time it is read."""
    return float(next(TICKS))


TICKS = itertools.count()


def test_a_training_is_measured_at_its_steps(tmp_path: Path) -> None:
    rows = training(tmp_path, [2, 4], ticking)
    assert [(row["step"], row["step_s"]) for row in rows] == [(2, 1), (4, 1)]
    assert all(row["mib"] > 1 for row in rows)


def test_a_start_is_measured_by_what_it_reports(tmp_path: Path) -> None:
    row = starting(tmp_path, 20, ticking)
    assert row["pictures"] == 20
    assert 0 < row["listed_s"] < row["checked_s"] < row["first_step_s"]
    assert "grown_mib" in row


def test_each_tenth_of_a_folder_is_measured(tmp_path: Path) -> None:
    rows = translating(tmp_path, 20, ticking)
    assert [row["pictures"] for row in rows] == list(range(2, 21, 2))
    assert {row["pictures_per_s"] for row in rows} == {2}


def test_pictures_are_distinct(tmp_path: Path) -> None:
    draw(tmp_path / "a", 60)
    paths = sorted((tmp_path / "a").rglob("*.png"))
    assert len(paths) == 60
    assert len({path.read_bytes() for path in paths}) == 60
