"""The answers of several people: `study --collect`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import run

from imgtranslate.evaluation.study_answers import agreement, collect, interval_of_share
from imgtranslate.metrics.estimate import wilson

HEAD = "trial,scored,real,answer,fooled,shown_ms,answer_ms,study,model"
SIDES = np.random.default_rng(0).permutation(["left", "right"] * 10)


def row(trial: int, hit: int, *, side: str, took: int, rest: str = "abc,runs/x") -> str:
    answer = side if not hit else {"left": "right", "right": "left"}[side]
    return f"{trial},{int(trial > 2)},{side},{answer},{hit},1003,{took},{rest}"


def save(path: Path, hits: Sequence[int], *, sides: Sequence[str] = SIDES, **options: str) -> Path:
    """The file of a person; the first two trials are for practice."""
    took = sum(map(ord, path.name))  # no two people take the same time
    rows = [
        row(trial, hit, side=side, took=took, **options)
        for trial, (hit, side) in enumerate(zip(hits, sides, strict=False), 1)
    ]
    path.write_text("\r\n".join([HEAD, *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture
def people(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(1)
    return [save(tmp_path / f"{n}.csv", rng.integers(0, 2, 20).tolist()) for n in range(3)]


def error_of(*files: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert run("study", "--collect", *files) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_the_share_is_that_of_all_answers_without_practice(tmp_path: Path) -> None:
    files = [
        save(tmp_path / "a.csv", [1, 1, 1, 1, 0, 0]),
        save(tmp_path / "b.csv", [1, 1, 1, 0, 0, 0]),
    ]
    found = collect(files)
    (share,) = found.shares
    assert (found.people, found.trials, share.model) == (2, 4, "runs/x")
    assert (share.hits, share.value) == (3, 3 / 8)
    assert found.by_person == (0.5, 0.25)
    assert found.same == 0.75


def test_the_command_shows_share_interval_and_agreement(
    people: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("study", "--collect", *people) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0] == "real or fake: 3 people, 18 pairs each"
    assert "  runs/x  taken for real in 42.6% of 54 answers (95 % interval " in out
    assert "Fleiss' kappa" in out
    assert "few people" in out
    assert max(map(len, out.splitlines())) <= 100


def test_two_models_share_the_answers(tmp_path: Path) -> None:
    head = "trial,scored,first_model,answer,preferred_first,shown_ms,answer_ms,study,first,second"
    lines = ["1,1,left,left,1,,5,abc,x,y", "2,1,right,left,0,,5,abc,x,y"]
    (tmp_path / "a.csv").write_text("\n".join([head, *lines, "3,1,left,left,1,,5,abc,x,y"]))
    first, second = collect([tmp_path / "a.csv"]).shares
    assert (first.model, first.value) == ("x", 2 / 3)
    assert (second.model, second.value) == ("y", pytest.approx(1 / 3))
    assert second.interval == pytest.approx(
        (1 - first.interval[1], 1 - first.interval[0]), abs=0.05
    )


def test_answers_of_one_person_do_not_count_as_independent() -> None:
    """Ten people who always answer alike are not ten times as many answers."""
    same = np.repeat(np.random.default_rng(0).integers(0, 2, (1, 40)), 10, axis=0).astype(float)
    low, high = interval_of_share(same)
    narrow = wilson(float(same.mean()), same.size)
    assert high - low > 2 * (narrow[1] - narrow[0])
    assert interval_of_share(np.ones((5, 40))) == pytest.approx(wilson(1.0, 200))


def test_the_interval_covers_the_truth_for_other_people_and_pictures() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(100):
        people, pictures = rng.normal(0, 0.1, (12, 1)), rng.normal(0, 0.15, (1, 30))
        hits = (rng.random((12, 30)) < 0.4 + people + pictures).astype(float)
        low, high = interval_of_share(hits)
        covered += low <= 0.4 <= high
    assert covered >= 93


def test_kappa_by_a_table() -> None:
    """Fleiss' kappa of statsmodels, of 4 people and 5 pictures."""
    ones = [4, 3, 2, 0, 1]
    hits = np.array([[float(person < count) for count in ones] for person in range(4)])
    same, kappa = agreement(hits)
    assert same == pytest.approx((6 + 3 + 2 + 6 + 3) / 30)
    assert kappa == pytest.approx((2 / 3 - 0.5) / 0.5)
    assert agreement(np.ones((3, 4))) == (1.0, None)
    assert agreement(np.ones((1, 4))) == (None, None)


def test_files_of_spreadsheets_and_of_earlier_pages_are_read(tmp_path: Path) -> None:
    file = save(tmp_path / "a.csv", [0, 1, 1, 0])
    text = file.read_text("utf-8")
    file.write_text("\ufeff" + text.replace(",", ";"), encoding="utf-8")
    assert collect([file]).shares[0].value == 0.5
    old = [line.removesuffix(",study,model").removesuffix(",abc,runs/x") for line in text.split()]
    file.write_text("\n".join([*old, "", ""]))
    (share,) = collect([file]).shares
    assert (share.model, share.value) == ("the model", 0.5)


@pytest.mark.parametrize("rest", ["def,runs/x", "abc,runs/y"])
def test_two_studies_are_not_mixed(
    people: list[Path], rest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save(people[0].with_name("other.csv"), [0] * 20, rest=rest)
    err = error_of(*people, other, capsys=capsys)
    assert err.startswith(f"error: {other}: answers to another study than {people[0]}.")


def test_other_sides_or_trials_are_another_study(
    people: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = people[0].with_name("other.csv")
    save(other, [0] * 20, sides=SIDES[::-1].tolist())
    assert "another study" in error_of(*people, other, capsys=capsys)
    save(other, [0] * 19)
    assert "lacks trial 20" in error_of(*people, other, capsys=capsys)


def test_one_person_counts_once(people: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    again = people[0].with_name("study (1).csv")
    again.write_bytes(people[0].read_bytes().replace(b"\r\n", b"\n"))
    err = error_of(*people, again, capsys=capsys)
    assert f"{again}: the same answers as {people[0]}" in err


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not the answers to a study"),
        (b"name,age\nx,3\n", "not the answers to a study"),
        (b"\xff\xfe\x00\x01", "not a readable CSV file"),
        (HEAD.encode(), "contains no answers that count"),
        (HEAD.encode() + b"\n1,0,left,left,0,1,1,a,b", "contains no answers that count"),
        (HEAD.encode() + b"\n1,1,left,left,1,1,1,a,b", "line 2 is damaged"),
        (HEAD.encode() + b"\n1,1,left,left,0,1,1,a,b\n2,1,le", "line 3 is damaged"),
        (HEAD.encode() + b"\n1,1,left,left,0,1,1,a,b" * 2, "line 3 repeats trial 1"),
        (HEAD.encode() + b"\n-1,1,left,left,0,1,1,a,b", "line 2 is damaged"),
        (HEAD.encode() + b"\n1e9,1,left,left,0,1,1,a,b", "line 2 is damaged"),
        (HEAD.encode() + b"\n1,1,up,up,0,1,1,a,b", "line 2 is damaged"),
        (HEAD.encode() + b'\n1,1,left,left,0,1,1,a,"b', "not a readable CSV file"),
        (HEAD.encode() + b"\n1,1,left,left,0,1,1,a,b\n2,1,left,left,0,1,1,c,b", "several studies"),
        (b"," * 2**21, "too large"),
        (b"\0" * 1000, "not the answers to a study"),
    ],
)
def test_damaged_files_are_one_line(
    tmp_path: Path, content: bytes, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    err = error_of(tmp_path / "a.csv", capsys=capsys)
    assert err.startswith(f"error: {tmp_path / 'a.csv'}: ")
    assert why in err


def test_wrong_use_is_one_line(
    tmp_path: Path, people: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no such file" in error_of(tmp_path / "none.csv", capsys=capsys)
    assert "no such file" in error_of(tmp_path, capsys=capsys)
    assert "--collect: reads answers" in error_of(*people, "-o", "x.html", capsys=capsys)
    assert run("study", *people) == 2
    assert "RUN: 3 given" in capsys.readouterr().err


def test_a_hostile_name_does_not_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / "a.csv", [0] * 5, rest="abc,\x1b[2Jname")
    assert run("study", "--collect", file) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2Jname" in out
