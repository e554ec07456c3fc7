import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.models import CODED_UNET, model_header, save_both, save_model
from fixtures.pages import Tags, data_of
from fixtures.pictures import save_picture
from fixtures.runs import make_run
from PIL import Image

from imgtranslate import cli
from imgtranslate.errors import CheckpointError, ImgTranslateError
from imgtranslate.evaluation.evaluate.schema import EvaluationFile
from imgtranslate.evaluation.report.checks import ROWS
from imgtranslate.evaluation.report.curves import POINTS, read_log
from imgtranslate.evaluation.report.pictures import CODES, PICTURES_BYTES, SAMPLES_BYTES
from imgtranslate.evaluation.report.report import save_check, write_report
from imgtranslate.pages import number, render, shown
from imgtranslate.pages.embed import to_webp
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import BicycleGanConfig, CutConfig, Pix2PixConfig
from imgtranslate.training import train
from imgtranslate.translation.translator import load

LIMIT = 10_000_000  # bytes
HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    "<!--<script>.png",
    "&lt;b&gt; \"quoted\" 'too'.png",
    "\u202egnp.exe\u202c\x1b[31m\r\n.png",
    "$title ${data} $$.png",
]


def report(run: Path, **options: Any) -> dict[str, Any]:
    return data_of(write_report(run, device="cpu", **options))


# Safe by construction


def test_a_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = Tags(write_report(make_run(tmp_path), device="cpu").read_text("utf-8"))
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img"}
        assert not {"src", "href", "srcset", "style", "action"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")]
    code = page.inside["style"] + page.inside["script"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|fetch\(", code)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", code)


def test_the_policy_allows_this_style_and_this_script_alone(tmp_path: Path) -> None:
    page = Tags(write_report(make_run(tmp_path), device="cpu").read_text("utf-8"))
    (policy,) = [a["content"] or "" for _, a in page.tags if "http-equiv" in a]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inside[name].encode()).digest()).decode()
        assert rules.pop(f"{name}-src") == f"'sha256-{digest}'"
    assert not rules


def test_names_from_outside_are_never_markup(tmp_path: Path) -> None:
    files = [save_picture(tmp_path / "held_a" / name, seed=n) for n, name in enumerate(HOSTILE)]
    folder = tmp_path / "</script><script>alert(1)<"
    run = make_run(
        tmp_path / "x", held_out=(files, files), names=("</title><script>x</script>", "$a & <b>")
    )
    rows = [{"step": 1, "</script><i>": 1.0, "health": {"say": "<b>bold</b>"}}]
    (run / "metrics.jsonl").write_text(json.dumps(rows[0]) + "\n")
    folder.parent.mkdir(parents=True)
    run = run.rename(folder)
    hostile = write_report(run, device="cpu").read_text("utf-8")
    plain = write_report(make_run(tmp_path / "y"), device="cpu").read_text("utf-8")
    assert Tags(hostile).tags[4:] == Tags(plain).tags[4:]
    assert [tag for tag, _ in Tags(hostile).tags] == [tag for tag, _ in Tags(plain).tags]
    block = Tags(hostile).inside["data"]
    assert block.isascii()
    assert not {"<", ">", "&"} & set(block)
    data = json.loads(block)
    assert [row["name"] for row in data["pictures"]][: len(files)] == [shown(n) for n in HOSTILE]
    assert "Step 1: <b>bold</b>" in data["warnings"]
    assert "</script><i>" in {curve["name"] for curve in data["curves"]}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("häuser 馬.png", "häuser 馬.png"),
        ("a\x1b[2J\n", "a\\x1b[2J\\n"),
        ("\u202egpj", "\\u202egpj"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_control_codes_are_spelled_out(text: str, wanted: str) -> None:
    assert shown(text) == wanted


def test_long_names_are_cut_in_the_middle() -> None:
    text = "begin" + "x" * 5000 + "end.png"
    assert len(shown(text)) == 160
    assert shown(text).startswith("begin")
    assert shown(text).endswith("end.png")


def test_a_number_that_json_cannot_hold_is_none() -> None:
    assert [number(v) for v in (1 / 3, float("nan"), float("inf"), None)] == [
        0.333333,
        None,
        None,
        None,
    ]
    with pytest.raises(ValueError, match="JSON"):
        render("report", {"x": float("nan")}, title="t")


# What it says


def test_each_held_out_picture_has_its_numbers_and_pictures(tmp_path: Path) -> None:
    data = report(make_run(tmp_path))
    rows = data["pictures"]
    assert [(row["name"], row["direction"]) for row in rows] == [
        ("1.png", "ab"), ("2.png", "ab"), ("1.png", "ba"), ("2.png", "ba"),
    ]  # fmt: skip
    for row in rows:
        assert 0 < row["error"] < 1
        assert 0 < row["change"] < 1
        assert len(row["pictures"]) == 3
        assert all(p.startswith("data:image/webp;base64,") for p in row["pictures"])
    assert data["names"] == {"a": "horses", "b": "zebras"}


def test_the_numbers_are_those_of_a_cycle_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    assert cli.run(["cycle-check", "--run", str(run), "--json", "--device", "cpu"]) == 0
    checked = json.loads(capsys.readouterr().out)["images"]
    rows = report(run)["pictures"]
    for row, wanted in zip(rows, checked, strict=True):
        assert row["error"] == pytest.approx(wanted["mae"], rel=1e-5)
        assert row["psnr"] == pytest.approx(wanted["psnr"], rel=1e-5)
        assert row["change"] == pytest.approx(wanted["change"], rel=1e-5)


def test_a_model_without_a_way_back_shows_what_it_keeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, method=CutConfig())
    (run / "ba.safetensors").unlink()
    data = report(run)
    assert not data["paired"]
    assert not data["back"]
    assert [row["direction"] for row in data["pictures"]] == ["ab", "ab"]
    assert all(len(row["pictures"]) == 2 for row in data["pictures"])
    assert lacking(data)["verdict"][1] == f"imgtranslate cycle-check --run {run}"
    assert not data["warnings"]

    assert cli.run(["cycle-check", "--run", str(run), "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    data = report(run)
    for row, wanted in zip(data["pictures"], found["images"], strict=True):
        assert row["content"] == pytest.approx(wanted["content"], abs=1e-5)
        assert row["change"] == pytest.approx(wanted["change"], rel=1e-5)
    assert [row["content"] for row in data["checked"]] == [
        row["content"] for row in data["pictures"]
    ]
    (table,) = data["checks"]
    assert table["title"] == "cycle-check, horses → zebras"
    wanted = ["content agrees", "  with other pictures", "change", "brightness agrees", "identity"]
    assert [row[0] for row in table["rows"]] == wanted
    assert [one["verdicts"][0] for one in data["verdicts"]] == [found["verdict"]]


def test_pairs_are_held_against_their_truth(tmp_path: Path) -> None:
    run = make_run(tmp_path, method=Pix2PixConfig())
    (run / "ba.safetensors").unlink()
    data = report(run)
    assert data["paired"]
    assert [row["direction"] for row in data["pictures"]] == ["ab", "ab"]
    with Image.open(tmp_path / "held_b/1.png") as truth:
        wanted = to_webp(np.asarray(truth), side=360, most_bytes=10**6)
    assert base64.b64decode(data["pictures"][0]["pictures"][2].split(",")[1]) == wanted


def test_the_verdict_of_a_pair_method_rests_on_the_truth(tmp_path: Path) -> None:
    numbers = ({"validation": 0.5}, {"validation": 0.4, "health": {"x": "it is ill"}})
    rows = [{"step": 10 * n, "lr": 0.1, **each} for n, each in enumerate(numbers, 1)]
    run = make_run(tmp_path, method=Pix2PixConfig(), rows=rows)
    (run / "ba.safetensors").unlink()
    data = report(run)
    (verdict,) = data["verdicts"]
    assert (verdict["direction"], verdict["count"], verdict["step"]) == ("ab", 2, 1)
    assert verdict["good"] is False
    assert verdict["verdicts"] == ["too few pairs", "warned in training"]
    error, untouched = (
        sum(row[key] for row in data["pictures"]) / 2 for key in ("error", "untouched")
    )
    assert next(one["text"] for one in verdict["reasons"] if not one["bad"]) == (
        f"The error against the truth is {error:.3f}, that of the untouched input {untouched:.3f}."
    )
    with Image.open(tmp_path / "held_a/1.png") as a, Image.open(tmp_path / "held_b/1.png") as b:
        apart = np.abs(np.asarray(a).astype(float) - np.asarray(b)).mean() / 255
    assert data["pictures"][0]["untouched"] == pytest.approx(apart, rel=1e-5)
    assert data["validation"] == {
        "first": {"step": 10, "value": 0.5},
        "last": {"step": 20, "value": 0.4},
        "best": {"step": 20, "value": 0.4},
    }
    assert "verdict" not in lacking(data)  # there is no cycle to check


def coded_run(folder: Path, **options: Any) -> Path:
    run = make_run(folder, method=BicycleGanConfig(), **options)
    (run / "ba.safetensors").unlink()
    save_model(run / "ab.safetensors", model_header(CODED_UNET, load_size=32, crop_size=32))
    return run


def test_a_model_with_a_code_shows_samples_and_their_diversity(tmp_path: Path) -> None:
    run = coded_run(tmp_path)
    row = report(run)["pictures"][0]
    model = load(run, device="cpu")
    with Image.open(tmp_path / "held_a/1.png") as image:
        real = np.asarray(image)
    fakes = [model.translate_pixels(real, z=model.draw(seed, real)) for seed in range(CODES)]
    shown_as = [row["pictures"][1], *row["samples"]]
    for address, fake in zip(shown_as, fakes, strict=True):
        wanted = to_webp(fake, side=360, most_bytes=10**6)
        assert base64.b64decode(address.split(",")[1]) == wanted
    apart = [
        np.abs(x.astype(float) - y).mean() / 255 for n, x in enumerate(fakes) for y in fakes[:n]
    ]
    assert row["diversity"] == pytest.approx(float(np.mean(apart)), rel=1e-5)
    assert report(make_run(tmp_path / "other"))["pictures"][0]["samples"] == []


def test_pictures_much_larger_than_the_training_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = [save_picture(tmp_path / f"large/{n}.png", size=(49, 60), seed=n) for n in (1, 2)]
    run = make_run(tmp_path, held_out=(large, large))
    (line,) = [line for line in report(run)["warnings"] if "shorter side" in line]
    assert line.startswith(f"{large[0]}: its shorter side is more than 3 times the 16 px of the ")
    assert cli.run(["report", str(run), "--device", "cpu"]) == 0
    assert f"warning: {line}" in capsys.readouterr().err


def test_settings_that_differ_stand_first(tmp_path: Path) -> None:
    rows = report(make_run(tmp_path))["settings"]
    assert [row["differs"] for row in rows] == sorted(
        (row["differs"] for row in rows), reverse=True
    )
    differing = {row["name"]: (row["value"], row["usual"]) for row in rows if row["differs"]}
    assert differing["generator.base_channels"] == ("4", "64")
    assert "optimizer.lr" not in differing
    assert {"optimizer.lr", "train.seed", "data.a"} <= {row["name"] for row in rows}


def test_the_command_trains_the_same_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "with space")
    command = report(run)["recipe"]["command"]
    assert command == (
        f"imgtranslate train --config '{run / 'config.toml'}' --out '{run.parent / 'run-again'}'"
    )


SPREAD = {"mean": 0.25, "std": 0.125, "low": 0.2, "high": 0.3, "count": 2}
FOUND = {  # as the commands leave it
    "cycle-check": {
        "images": [
            {"path": "x/1.png", "direction": "ab", "mae": 0.25, "psnr": None, "ssim": 1},
            {"path": "x/2.png", "direction": "ba", "mae": None, "error": "<damaged>"},
            7,
        ],
        "summary": {
            "directions": {
                "ab": {
                    "count": 2,
                    "mae": SPREAD,
                    "verdict": "collapsed",
                    "findings": [{"verdict": "collapsed"}, {"verdict": "does <b>nothing"}],
                    "reason": "all alike",
                }
            }
        },
        "steps": {"ab": 1, "ba": 1},
        "verdict": "collapsed",
    },
    "evaluate": {
        "runs": [
            [
                {
                    "direction": "ba",
                    "step": 1,
                    "counts": {"translated": 12},
                    "sizes": ["16x16", "24x16"],
                    "measures": {
                        "swd": {
                            "value": 3.14159,
                            "interval": [0.5, 4],
                            "count": 12,
                            "better": "lower",
                        }
                    },
                    "left_out": {"LPIPS": "no weights"},
                }
            ]
        ]
    },
}


def leave(run: Path, found: Mapping[str, Any] = FOUND) -> Path:
    for name, tree in found.items():
        (run / f"{name}.json").write_text(json.dumps(tree))
    return run


def test_what_other_checks_left_is_shown(tmp_path: Path) -> None:
    data = report(leave(make_run(tmp_path)))
    first, second = data["checked"]
    assert (first["name"], first["error"], first["psnr"], first["ssim"]) == ("1.png", 0.25, None, 1)
    assert second["fault"] == "<damaged>"
    (verdict,) = data["verdicts"]
    assert verdict == {
        "direction": "ab",
        "good": False,
        "verdicts": ["collapsed", "does <b>nothing"],
        "reasons": [{"text": "all alike", "bad": False}],
        "count": 2,
        "step": 1,
    }
    cycle, evaluated = data["checks"]
    assert cycle["title"] == "cycle-check, horses → zebras and back"
    assert cycle["heads"][0] == "2 pictures"
    assert ["error, fake saved as 8 bits", "0.2500", "0.1250", "0.2000 to 0.3000"] in cycle["rows"]
    assert evaluated["title"] == "evaluate, zebras → horses"
    assert evaluated["heads"][0] == "step 1, 12 pictures, 16x16 to 24x16 px"
    assert evaluated["rows"] == [["sliced Wasserstein distance ↓", "3.14", "0.5000 to 4.00", "12"]]
    assert evaluated["notes"] == ["left out: LPIPS: no weights"]
    assert not data["warnings"]


def lacking(data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Part, sentence and command of all that a page says is missing."""
    return {one["part"]: (one["text"], one["command"]) for one in data["missing"]}


def test_the_page_says_which_command_adds_what_is_missing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "with space")
    assert lacking(report(run)) == {
        "verdict": (
            "cycle-check has not been run on the held-out pictures.",
            f"imgtranslate cycle-check --run '{run}'",
        ),
        "checks": (
            "evaluate has not been run on the held-out pictures.",
            f"imgtranslate evaluate '{run}'",
        ),
        "curves": ("The training is at step 1 of 200.", f"imgtranslate train --resume '{run}'"),
    }
    assert lacking(report(leave(run))).keys() == {"curves"}


def test_a_run_that_ended_early_says_why(tmp_path: Path) -> None:
    rows = [{"step": 10 * n, "validation": value} for n, value in enumerate((2, 1, 3, 4), 1)]
    run = Run(make_run(tmp_path, rows=rows))
    settings, record = run.read_config()
    run.write_config(replace(settings, train=replace(settings.train, patience=2)), record)
    assert lacking(report(run.folder))["curves"] == (
        "The training ended at step 40 of 200: no gain in 2 validations.",
        f"imgtranslate train --resume {run.folder} --set train.patience=0",
    )


def test_a_check_of_older_models_is_missing(tmp_path: Path) -> None:
    run = leave(make_run(tmp_path))
    save_both(run, step=9)
    found = lacking(report(run))
    for part, name in (("verdict", "cycle-check"), ("checks", "evaluate")):
        text, command = found[part]
        assert text == f"{name} measured the models of step 1. The run now has step 9."
        assert command.startswith(f"imgtranslate {name} ")


@pytest.mark.parametrize(("held_out", "command"), [(0, True), (8, False)])
def test_a_run_without_held_out_pictures_says_how_to_hold_some_out(
    tmp_path: Path, held_out: int, command: bool
) -> None:
    run = Run(make_run(tmp_path, held_out=((), ())))
    settings, record = run.read_config()
    data = replace(settings.data, held_out=held_out)
    run.write_config(replace(settings, data=data), record)
    text, said = lacking(report(run.folder))["pictures"]
    assert text.startswith("No pictures are held out")
    again = f"--out {run.folder}-again"
    assert said == (
        f"imgtranslate train --config {run.config} --set data.held_out=8 {again}" if command else ""
    )
    assert ("10 or more" in text) is not command


@pytest.mark.parametrize(
    "text",
    [
        '{"l1": NaN, "deep": ',
        "[" * 10**5,
        '{"summary": {"directions": {"ab": 7, "ba": {"findings": [3], "count": NaN, "mae": 9}}}, '
        '"runs": [[3, {"sizes": 4, "measures": {"x": 1}, "step": 1e999}]], "images": {}, '
        '"steps": {"ab": NaN, "ba": "x"}}',
        '{"summary": [], "runs": {"a": 1}, "images": [{"path": 1, "direction": [], "mae": "x"}]}',
        "[1, 2]",
    ],
)
def test_edited_checks_do_no_harm(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path)
    for name in FOUND:
        (run / f"{name}.json").write_text(text)
    data = report(run)
    damaged = [f"{name}.json is damaged and not shown." for name in FOUND]
    assert data["warnings"] == ([] if text.endswith(("}", "]")) else damaged)


def test_a_check_is_kept_in_the_run_and_on_its_page(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    check = EvaluationFile.model_validate(FOUND["evaluate"])
    page = save_check(run, check, device="cpu")
    assert page == run / "report.html"
    assert json.loads((run / "evaluate.json").read_text()) == FOUND["evaluate"]
    assert data_of(page)["checks"][0]["title"] == "evaluate, zebras → horses"


# Runs that lack something


def test_a_bare_run_has_a_page_that_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, held_out=((), ()))
    (run / "metrics.jsonl").unlink()
    (run / "samples/step_0000001.png").write_bytes(b"no picture")
    data = report(run)
    assert data["pictures"] == data["curves"] == data["samples"] == []
    text = " ".join(data["warnings"])
    assert "metrics.jsonl is missing" in text
    assert "No pictures are held out" in lacking(data)["pictures"][0]
    assert "A sample cannot be shown" in text


def test_folders_models_and_pictures_may_be_gone(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (tmp_path / "held_a/1.png").write_bytes(b"damaged")
    rows = report(run)["pictures"]
    assert "fault" in rows[0]
    assert all("pictures" in row for row in rows[1:])
    (run / "ab.safetensors").unlink()
    assert "No pictures were translated" in " ".join(report(run)["warnings"])
    (tmp_path / "a/train.png").rename(tmp_path / "elsewhere.png")
    assert "have moved" in " ".join(report(run)["warnings"])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a run"):
        write_report(tmp_path)


def test_a_page_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    page = write_report(run, device="cpu", count=1)
    before = page.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImgTranslateError, match="disk is full"):
        write_report(run, device="cpu", count=1)
    assert page.read_bytes() == before
    assert not list(run.glob(".imgtranslate-*"))


# Size


def test_5000_pictures_stay_below_the_limit(tmp_path: Path) -> None:
    one = save_picture(tmp_path / "noise.png", size=(360, 360))
    (tmp_path / "many").mkdir()
    files = [tmp_path / f"many/{n:04}{'馬' * 60}.png" for n in range(5000)]
    for path in files:
        path.hardlink_to(one)
    run = make_run(tmp_path, held_out=(files, files))
    strip = save_picture(tmp_path / "strip.png", size=(1300, 900))
    for step in range(1, 5):
        (run / f"samples/step_{step:07}.png").hardlink_to(strip)
    row = {"direction": "ab", "mae": 0.5, "psnr": 9.0, "change": 0.1, "error": None}
    images = [{"path": str(path), **row} for path in files]
    (run / "cycle-check.json").write_text(json.dumps({"images": images, "verdict": "healthy"}))
    write_rows(run, 2000, names=60)
    page = write_report(run, device="cpu", count=6)
    assert page.stat().st_size < LIMIT
    data = data_of(page)
    assert len(data["pictures"]) == 12
    assert data["pictures"][5]["name"].startswith("4999")  # spread from the first to the last
    assert data["samples"][-1]["step"] == 4
    assert len(data["checked"]) == ROWS == 5000


def test_pictures_with_samples_stay_within_their_bytes(tmp_path: Path) -> None:
    one = save_picture(tmp_path / "noise.png", size=(360, 360))
    files = [tmp_path / f"many/{n:03}.png" for n in range(16)]
    files[0].parent.mkdir()
    for path in files:
        path.hardlink_to(one)
    page = write_report(coded_run(tmp_path, held_out=(files, files)), device="cpu", count=16)
    assert page.stat().st_size < LIMIT
    rows = data_of(page)["pictures"]
    addresses = [address for row in rows for address in (*row["pictures"], *row["samples"])]
    assert len(addresses) == 16 * (2 + CODES)
    assert sum(map(len, addresses)) < (PICTURES_BYTES + SAMPLES_BYTES) * 1.34 + 100 * len(addresses)


def test_a_picture_is_shrunk_until_it_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    content = to_webp(noise, side=360, most_bytes=5000)
    assert len(content) <= 5000
    assert content[8:12] == b"WEBP"


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_channels_can_be_shown(channels: int) -> None:
    assert to_webp(np.zeros((9, 8, channels), np.uint8), side=9, most_bytes=10**4)


# Curves


def write_rows(run: Path, count: int, *, names: int = 2) -> None:
    rows = (
        json.dumps({"step": 50 * n, "epoch": 1, **{f"m{k}": float(n % 7) for k in range(names)}})
        for n in range(1, count + 1)
    )
    (run / "metrics.jsonl").write_text("\n".join(rows))


def test_few_rows_are_kept_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "x": 2}\n{"step": 2, "x": 3.5, "y": 1}\n{"step": 3'
    )
    log = read_log(Run(tmp_path))
    x, y = (curve.to_json() for curve in log.curves)
    assert x == {"name": "x", "steps": [1, 2], "mean": [2, 3.5], "low": [], "high": []}
    assert (y["steps"], y["mean"]) == ([2], [1])
    assert (log.rows, log.last_step) == (2, 2)


def test_what_is_no_number_is_told_and_left_out(tmp_path: Path) -> None:
    lines = ['{"step": 1, "x": NaN}', '{"step": 2, "x": Infinity}', '{"step": 3, "x": 4}']
    more = ['{"step": 4, "x": null}', '{"step": "5", "x": 1}', "[1]", '{"step": NaN, "x": 1}']
    run = make_run(tmp_path)
    (run / "metrics.jsonl").write_text("\n".join([*lines, *more, "1" * 5000, "[" * 10**5]))
    data = report(run, count=0)
    assert [(c["name"], c["steps"], c["mean"]) for c in data["curves"]] == [("x", [3], [4])]
    assert "x was not finite at step 1, 2." in data["warnings"]


def test_many_rows_are_thinned_and_no_spike_is_lost(tmp_path: Path) -> None:
    with (tmp_path / "metrics.jsonl").open("w") as file:
        file.writelines(
            f'{{"step": {n}, "lr": 0.0002, "x": {1000.0 if n == 123_456 else 1.0}}}\n'
            for n in range(1, 300_001)
        )
    began = time.process_time()
    log = read_log(Run(tmp_path))
    assert time.process_time() - began < 20
    curve = next(curve for curve in log.curves if curve.name == "x")
    plain = curve.to_json()
    assert len(plain["steps"]) == len(plain["mean"]) == len(plain["high"]) == POINTS
    assert plain["steps"][-1] == 300_000
    assert max(plain["high"]) == 1000
    assert min(plain["low"]) == 1
    assert max(plain["mean"]) == pytest.approx(1 + 999 / 750)


def test_a_schedule_keeps_its_values(tmp_path: Path) -> None:
    """A mean over the step where the rate falls would be a rate that never was."""
    rates = [1.0 if n < 500 else 0.1 for n in range(1, 1001)]
    rows = (json.dumps({"step": n, "lr": rate, "x": rate}) for n, rate in enumerate(rates, 1))
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows))
    rate, loss = (curve.to_json() for curve in read_log(Run(tmp_path)).curves)
    assert len(rate["steps"]) == POINTS
    assert rate["mean"] == [rates[step - 1] for step in rate["steps"]]
    assert rate["low"] == rate["high"] == []
    assert set(loss["mean"]) - {0.1, 1}


# The commands


def test_the_command_prints_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    assert cli.run(["report", str(run), "--device", "cpu", "-o", str(tmp_path / "p.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'p.html'}\n"
    assert cli.run(["report", str(run), "-o", str(tmp_path)]) == 2
    assert cli.run(["report", str(tmp_path)]) == 2
    assert "not a run" in capsys.readouterr().err


def test_a_training_ends_with_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("a", "b"):
        for n in range(12):
            save_picture(tmp_path / side / f"{n}.png", seed=n, size=(40, 40))
    result = train.train(
        a=tmp_path / "a",
        b=tmp_path / "b",
        out=tmp_path / "run",
        preset="tiny",
        device="cpu",
        settings={"data.crop_size": 32, "train.steps": 2, "train.log_every": 1},
    )
    data = data_of(result.run / "report.html")
    assert data["progress"]["step"] == data["progress"]["total"] == 2
    assert [row["direction"] for row in data["pictures"]] == ["ab", "ba"]
    assert data["facts"]
    assert any("few" in text or "200" in text for text in data["warnings"])

    def refused(*_: object, **__: object) -> None:
        raise ImgTranslateError("report.html: cannot be written: the disk is full. Free some")

    events: list[object] = []
    monkeypatch.setattr(train, "write_report", refused)
    result = train.resume(
        result.run, settings={"train.steps": 3}, device="cpu", report=events.append
    )
    assert result.finished
    assert "the report could not be written: report.html: cannot be written" in str(events)
