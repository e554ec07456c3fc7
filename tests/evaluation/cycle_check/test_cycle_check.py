import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from evaluation.cycle_check.generator_pairs import Formula, side
from fixtures.command import run
from fixtures.models import BACK, HEADER, save_model
from fixtures.pictures import noise
from fixtures.runs import make_run
from PIL import Image

from imgtranslate.errors import UsageError
from imgtranslate.evaluation.cycle_check import check
from imgtranslate.evaluation.cycle_check.check import (
    check_sources,
    find_sources,
    held_out_sources,
    identity_errors,
)
from imgtranslate.evaluation.cycle_check.degradations import DEGRADATIONS as KINDS
from imgtranslate.evaluation.cycle_check.degradations import degrade, seed_of
from imgtranslate.evaluation.cycle_check.drawing import strip_targets
from imgtranslate.evaluation.cycle_check.results import results_of, summarise
from imgtranslate.evaluation.cycle_check.schema import Figures, Row
from imgtranslate.evaluation.cycle_check.scores import (
    CycleResult,
    CycleScore,
    CycleSource,
    Thumbnails,
    check_picture,
)
from imgtranslate.images import Values, to_network, to_pixels
from imgtranslate.metrics.ssim import ssim
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.runs.data import domains_of_run, held_out_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import DataSettings, Direction, Settings
from imgtranslate.translation.translator import Translator, load

VERDICT = "collapsed"  # of networks whose weights are zero
GREY = np.full((8, 8, 3), 100, np.uint8)
HARMS = ("png", "jpeg", "noise", "blur")
LEVEL = 2 / 255  # one of the 8-bit levels, in [-1, 1]


def pair(
    there: Callable[[Values], Values], back: Callable[[Values], Values]
) -> dict[str, Translator]:
    return {
        "forward": Translator(Formula(HEADER, there)),
        "backward": Translator(Formula(BACK, back)),
    }


def same(x: Values) -> Values:
    return x


def brighter(levels: float) -> Callable[[Values], Values]:
    return lambda x: x + np.float32(levels * LEVEL)


def save_midtones(path: Path, *, size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
    """A picture of values that a few levels more or less do not clip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(*size, seed=seed).point(lambda level: 64 + level // 2).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def only_row(path: Path, translators: dict[str, Translator]) -> Row:
    return check_picture(path, side("a"), turned=True, **translators).score.row


def row(path: str, *, mae: float, psnr: float | None = 20.0, direction: Direction = "ab") -> Row:
    harms = {f"{what}_{kind}": n for what, n in (("mae", mae), ("own", 0.01)) for kind in HARMS}
    return Row(
        path=path,
        direction=direction,
        mae=mae,
        psnr=psnr,
        ssim=0.9,
        change=0.5,
        identity=mae / 2,
        brightness=0.8,
        mae_float=mae,
        **harms,
        error=None,
    )


def score(path: str, *, mae: float, direction: Direction = "ab") -> CycleScore:
    return CycleScore(
        row=row(path, mae=mae, direction=direction),
        thumbnails=(Thumbnails(real=GREY, fake=GREY + 99, recovered=GREY),),
    )


# What is measured


def test_an_error_of_known_size(tmp_path: Path) -> None:
    found = only_row(save_midtones(tmp_path / "x.png"), pair(brighter(10), brighter(-4)))
    assert found.direction == "ab"
    assert found.change == pytest.approx(10 / 255)
    assert found.mae == pytest.approx(6 / 255)
    assert found.psnr == pytest.approx(20 * math.log10(255 / 6))


def test_the_fake_is_rounded_to_8_bits_in_between(tmp_path: Path) -> None:
    path = save_midtones(tmp_path / "x.png")
    assert only_row(path, pair(brighter(0.4), brighter(0.4))).mae == 0  # else 0.8, so 1
    hidden = pair(lambda x: x / 1000, lambda x: x * 1000)  # perfect in floats
    assert only_row(path, hidden).mae > 0.1


def test_equal_pictures_have_an_infinite_psnr_which_json_calls_null(tmp_path: Path) -> None:
    found = only_row(save_midtones(tmp_path / "x.png"), pair(same, same))
    assert (found.mae, found.psnr, found.change) == (0, None, 0)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["psnr"] is None


def test_the_change_is_unknown_where_channels_differ(tmp_path: Path) -> None:
    grey, colour = replace(HEADER, out_channels=1), replace(BACK, in_channels=1)
    translators = {
        "forward": Translator(Formula(grey, lambda x: x.mean(axis=1, keepdims=True))),
        "backward": Translator(Formula(colour, lambda x: np.repeat(x, 3, axis=1))),
    }
    found = only_row(save_midtones(tmp_path / "x.png"), translators)
    assert found.change is None
    assert found.mae > 0


def test_a_bad_file_is_named_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    paths = [
        save_midtones(tmp_path / "a.png"),
        tmp_path / "bad.png",
        save_midtones(tmp_path / "z.png"),
    ]
    sources = [CycleSource(path=path, relative=path, domain=side("a")) for path in paths]
    ab, ba = pair(same, same).values()
    rows = [score.row for score in check_sources(sources, ab=ab, ba=ba)]
    assert [row.error is None for row in rows] == [True, False, True]
    assert [row.mae for row in rows] == [0, None, 0]
    assert rows[1].path == str(tmp_path / "bad.png")
    assert rows[1].error
    assert not rows[1].error.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("backward", "told"),
    [
        (HEADER, r"horses to zebras \(ab; .* and horses to zebras \(ab;"),
        (replace(BACK, source="cats"), "cats to horses"),
        (replace(BACK, in_channels=1), "channel"),
    ],
)
def test_two_models_that_are_no_pair_are_refused_at_once(backward: ModelHeader, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        list(
            check_sources(
                [], ab=Translator(Formula(HEADER, same)), ba=Translator(Formula(backward, same))
            )
        )


def test_ssim_brightness_and_identity_are_those_of_the_definition(tmp_path: Path) -> None:
    path = save_midtones(tmp_path / "x.png", size=(40, 30))
    found = only_row(path, pair(same, brighter(10)))
    assert found.identity == pytest.approx(10 / 255)  # of the way back alone
    assert found.brightness == pytest.approx(1)
    real = pixels(path)
    assert found.ssim == pytest.approx(ssim(real, real + 10))
    assert only_row(path, pair(lambda x: -x, same)).brightness == pytest.approx(-1)
    flat = tmp_path / "flat.png"
    Image.new("RGB", (9, 9), (90, 80, 70)).save(flat)
    assert only_row(flat, pair(same, same)).brightness is None


def test_each_harm_is_done_to_the_fake_before_it_goes_back(tmp_path: Path) -> None:
    seen: list[Values] = []

    def back(x: Values) -> Values:
        seen.append(x[0])
        return x

    path = save_midtones(tmp_path / "x.png", size=(40, 32))
    translators = pair(brighter(20), back)
    result = check_picture(path, side("a"), **translators)
    errors = dict(result.score.row)
    fake = to_network(result.fake)
    wanted = [to_network(degrade(result.fake, kind, seed=seed_of(result.real))) for kind in KINDS]
    assert all((a == b).all() for a, b in zip([fake, *wanted], seen, strict=False))
    for kind, values in zip(KINDS, wanted, strict=True):
        shift = np.abs(to_pixels(values).astype(int) - result.real).mean() / 255
        assert errors[f"mae_{kind}"] == pytest.approx(shift)
        assert (result.recovered_after[kind] == to_pixels(values)).all()


def test_what_a_harm_does_by_itself_is_the_larger_of_both_pictures(tmp_path: Path) -> None:
    path = save_midtones(tmp_path / "x.png", size=(40, 32))
    real = pixels(path)

    def own(pixels: np.ndarray) -> float:
        blurred = degrade(pixels, "blur", seed=0).astype(int)
        return float(np.abs(blurred - pixels).mean() / 255)

    stronger = np.clip(2 * real.astype(int) - 128, 0, 255).astype(np.uint8)
    there = pair(lambda _: to_network(stronger)[None], same)
    assert only_row(path, there).own_blur == pytest.approx(own(stronger))
    assert only_row(path, pair(lambda x: x * 0, same)).own_blur == pytest.approx(own(real))


def test_what_rounding_costs_is_told_from_the_cycle_itself(tmp_path: Path) -> None:
    path = save_midtones(tmp_path / "x.png")
    found = only_row(path, pair(lambda x: x / 1000, lambda x: x * 1000))
    assert found.mae_float < 0.001
    assert found.mae_png == found.mae > 0.1


def test_the_same_picture_gives_the_same_figures_under_any_name(tmp_path: Path) -> None:
    first, second = save_midtones(tmp_path / "x.png"), save_midtones(tmp_path / "deep/other.png")
    translators = pair(same, lambda x: x * np.float32(0.9))
    one, other = (only_row(path, translators).to_json() for path in (first, second))
    assert one | {"path": ""} == other | {"path": ""}


# What is said of many pictures


def test_a_summary_counts_averages_and_names_the_worst() -> None:
    rows = [row(f"{i}.png", mae=i / 100) for i in range(8)]
    summary = Figures(**summarise([*rows, row("equal.png", mae=0.09, psnr=None)]))
    assert summary.count == 9
    mae, psnr = summary.mae, summary.psnr
    assert mae is not None
    assert mae.mean == pytest.approx(0.37 / 9)
    assert mae.std == pytest.approx(np.std([i / 100 for i in range(8)] + [0.09]))
    assert 0 < mae.low < mae.mean < mae.high < 0.09
    assert psnr is not None
    assert (psnr.mean, psnr.std, psnr.count) == (20, 0, 8)  # infinity is left out
    assert [Path(s.path).stem for s in summary.worst] == ["equal", "7", "6", "5", "4"]


def test_a_summary_of_nothing_has_no_numbers() -> None:
    assert summarise([]) == {"count": 0, "worst": ()}


@pytest.mark.parametrize(
    ("limit", "fallen"),
    [(None, []), (0.25, ["ba: the mean error 0.3000 is above 0.25"]), (0.3, [])],
)
def test_the_limit_holds_for_each_direction(limit: float | None, fallen: list[str]) -> None:
    scores = (score("x", mae=0.1), score("y", mae=0.3, direction="ba"))
    assert list(results_of(scores, fail_above=limit).summary.shortfalls) == fallen


def test_nothing_measured_is_not_judged_and_passes_no_gate() -> None:
    assert results_of([]).verdict == "not judged"
    assert results_of([]).summary.shortfalls == ()
    assert results_of([], fail_above=1.0).summary.shortfalls
    assert results_of([], fail_on=("collapsed",)).summary.shortfalls


def test_a_direction_has_the_identity_error_of_its_own_generator() -> None:
    scores = (score("x", mae=0.1), score("y", mae=0.3, direction="ba"))
    directions = results_of(scores).summary.directions
    assert directions["ab"].identity is not None
    assert directions["ba"].identity is not None
    assert directions["ab"].identity.mean == 0.15  # measured on the picture of b
    assert directions["ba"].identity.mean == 0.05
    assert results_of(scores[:1]).summary.directions["ab"].identity is None
    more = results_of(scores[:1], identities={"ab": [0.2, 0.4]})
    identity = more.summary.directions["ab"].identity
    assert identity is not None
    assert identity.mean == pytest.approx(0.3)


# Which pictures


def test_files_folders_and_globs_each_once(tmp_path: Path) -> None:
    first = save_midtones(tmp_path / "in/a.png")
    deep = save_midtones(tmp_path / "in/deep/b.jpg")
    inputs = [tmp_path / "in", str(tmp_path / "in/*.png"), first]
    sources = find_sources(inputs, direction="ab")
    assert [s.path for s in sources] == [first, deep]
    assert [s.relative.as_posix() for s in sources] == ["a.png", "deep/b.jpg"]


@pytest.mark.parametrize("name", ["missing", "*.jpg", "empty"])
def test_a_name_without_pictures_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no such|no file matches|no pictures"):
        find_sources([tmp_path / name], direction="ab")


def test_a_runs_held_out_pictures_in_both_directions(tmp_path: Path) -> None:
    record = {"held_out_a": [str(tmp_path / "x.png")], "held_out_b": [str(tmp_path / "y.png")]}
    Run(tmp_path).write_config(Settings(data=DataSettings(a="a", b="b")), record)
    sources = held_out_sources(tmp_path, directions=["ab", "ba"])
    assert [(s.path.name, s.direction) for s in sources] == [("x.png", "ab"), ("y.png", "ba")]
    assert [s.path.name for s in held_out_sources(tmp_path, directions=["ba"])] == ["y.png"]


def side_by_side(folder: Path, order: Literal["ab", "ba"]) -> Path:
    """A run on files whose left half is dark noise and whose right half is bright noise."""
    dark, bright = (pixels(save_midtones(folder / f"{n}.png", seed=n)) for n in range(2))
    paths = [folder / "pairs/x.png", folder / "pairs/y.png"]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(np.concatenate([dark // 2, 128 + bright // 2], axis=1)).save(path)
    data = DataSettings(pairs=str(folder / "pairs"), pair_order=order)
    record = {f"held_out_{letter}": [str(paths[0])] for letter in "ab"}
    Run(folder).write_config(Settings(data=data), record)
    return folder


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_of_files_side_by_side_each_half_is_checked_in_its_direction(
    tmp_path: Path, order: Literal["ab", "ba"]
) -> None:
    run = side_by_side(tmp_path, order)
    seen: list[Values] = []

    def watched(x: Values) -> Values:
        seen.append(x)
        return x

    ab, ba = pair(watched, watched).values()
    sources = held_out_sources(run, directions=["ab", "ba"])
    rows = [score.row for score in check_sources(sources, ab=ab, ba=ba)]
    names = [(Path(row.path).name, row.direction) for row in rows]
    assert names == [("x.png", "ab"), ("x.png", "ba")]
    assert {values.shape[3] for values in seen} == {12}  # the files are 24 px wide
    first = seen[0].mean()
    assert (first < 0) == (order == "ab")
    assert identity_errors(run, translator=ab) == [0]
    assert (seen[-1].mean() > 0) == (order == "ab")  # a real picture of B


def test_held_out_pictures_are_found_though_those_trained_on_are_gone(tmp_path: Path) -> None:
    run = side_by_side(tmp_path, "ab")
    a, b = held_out_of_run(*Run(run).read_config())
    whole_a, whole_b = domains_of_run(*Run(run).read_config())
    assert (a, b) == (replace(whole_a, files=()), replace(whole_b, files=()))
    (tmp_path / "pairs").rename(tmp_path / "elsewhere")
    assert (a, b) == held_out_of_run(*Run(run).read_config())


def test_a_run_without_held_out_pictures_asks_for_some(tmp_path: Path) -> None:
    Run(tmp_path).write_config(Settings(data=DataSettings(a="a", b="b")), {"held_out_a": []})
    with pytest.raises(UsageError, match="Name pictures or a folder"):
        held_out_sources(tmp_path, directions=["ab", "ba"])


# What is drawn


def test_strips_keep_the_tree_and_never_share_a_name(tmp_path: Path) -> None:
    paths = ["x.jpg", "x.png", "X.gif", "sub/x.jpg", "x.2.jpg", "e\u0301.png", "\u00e9.png"]
    sources = [find_sources([save_midtones(tmp_path / p)], direction="ab")[0] for p in paths]
    sources = [replace(s, relative=Path(p)) for s, p in zip(sources, paths, strict=True)]
    targets = [t.relative_to(tmp_path).as_posix() for t in strip_targets(sources, tmp_path)]
    assert targets == [
        "x.cycle.png",
        "x.2.cycle.png",
        "X.3.cycle.png",
        "sub/x.cycle.png",
        "x.2.2.cycle.png",
        "e\u0301.cycle.png",
        "\u00e9.2.cycle.png",
    ]


def check_folder(folder: Path, output: Path | None) -> list[Row]:
    ab, ba = pair(same, brighter(100)).values()
    sources = find_sources([folder], direction="ab")
    return [score.row for score in check_sources(sources, ab=ab, ba=ba, output=output)]


def test_a_strip_of_each_picture(tmp_path: Path) -> None:
    save_midtones(tmp_path / "in/a.png", size=(256, 200))
    save_midtones(tmp_path / "in/deep/b.jpg", size=(64, 64))
    check_folder(tmp_path / "in", tmp_path / "in")
    written = {p.relative_to(tmp_path / "in").as_posix() for p in tmp_path.rglob("*.cycle.png")}
    assert written == {"a.cycle.png", "deep/b.cycle.png"}
    strip, real = (pixels(tmp_path / "in" / name) for name in ("a.cycle.png", "a.png"))
    assert any((strip[top : top + 200, 16 : 16 + 256] == real).all() for top in range(60))
    assert len(check_folder(tmp_path / "in", None)) == 2  # strips are not taken for pictures


def test_one_figure_of_a_few_pictures(tmp_path: Path) -> None:
    for i in range(11):
        save_midtones(tmp_path / f"in/{i:02}.png", size=(64, 64), seed=i)
    check_folder(tmp_path / "in", tmp_path / "new/figure.png")
    with Image.open(tmp_path / "new/figure.png") as figure:
        width, height = figure.size
    assert 8 * 256 < height < 9 * 300
    assert 3 * 256 < width < 3 * 300


def test_a_strip_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    save_midtones(tmp_path / "in/a.png")
    save_midtones(tmp_path / "in/b.png")
    (tmp_path / "out/a.cycle.png").mkdir(parents=True)
    failed, fine = check_folder(tmp_path / "in", tmp_path / "out")
    assert failed.error
    assert "cannot be written" in failed.error
    assert failed.mae is None
    assert fine.error is None


# The command


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two models and held-out pictures."""
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "ab.safetensors", gain=0)
    save_model(folder / "ba.safetensors", BACK, gain=0)
    record = {
        "held_out_a": [
            str(save_midtones(folder / "a/x.png")),
            str(save_midtones(folder / "a/y.png", seed=1)),
        ],
        "held_out_b": [str(save_midtones(folder / "b/x.png", seed=2))],
    }
    Run(folder).write_config(Settings(data=DataSettings(a="a", b="b")), record)
    return folder


def test_json_is_one_object(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cycle-check", "--run", trained, "--json", "--device", "cpu") == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"images", "summary", "steps", "verdict", "partial"}
    assert report["partial"] is False
    assert [row["direction"] for row in report["images"]] == ["ab", "ab", "ba"]
    assert set(report["images"][0]) == {
        *("path", "direction", "mae", "psnr", "ssim", "change", "flat", "identity", "brightness"),
        *("mae_float", "mae_png", "mae_jpeg", "mae_noise", "mae_blur"),
        *("own_png", "own_jpeg", "own_noise", "own_blur", "error"),
    }
    assert report["summary"]["count"] == 3
    assert report["summary"]["mae"]["mean"] == pytest.approx(
        sum(row["mae"] for row in report["images"]) / 3
    )
    assert set(report["summary"]["directions"]) == {"ab", "ba"}
    assert report["summary"]["directions"]["ab"]["verdict"] == report["verdict"] == VERDICT
    assert report["summary"]["directions"]["ab"]["findings"][0]["figure"] > 0


def test_a_check_of_held_out_pictures_stays_in_the_run(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("cycle-check", "--run", trained, "--json", "--fail-above", "0", "--device", "cpu") == 1
    )
    captured = capsys.readouterr()
    assert json.loads((trained / "cycle-check.json").read_text()) == json.loads(captured.out)
    assert json.loads(captured.out)["steps"] == {"ab": 1, "ba": 1}
    assert f"wrote {trained / 'report.html'}\n" in captured.err
    assert VERDICT in (trained / "report.html").read_text()


def test_pictures_much_larger_than_the_training_are_told_once(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(2):
        save_midtones(tmp_path / f"{number}.png", size=(193, 200))
    save_midtones(tmp_path / "small.png", size=(192, 300))
    check = ("cycle-check", "--run", trained, "--device", "cpu")
    assert run(*check, tmp_path) == 0
    wanted = f"warning: {tmp_path}/0.png: its shorter side is more than 3 times the 64 px of the"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert line.startswith(wanted)
    assert run(*check, tmp_path / "small.png") == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_check_gives_what_it_measured(
    number: int,
    status: int,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*given: Any, **named: Any) -> CycleResult:
        os.kill(os.getpid(), number)
        return check_picture(*given, **named)

    monkeypatch.setattr("imgtranslate.evaluation.cycle_check.check.check_picture", stopped)
    check = ("cycle-check", "--run", trained, "--device", "cpu")
    before = sorted(trained.iterdir())
    assert run(*check, "--json", "-o", tmp_path / "figure.png") == status
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert report["partial"] is True
    assert [Path(row["path"]).name for row in report["images"]] == ["x.png"]
    assert report["summary"]["directions"]["ab"]["count"] == 1
    assert "partial: stopped after 1 of 3 pictures" in output.err
    assert (tmp_path / "figure.png").exists()

    assert run(*check) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("(1 of 1 measured, partial: stopped before the end)")
    assert sorted(trained.iterdir()) == before


def test_a_check_of_other_pictures_leaves_no_trace(trained: Path) -> None:
    before = sorted(trained.rglob("*"))
    assert run("cycle-check", trained / "a", "--run", trained) == 0
    assert sorted(trained.rglob("*")) == before


def test_a_run_that_cannot_be_written_to_is_no_failure(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.fsync", forbidden)
    kept = trained / "cycle-check.json"
    kept.unlink(missing_ok=True)
    assert run("cycle-check", "--run", trained) == 0
    captured = capsys.readouterr()
    assert (
        f"not saved: {kept}: cannot be written: permission denied. Choose another" in captured.err
    )
    assert "verdict: " in captured.out
    assert not kept.exists()


@pytest.mark.parametrize(
    ("gate", "code", "fallen"),
    [
        (["--fail-above", "1"], 0, 0),
        (["--fail-above", "0"], 1, 1),
        (["--fail-on", "healthy", "--fail-on", "inverts_brightness"], 0, 0),
        (["--fail-on", VERDICT], 1, 1),
        (["--fail-on", VERDICT.upper(), "--fail-on", "does-nothing", "--fail-above", "0"], 1, 2),
    ],
)
def test_gates_set_the_exit_status(
    trained: Path, capsys: pytest.CaptureFixture[str], gate: list[str], code: int, fallen: int
) -> None:
    models = ["--ab", trained / "ab.safetensors", "--ba", trained / "ba.safetensors"]
    assert run("cycle-check", trained / "a", *models, *gate, "--json") == code
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == VERDICT
    assert len(report["summary"]["shortfalls"]) == fallen


def test_the_table_is_short(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(23):
        save_midtones(tmp_path / f"{i:02}.png", seed=i)
    (tmp_path / "bad.png").write_text("no picture")
    assert run("cycle-check", tmp_path, "--run", trained) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert "… and 3 more" in lines
    assert sum(line.split(" ")[0].endswith(".png") for line in lines) == 20 + 5
    assert "horses → zebras and back, 23 pictures:" in lines
    assert lines[-1] == f"verdict: {VERDICT} (23 of 24 measured)"
    assert max(map(len, lines)) <= 80
    assert f"failed: {tmp_path / 'bad.png'}: " in captured.err
    assert not list(tmp_path.rglob("*.cycle.png"))


def test_named_pictures_of_a_run_borrow_the_other_side_for_identity(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cycle-check", trained / "a", "--run", trained, "--json") == 0
    found = json.loads(capsys.readouterr().out)["summary"]["directions"]["ab"]["identity"]
    assert found["count"] == 1
    ab = load(trained / "ab.safetensors", device="cpu")
    assert found["mean"] == pytest.approx(identity_errors(trained, translator=ab)[0])
    models = ["--ab", trained / "ab.safetensors", "--ba", trained / "ba.safetensors"]
    assert run("cycle-check", trained / "a", *models) == 0
    assert "identity: not measured, without pictures of zebras" in capsys.readouterr().out


def test_from_b_goes_the_other_way(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cycle-check", trained / "b", "--run", trained, "--from", "b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["direction"] == "ba"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a"], "--run: not given"),
        (["a", "--ba", "ba.safetensors"], "--run: not given"),
        (["--ab", "ab.safetensors", "--ba", "ba.safetensors"], "INPUT: not given"),
        (["a", "--run", ".", "--ab", "ab.safetensors"], "Give a run or two models"),
        (["a", "--ab", "ab.safetensors", "--ba", "ab.safetensors"], "do not form a pair"),
        (["a", "--run", ".", "--from", "c"], "--from c"),
        (["a", "--run", ".", "--fail-above", "8"], "--fail-above 8"),
        (["a", "--run", ".", "--fail-on", "colapsed"], "Did you mean collapsed?"),
        (["a", "--run", ".", "-o", "a/x.png"], "x.png: is an input"),
        (["a", "--run", ".", "-o", "config.toml"], "not a folder"),
        (["a", "--run", ".", "-o", "figure.psd"], "cannot be written"),
        (["a", "--run", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_one_line(
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(trained)
    assert run("cycle-check", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_the_identity_is_measured_on_pictures_evenly_spaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for n, path in enumerate(paths):
        Image.new("RGB", (24, 24), (n * 100,) * 3).save(path)
    data = DataSettings(a=str(tmp_path), b=str(tmp_path))
    record = {f"held_out_{letter}": list(map(str, paths)) for letter in "ab"}
    Run(tmp_path).write_config(Settings(data=data), record)
    monkeypatch.setattr(check, "IDENTITY_PICTURES", 2)
    seen: list[float] = []

    def watched(x: Values) -> Values:
        seen.append(round(float((x.mean() + 1) * 127.5)))
        return x

    ab, _ = pair(watched, watched).values()
    assert identity_errors(tmp_path, translator=ab) == [0, 0]
    assert seen == [0, 200]


def test_a_python_user_checks_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    both = check.cycle_check(run)
    assert [row.direction for row in both.images] == ["ab", "ab", "ba", "ba"]
    assert set(both.summary.directions) == {"ab", "ba"}
    assert both.verdict
    figure = tmp_path / "cycles.png"
    back = check.cycle_check(run, [tmp_path / "held_b"], direction="ba", output=figure)
    assert [row.direction for row in back.images] == ["ba", "ba"]
    with Image.open(figure) as drawn:
        assert drawn.width > drawn.height // 2
    with pytest.raises(UsageError, match="is an input"):
        check.cycle_check(run, [tmp_path / "held_b"], output=tmp_path / "held_b" / "1.png")
