"""The folder of the page: what is written, what is refused, what comes from outside."""

import json
import re
from base64 import b64decode
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.models import CODED_UNET, model_header, save_both, save_model
from fixtures.pages import Tags, empty_runtime

from imgtranslate import cli
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.exporting import web
from imgtranslate.exporting.export import FLOAT, ExportResult
from imgtranslate.exporting.proof import Comparison, Proof, Speed, Tolerance
from imgtranslate.exporting.web import (
    RUNTIME_FILES,
    check_picture,
    export_web,
    refuse_web_output,
)
from imgtranslate.model_files.checkpoint import read_model_header
from imgtranslate.pages.web import page_files, title_of
from imgtranslate.translation.translator import load

MODEL = {
    "name": "ab", "direction": "ab", "source": "horses", "target": "zebras", "in_channels": 3,
    "out_channels": 3, "latent_dim": 0, "crop_size": 64,
}  # fmt: skip
HOSTILE = "</script><img src=x onerror=alert(1)>$title ${policy}"


def config_of(index: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="imgtranslate">(.*?)</script>', index)
    assert found is not None
    config = json.loads(found[1])
    assert isinstance(config, dict)
    return config


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports that take no time and prove nothing."""
    compared = Comparison(batch=1, height=1, width=1, largest=0.25, mean=0.0)
    proof = Proof(
        comparisons=(compared,),
        speed=Speed(model=1, export=1),
        tolerance=Tolerance(largest=1, mean=1),
    )

    def export(model: Path, output: Path, **_: object) -> Any:
        output.write_bytes(b"onnx" * 5)
        header = read_model_header(model)
        return ExportResult(path=output, size=20, header=header, form=FLOAT, proof=proof)

    monkeypatch.setattr(web, "export_model", export)


@pytest.mark.usefixtures("quick")
def test_a_run_becomes_a_folder_with_both_directions(tmp_path: Path) -> None:
    run = save_both(tmp_path / "run")
    runtime = empty_runtime(tmp_path / "package")
    exported = export_web(run, tmp_path / "pages" / "page", runtime=runtime)
    folder = exported.folder
    config = config_of((folder / "index.html").read_text("utf-8"))
    assert config["engine"] == "browser"
    assert [(m["direction"], m["file"], m["target"]) for m in config["models"]] == [
        ("ab", "ab.onnx", "zebras"),
        ("ba", "ba.onnx", "horses"),
    ]
    for model, result in zip(config["models"], exported.models, strict=True):
        file = folder / model["file"]
        assert (result.path, result.size) == (file, file.stat().st_size)
        assert model["size"] == file.stat().st_size
        assert model["max_pixels"] == 2**31 // 160
    assert {path.name for path in (folder / "runtime").iterdir()} == {*RUNTIME_FILES}
    assert exported.size == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert [path.name for path in folder.parent.iterdir()] == ["page"]


@pytest.mark.slow
def test_the_page_knows_what_the_model_makes_of_a_picture(tmp_path: Path) -> None:
    header = model_header(CODED_UNET, method="bicyclegan", in_channels=1)
    model = save_model(tmp_path / "ab.safetensors", header)
    export_web(model, tmp_path / "page", runtime=empty_runtime(tmp_path / "package"))
    (told,) = config_of((tmp_path / "page/index.html").read_text("utf-8"))["models"]
    assert told["latent_dim"] == 8
    exported = load(tmp_path / "page/ab.onnx")
    z = np.full(8, 0.5, np.float32)
    found = exported.translate_pixels(check_picture(header.in_channels), z=z)
    expected = np.frombuffer(b64decode(told["check"]["expected"]), np.uint8)
    assert np.abs(found.astype(int) - expected.reshape(found.shape)).max() <= 1
    assert np.ptp(expected) > 100


def test_without_the_runtime_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_model(tmp_path / "ab.safetensors")
    command = ["export", "--model", str(model), "--format", "web", "-o", str(tmp_path / "page")]
    assert cli.run(command) == 2
    assert cli.run([*command, "--runtime", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "npm pack onnxruntime-web@1.30.0" in lines[0]
    assert lines[1].startswith(f"error: --runtime {tmp_path}: ")
    assert not (tmp_path / "page").exists()


@pytest.mark.usefixtures("quick")
def test_the_command_says_how_to_open_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_model(tmp_path / "ab.safetensors")
    page, report = tmp_path / "a page", tmp_path / "report.json"
    command = ["export", "--model", str(model), "--format", "web", "-o", str(page)]
    runtime = ["--runtime", str(empty_runtime(tmp_path / "package")), "--report", str(report)]
    assert cli.run([*command, *runtime]) == 0
    told = capsys.readouterr().out
    assert "0.25/255, horses to zebras" in told
    assert f"python -m http.server --bind 127.0.0.1 --directory '{page}' 8000" in told
    assert [one["path"] for one in json.loads(report.read_text())] == [str(page / "ab.onnx")]
    assert cli.run([*command, *runtime, "--io", "uint8"]) == 2
    assert capsys.readouterr().err.startswith("error: --format web: ")


@pytest.mark.usefixtures("quick")
def test_only_a_page_is_replaced(tmp_path: Path) -> None:
    model = save_model(tmp_path / "ab.safetensors")
    runtime = empty_runtime(tmp_path / "package")
    page, other = tmp_path / "page", tmp_path / "other"
    other.mkdir()
    export_web(model, other, runtime=runtime)  # an empty folder will do
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/index.html").write_text("mine")
    (tmp_path / "file").write_text("mine")
    export_web(model, page, runtime=runtime)
    (page / "notes.txt").write_text("mine")
    (page / "index.html").write_text("old")
    with pytest.raises(UsageError, match="`overwrite`"):
        export_web(model, page, runtime=runtime)
    export_web(model, page, runtime=runtime, overwrite=True)
    assert config_of((page / "index.html").read_text("utf-8"))["models"]
    assert (page / "notes.txt").read_text() == "mine"
    for name in ("texts", "file"):
        with pytest.raises(UsageError, match=name):
            refuse_web_output(tmp_path / name, overwrite=True)


def test_a_model_that_fails_its_proof_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path, output: Path, **__: object) -> None:
        output.write_text("half")
        raise ImgTranslateError(f"{output}: not written: it differs. Use the model itself")

    monkeypatch.setattr(web, "export_model", refuse)
    model = save_model(tmp_path / "models/ab.safetensors")
    page = tmp_path / "out/page"
    with pytest.raises(ImgTranslateError, match="not written") as caught:
        export_web(model, page, runtime=empty_runtime(tmp_path / "package"))
    assert str(caught.value).startswith(f"{page / 'ab.onnx'}: ")
    assert list(page.parent.iterdir()) == []


def test_channels_that_a_browser_does_not_show_are_refused(tmp_path: Path) -> None:
    model = save_model(tmp_path / "ab.safetensors", model_header(in_channels=2))
    with pytest.raises(UsageError, match=r"has 2 channels.*`format` onnx"):
        export_web(model, tmp_path / "page", runtime=empty_runtime(tmp_path / "package"))
    assert not (tmp_path / "page").exists()


def test_names_from_outside_are_text() -> None:
    index = page_files("server", [{**MODEL, "target": HOSTILE}])["index.html"]
    assert config_of(index)["models"][0]["target"] == HOSTILE
    assert config_of(index)["engine"] == "server"
    tags = Tags(index).tags
    assert sum(tag == "script" for tag, _ in tags) == 2
    assert not any("onerror" in attributes for _, attributes in tags)
    assert HOSTILE in unescape(index.partition("<title>")[2].partition("</title>")[0])


def test_the_title_says_which_ways_there_are() -> None:
    back = {**MODEL, "source": "zebras", "target": "horses"}
    night = {**MODEL, "target": "night"}
    assert title_of([MODEL]) == "horses → zebras"
    assert title_of([MODEL, back]) == "horses ⇄ zebras"
    assert title_of([MODEL, night]) == "horses → zebras"


def test_nothing_is_loaded_from_elsewhere() -> None:
    files = page_files("browser", [MODEL])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', files["index.html"])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    local = {"'self'", "'none'", "blob:", "data:", "'wasm-unsafe-eval'"}
    assert {source for rule in rules.values() for source in rule.split()} <= local
    for name, text in files.items():
        assert set(re.findall(r"https?://[^\s<\"'`]+", text)) <= {"http://localhost:8000"}, name


def test_every_part_that_is_named_is_there() -> None:
    files = page_files("browser", [MODEL])
    for name, text in files.items():
        parts = re.findall(r'from "\./([^"]+)"|(?:src|href)="([^":]+)"', text)
        assert {a or b for a, b in parts} <= {*files}, name
    wanted = set(re.findall(r'at\("([\w-]+)"\)|show\("([\w-]+)"', files["page.js"]))
    ids = set(re.findall(r'id="([\w-]+)"', files["index.html"]))
    assert {a or b for a, b in wanted} <= ids
