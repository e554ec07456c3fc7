import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.models import CODED_UNET, model_header, save_model
from fixtures.runs import make_run
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from imgtranslate import cli
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.evaluation.evaluate import evaluation, measures
from imgtranslate.evaluation.evaluate.schema import EvaluationFile, is_baseline
from imgtranslate.metrics.estimate import mean_of
from imgtranslate.metrics.palette import Palette
from imgtranslate.metrics.segmenter import load_segmenter, train_segmenter
from imgtranslate.translation.translator import load

SIDE = 48
COLOURS = np.array([(0, 0, 222), (255, 80, 0), (192, 255, 63)], dtype=np.uint8)
HEADER = model_header(
    source="labels", target="photos", load_size=SIDE, crop_size=SIDE, method="pix2pix", step=7
)


def classes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 3, (3, 3)), np.ones((SIDE // 3, SIDE // 3), int))


def photo(seed: int) -> np.ndarray:
    """What the labels show: each class in a shade of its own, with noise."""
    shades = np.array([60, 130, 200])[classes(seed)][..., None]
    noise = np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(shades + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for side in ("labels", "photos"):
        (tmp_path / side).mkdir()
    for number in range(10):
        Image.fromarray(COLOURS[classes(number)]).save(tmp_path / f"labels/{number}.png")
        Image.fromarray(photo(number)).save(tmp_path / f"photos/{number}.png")
    save_model(tmp_path / "ab.safetensors", HEADER)
    return tmp_path


def evaluate(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = cli.run(["evaluate", *arguments, "--device", "cpu"])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


BOTH = ("--a", "labels", "--b", "photos")


@pytest.mark.parametrize("method", ["cyclegan", "cut", "fastcut"])
def test_folders_are_no_pairs_for_a_method_that_learns_without(
    folder: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    save_model(folder / "ab.safetensors", replace(HEADER, method=method))
    _, out, _ = evaluate("--model", "ab.safetensors", *BOTH, "--json", capsys=capsys)
    assert "ssim" not in json.loads(out)["runs"][0][0]["measures"]


def test_pairs_are_measured_as_scikit_image_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = evaluate("--model", "ab.safetensors", *BOTH, "--json", capsys=capsys)
    assert status == 0
    ((found,),) = json.loads(out)["runs"]
    translator = load("ab.safetensors", device="cpu")
    fakes = [
        np.asarray(translator(Image.open(folder / f"labels/{number}.png"))) for number in range(10)
    ]
    truths = [photo(number) for number in range(10)]
    pairs = list(zip(truths, fakes, strict=True))
    wanted = {
        "l1": np.mean([np.abs(x / 255 - y / 255).mean() for x, y in pairs]),
        "psnr": np.mean([peak_signal_noise_ratio(x, y) for x, y in pairs]),
        "ssim": np.mean([structural_similarity(x, y, channel_axis=-1) for x, y in pairs]),
    }
    for name, value in wanted.items():
        assert found["measures"][name]["value"] == pytest.approx(value, abs=1e-6)
        low, high = found["measures"][name]["interval"]
        assert low < value < high
    assert found["counts"] == {"translated": 10, "real": 10, "failed": 0}
    assert (found["sizes"], found["resize"], found["paired"]) == (["48x48"], None, True)
    assert {"swd", "swd_1/1", "swd_1/2"} <= found["measures"].keys()


@pytest.mark.usefixtures("folder")
def test_baselines_stand_below_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = evaluate("--model", "ab.safetensors", *BOTH, "--json", capsys=capsys)
    assert status == 0
    found = json.loads(out)["runs"][0][0]["measures"]
    untouched = [
        np.abs(COLOURS[classes(n)] / 255 - photo(n) / 255).mean() for n in range(10)
    ]  # fmt: skip
    assert found["l1_input"]["value"] == pytest.approx(np.mean(untouched), abs=1e-6)
    assert list(found)[:6] == ["l1", "l1_input", "ssim", "ssim_input", "psnr", "psnr_input"]
    names = list(found)[list(found).index("swd") :]
    assert names[:3] == ["swd", "swd_input", "swd_real"]
    assert found["swd_real"]["value"] < found["swd_input"]["value"]
    assert found["swd_real"]["count"] == 5  # one half against the other
    _, out, _ = evaluate("--model", "ab.safetensors", *BOTH, capsys=capsys)
    titles = [line.split("│")[1].rstrip() for line in out.splitlines() if line.startswith("│")]
    assert titles[titles.index(" L1 ↓") + 1] == "   untouched input"
    assert titles[titles.index(" sliced Wasserstein distance ↓") + 2] == "   real against real"


def test_what_lacks_something_is_one_line_and_what_does_not_apply_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "ab.safetensors", *BOTH)
    save_model(folder / "ab.safetensors", replace(HEADER, method="cyclegan"))
    status, out, err = evaluate(*options, capsys=capsys)
    assert (status, err) == (0, "translated on cpu with ONNX Runtime\n")
    assert out.splitlines()[-1] == (
        "left out: FCN score: needs --segmenter FILE, which --train-segmenter FILE trains on a run "
        "of pairs; two-sample test: 10 pictures of a side, needs 30; FID, KID: needs --inception "
        "FILE"
    )
    for word in ("told", "diversity", "label colours", "L1", "LPIPS"):  # no code, no pairs
        assert word not in out
    status, out, err = evaluate(*options[:2], "--a", "labels", capsys=capsys)
    assert status == 0
    assert err == (
        "translated on cpu with ONNX Runtime\n"
        "ab.safetensors, ab: no measure applies to the pictures\n"
    )
    assert "sliced Wasserstein distance, two-sample test, FID, KID: no real pictures of" in out


def test_a_classifier_takes_30_pictures_of_a_side(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10, 30):
        Image.fromarray(COLOURS[classes(number)]).save(folder / f"labels/{number}.png")
        Image.fromarray(photo(number)).save(folder / f"photos/{number}.png")
    estimate = mean_of([0.0] * 40, better="lower")
    monkeypatch.setattr(
        "imgtranslate.evaluation.evaluate.measures.two_sample_test", lambda *_, **__: estimate
    )
    options = ("--model", "ab.safetensors", *BOTH, "--json")
    found = json.loads(evaluate(*options, capsys=capsys)[1])["runs"][0][0]
    assert found["measures"]["two_sample_accuracy"]["value"] == 0
    few = json.loads(evaluate(*options, "--limit", "29", capsys=capsys)[1])["runs"][0][0]
    assert few["left_out"]["two-sample test"] == "29 pictures of a side, needs 30"
    assert "two_sample_accuracy" not in few["measures"]


@pytest.mark.parametrize(("count", "interval"), [(1, 0), (4, 0), (5, 2)])
@pytest.mark.usefixtures("folder")
def test_few_pictures_have_no_interval(
    count: int, interval: int, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "ab.safetensors", *BOTH, "--limit", str(count))
    found = json.loads(evaluate(*options, "--json", capsys=capsys)[1])["runs"][0][0]
    assert len(found["measures"]["l1"]["interval"]) == interval
    _, out, _ = evaluate(*options, capsys=capsys)
    (line,) = [line for line in out.splitlines() if " L1 ↓" in line]
    assert ("(" in line) == bool(interval)


def test_pictures_much_larger_than_the_training_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(folder / "ab.safetensors", replace(HEADER, crop_size=15))
    options = ("--model", "ab.safetensors", "--a", "labels", "--limit", "3")
    _, _, err = evaluate(*options, capsys=capsys)
    (line,) = [line for line in err.splitlines() if line.startswith("warning")]
    assert line.startswith("warning: labels/0.png: its shorter side is more than 3 times the 15 px")
    assert line.endswith("Try --resize 15")
    assert "warning" not in evaluate(*options, "--resize", "45", capsys=capsys)[2]


@pytest.mark.parametrize("moment", ["translating", "measuring"])
@pytest.mark.usefixtures("folder")
def test_a_stopped_evaluation_gives_what_it_measured(
    moment: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if not sent:
                sent.append(moment)
                os.kill(os.getpid(), signal.SIGINT)
            return function(*given, **named)

        return call

    sent: list[str] = []
    if moment == "translating":
        monkeypatch.setattr(evaluation, "_translated", stopped(evaluation._translated))
    else:
        monkeypatch.setattr(measures, "_wasserstein", stopped(measures._wasserstein))
    models = ("--model", "ab.safetensors", "--model", "ab.safetensors")
    status, out, err = evaluate(*models, *BOTH, "--json", capsys=capsys)
    assert status == 130
    assert "partial: stopped before all was measured" in err
    report = json.loads(out)
    assert report["partial"] is True
    ((found,),) = report["runs"]  # the second was not begun
    assert found["partial"] is True
    assert found["counts"]["translated"] == (1 if moment == "translating" else 10)
    assert {"l1", "ssim", "psnr"} <= found["measures"].keys()
    wanted = {"translating": "needs 2 pictures of 16 px or more", "measuring": "stopped before"}
    assert found["left_out"]["sliced Wasserstein distance"] == wanted[moment]
    assert "diversity" not in found["left_out"]


def test_folders_are_pairs_only_if_that_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides of an unpaired set may be numbered alike."""
    save_model(folder / "ab.safetensors", replace(HEADER, method="cyclegan"))
    options = ("--model", "ab.safetensors", *BOTH, "--limit", "2", "--json")
    apart = json.loads(evaluate(*options, capsys=capsys)[1])["runs"][0][0]
    together = json.loads(evaluate(*options, "--paired", capsys=capsys)[1])["runs"][0][0]
    assert (apart["paired"], together["paired"]) == (False, True)
    assert "l1" not in apart["measures"]
    assert "l1" in together["measures"]
    assert together["counts"]["translated"] == 2


def test_two_models_stand_side_by_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(folder / "other.safetensors", HEADER, seed=1)
    models = ("--model", "ab.safetensors", "--model", "other.safetensors")
    report = json.loads(evaluate(*models, *BOTH, "--limit", "6", "--json", capsys=capsys)[1])
    first, second = (column[0]["measures"]["l1"]["value"] for column in report["runs"])
    apart = report["differences"]["ab"]["l1"]
    assert apart["value"] == pytest.approx(second - first)
    assert apart["interval"][0] <= apart["value"] <= apart["interval"][1]
    _, out, _ = evaluate(*models, *BOTH, "--limit", "2", capsys=capsys)
    for word in ("ab.safetensors", "other.safetensors", "difference", "L1 ↓", "SSIM ↑"):
        assert word in out


@pytest.mark.usefixtures("folder")
def test_a_model_against_itself_does_not_differ(capsys: pytest.CaptureFixture[str]) -> None:
    models = ("--model", "ab.safetensors", "--model", "ab.safetensors")
    report = json.loads(evaluate(*models, *BOTH, "--limit", "5", "--json", capsys=capsys)[1])
    for difference in report["differences"]["ab"].values():
        assert difference == {"value": 0.0, "interval": [0.0, 0.0]}


@pytest.fixture
def three(folder: Path) -> list[str]:
    """Command line of three models, of which the last one equals the first."""
    save_model(folder / "grey.safetensors", HEADER, gain=0)
    save_model(folder / "again.safetensors", HEADER)
    names = ("ab.safetensors", "grey.safetensors", "again.safetensors")
    return [*(word for name in names for word in ("--model", name)), *BOTH]


def test_three_models_are_ranked_with_ties(
    three: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = evaluate(*three, "--json", capsys=capsys)
    assert status == 0
    found = EvaluationFile.model_validate_json(out)
    assert json.loads(out) == json.loads(json.dumps(found.to_json()))  # nothing is unknown to it
    assert not found.differences
    grey = found.runs[1][0].measures["l1"].value
    assert grey < found.runs[0][0].measures["l1"].value
    ranked = [str(place) for place in found.ranks["ab"]["l1"]]
    assert ranked == ["2-3", "1", "2-3"]
    higher = [run[0].measures["ssim"].value for run in found.runs]
    best = found.ranks["ab"]["ssim"][higher.index(max(higher))]
    assert best is not None
    assert best.best == 1
    assert [str(place) for place in found.ranks["ab"]["ssim"]] == ["2-3", "1", "2-3"]
    assert found.ranks["ab"].keys() == {
        name for name in found.runs[0][0].measures if not is_baseline(name)
    }
    _, out, _ = evaluate(*three, "--limit", "4", "--json", capsys=capsys)  # too few to tell
    assert [str(p) for p in EvaluationFile.model_validate_json(out).ranks["ab"]["l1"]] == [
        "1-3"
    ] * 3


def test_a_ranking_has_the_best_first_and_fits_80_columns(
    three: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgtranslate.cli.evaluate_display.WIDTH", 80)
    _, out, _ = evaluate(*three, capsys=capsys)
    assert max(len(line) for line in out.splitlines() if line.startswith("│")) <= 80
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    start = rows.index(["L1 ↓", "", ""])
    assert [(row[0], row[2]) for row in rows[start + 1 : start + 5]] == [
        ("grey.safetensors", "1"),
        ("ab.safetensors", "2-3"),
        ("again.safetensors", "2-3"),
        ("untouched input", ""),
    ]
    assert "rank 1 is best" in out
    assert "1/2 of the size" not in out
    start = rows.index(["SSIM ↑", "", ""])
    values = [float(row[1].split()[0]) for row in rows[start + 1 : start + 4]]
    assert values == sorted(values, reverse=True)


def test_csv_has_a_row_for_each_figure(
    three: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = evaluate(*three, "--csv", capsys=capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    report = json.loads(evaluate(*three, "--json", capsys=capsys)[1])
    assert status == 0
    assert len(rows) == sum(len(run[0]["measures"]) for run in report["runs"])
    found = {(row["run"], row["measure"]): row for row in rows}
    l1, figure = found["grey.safetensors", "l1"], report["runs"][1][0]["measures"]["l1"]
    assert float(l1["value"]) == figure["value"]
    assert [float(l1["low"]), float(l1["high"])] == figure["interval"]
    assert (l1["better"], l1["pictures"], l1["direction"]) == ("lower", "10", "ab")
    assert (l1["best_rank"], l1["worst_rank"]) == ("1", "1")
    assert found["ab.safetensors", "l1"]["worst_rank"] == "3"
    assert found["ab.safetensors", "l1_input"]["best_rank"] == ""
    single = evaluate("--model", "ab.safetensors", *BOTH, "--csv", capsys=capsys)[1]
    assert single.splitlines()[0] == out.splitlines()[0]


def test_runs_of_other_pictures_are_not_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make_run(tmp_path / "1"), make_run(tmp_path / "2")
    status, out, err = evaluate(str(first), str(first), str(second), capsys=capsys)
    assert (status, out) == (2, "")
    assert err == (
        f"error: {second}: would be measured on other pictures than {first}. Name the pictures for "
        "all with --a and --b, or --pairs\n"
    )
    places = ("--a", str(tmp_path / "1/held_a"), "--b", str(tmp_path / "1/held_b"))
    assert evaluate(str(first), str(first), str(second), *places, capsys=capsys)[0] == 0
    status, out, err = evaluate(str(first), str(second), capsys=capsys)  # two may differ
    assert status == 0
    assert "the runs were measured on different pictures" in out


@pytest.mark.usefixtures("folder")
def test_opposite_directions_are_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_translated", lambda *_, **__: pytest.fail("translated"))
    save_model(Path("ba.safetensors"), replace(HEADER, direction="ba"))
    models = ("--model", "ab.safetensors", "--model", "ba.safetensors")
    status, out, err = evaluate(*models, *BOTH, capsys=capsys)
    assert (status, out) == (2, "")
    assert "RUN: they translate in opposite directions" in err


def test_photos_to_labels_are_judged_by_the_nearest_colour(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(folder / "ba.safetensors", replace(HEADER, direction="ba"))
    options = ("--model", "ba.safetensors", *BOTH, "--limit", "5", "--json")
    found = json.loads(evaluate(*options, capsys=capsys)[1])["runs"][0][0]
    translator = load("ba.safetensors", device="cpu")
    palette = Palette(tuple(tuple(int(v) for v in colour) for colour in COLOURS))
    shares = [
        palette.classes(np.asarray(translator(Image.fromarray(photo(number))))) == classes(number)
        for number in evenly_spaced(range(10), 5)
    ]
    assert found["measures"]["label_pixel_accuracy"]["value"] == pytest.approx(np.mean(shares))
    assert {"label_class_accuracy", "label_class_iou"} <= found["measures"].keys()


def test_a_broken_picture_is_told_and_left_out_with_its_partner(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "photos/2.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(folder / "photos/4.png")
    status, out, err = evaluate(
        "--model", "ab.safetensors", *BOTH, "--limit", "5", "--json", capsys=capsys
    )
    ((found,),) = json.loads(out)["runs"]
    assert status == 1
    assert found["counts"] == {"translated": 3, "real": 3, "failed": 2}
    assert "2.png" in err
    assert "4.png: 8x8 px, its partner 48x48" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "RUN: not given"),
        (["x", "--json", "--csv"], "--csv: cannot be combined with --json"),
        (["x", "--model", "ab.safetensors"], "--model: cannot be combined with a run"),
        (["ab.safetensors"], "a file, not a run. Give it with --model"),
        (["labels"], "not a run: it has no config.toml"),
        (["--model", "ab.safetensors"], "--a: not given, and a model file has no held-out"),
        (["--model", "ab.safetensors", "--b", "photos"], "--a: not given, but the model"),
        (["--model", "ab.safetensors", "--a", "labels", "--paired"], "--paired: needs both"),
        (["--model", "ab.safetensors", "--pairs", "none"], "--pairs none: no such folder"),
        (["--model", "ab.safetensors", *BOTH, "--pairs", "labels"], "--pairs: cannot be combined"),
        (["--model", "ab.safetensors", *BOTH, "--from", "b"], "--from b: ab.safetensors"),
        (["--model", "ab.safetensors", *BOTH, "--segmenter", "ab.safetensors"], "not a segmenter"),
        (["--model", "ab.safetensors", *BOTH, "--segmenter", "none"], "none: no such file"),
        (["--model", "ab.safetensors", *BOTH, "--palette", "labels/1.png"], "--palette labels"),
        (["--model", "ab.safetensors", *BOTH, "--lpips", "labels/1.png"], "--lpips labels/1.png"),
        (
            ["--model", "ab.safetensors", *BOTH, "--train-segmenter", "s.safetensors"],
            "--train-segmenter: no real pairs",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_use_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    if "--lpips" in arguments:
        pytest.importorskip("torchmetrics")
    status, out, err = evaluate(*arguments, capsys=capsys)
    assert (status, out) == (2, "")
    assert why in err
    assert len(err.splitlines()) == 1


def test_looks_apart_are_diverse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_model(
        folder / "ab.safetensors", replace(HEADER, generator=CODED_UNET, method="bicyclegan")
    )
    options = ("--model", "ab.safetensors", "--a", "labels", "--limit", "2", "--json")
    found = json.loads(evaluate(*options, "--samples", "3", capsys=capsys)[1])["runs"][0][0]
    assert found["measures"]["diversity_l1"]["value"] > 0
    alone = json.loads(evaluate(*options, "--samples", "1", capsys=capsys)[1])["runs"][0][0]
    assert alone["left_out"]["diversity"] == "needs --samples 2 or more"


@pytest.mark.usefixtures("folder")
def test_figures_of_held_out_pictures_stay_in_each_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--preset", "tiny", "--size", "32", "--steps", "1", "--device", "cpu"]
    data = ["--a", "labels", "--b", "photos", "--method", "pix2pix"]
    for name in ("one", "two"):
        assert cli.run(["train", *data, *settings, "--out", name]) == 0
    capsys.readouterr()
    status, out, err = evaluate("one", *BOTH, "--json", capsys=capsys)
    assert (status, (tmp_path / "one/evaluate.json").exists()) == (0, False)
    status, out, err = evaluate("one", "two", "--json", capsys=capsys)
    assert status == 0
    assert evaluate("one", "--from", "b", capsys=capsys)[:2] == (2, "")  # it learnt one way only
    for column, name in zip(json.loads(out)["runs"], ("one", "two"), strict=True):
        saved = json.loads((tmp_path / name / "evaluate.json").read_text())
        assert saved == {"runs": [column], "partial": False}
        assert "wrote " + str(Path(name, "report.html")) in err
        assert "sliced Wasserstein" in (tmp_path / name / "report.html").read_text()


def test_a_segmenter_is_kept_with_its_classes(tmp_path: Path) -> None:
    palette = Palette(tuple(tuple(int(v) for v in colour) for colour in COLOURS))
    losses: list[float] = []
    segmenter = train_segmenter(
        lambda number: (photo(number), classes(number)),
        count=6,
        palette=palette,
        steps=2,
        tell=lambda _, loss: losses.append(loss),
    )
    segmenter.save(tmp_path / "s.safetensors")
    again = load_segmenter(tmp_path / "s.safetensors")
    found = again.classes(photo(0), size=(96, 90))
    assert len(losses) == 2
    assert again.palette == palette
    assert found.shape == (96, 90)
    assert (found == segmenter.classes(photo(0), size=(96, 90))).all()


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_the_fcn_score_tells_photos_from_noise(capsys: pytest.CaptureFixture[str]) -> None:
    """Through the command line: a segmenter trained on the pairs of a run."""
    settings = ["--preset", "tiny", "--size", "32", "--steps", "1", "--device", "cpu"]
    data = ["--a", "labels", "--b", "photos", "--method", "pix2pix", "--out", "run"]
    assert cli.run(["train", *data, *settings]) == 0
    capsys.readouterr()
    training = ("--train-segmenter", "s.safetensors", "--segmenter-steps", "80")
    status, out, err = evaluate("run", *BOTH, *training, "--json", capsys=capsys)
    assert status == 0
    assert "wrote s.safetensors: 3 classes" in err
    ((found,),) = json.loads(out)["runs"]
    measures = {name: one["value"] for name, one in found["measures"].items()}
    assert measures["fcn_real_pixel_accuracy"] > 0.7
    assert measures["fcn_pixel_accuracy"] < measures["fcn_real_pixel_accuracy"] - 0.2


@pytest.mark.slow
def test_the_ablations_of_the_page_are_trained_and_ranked(folder: Path) -> None:
    """In a real bash, as a reader copies them, with small networks."""
    page = Path(__file__).parents[2] / "docs/evaluate.md"
    (block,) = re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    for side, name in (("horses", "labels"), ("zebras", "photos")):
        (folder / name).rename(folder / side)
        for number in range(10, 20):  # of which a tenth is held out
            Image.fromarray(photo(number)).save(folder / side / f"{number}.png")
    small = "train --preset tiny --size 32 --steps 2 --device cpu"
    block = block.replace("imgtranslate train", f"imgtranslate {small}")
    program = f'imgtranslate() {{ "{sys.executable}" -m imgtranslate "$@"; }}\nset -e\n{block}'
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("cycle-alone", "gan-alone", "gan-forward", "gan-backward", "full"):
        assert done.stdout.count(f"  runs/{name} ") == 2  # a measure of each direction
    weights = tomllib.loads((folder / "runs/gan-forward/config.toml").read_text())["method"]
    assert (weights["lambda_a"], weights["lambda_b"]) == (10, 0)
