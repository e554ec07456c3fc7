import json
from pathlib import Path

import pytest
import torch
from fixtures.command import run
from fixtures.models import RESNET, model_header, save_model
from fixtures.pictures import save_picture

from imgtranslate.builders import build_generator
from imgtranslate.exporting.export import export_model
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import StateHeader
from imgtranslate.settings.parsing import build_settings
from imgtranslate.settings.presets import METHODS, PRESETS, kind_of_method, name_of_method


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    model = save_model(folder / "plain.safetensors", model_header(step=1234))
    export_model(model, folder / "plain.onnx")
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run("info", *arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_info_of_a_model(folder: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / f"plain.{suffix}"
    text = told(capsys, path)
    for part in ("horses to zebras", "1 block, 4 channels wide", "1,234 steps", "64 px"):
        assert part in text
    assert f"$ imgtranslate translate in.jpg --model {path}" in text
    found = json.loads(told(capsys, path, "--json"))
    assert found["kind"] == {"safetensors": "model", "onnx": "export"}[suffix]
    assert found["header"]["source"] == "horses"


def test_info_counts_parameters_without_loading_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = build_generator(RESNET, in_channels=3, out_channels=3)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"parameters  {count:,}" in told(capsys, folder / "plain.safetensors")


def test_info_of_a_run_and_its_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("horses", "zebras"):
        save_picture(tmp_path / side / "x.png", size=(32, 32))
    sides = ["--a", tmp_path / "horses", "--b", tmp_path / "zebras"]
    small = ["--size", "16", "--steps", "1", "--set", "discriminator.num_layers=1"]
    out = tmp_path / "my run"
    options = ["--preset", "tiny", "--device", "cpu", "--out", out]
    assert run("train", *sides, *small, *options) == 0
    text = told(capsys, out)
    for part in ("horses to zebras, by cyclegan", "1 and 1", "16 px", "ab.safetensors"):
        assert part in text
    assert f"$ imgtranslate train --resume '{out}'" in text
    assert f"--resume '{out}'" in told(capsys, out / "state.safetensors")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_method_keeps_its_name(method: str, preset: str) -> None:
    """Also with other weights of its losses, another size and another learning rate."""
    weight = "lambda_l1" if "pix2pix" in METHODS[method]["method"]["kind"] else "lambda_gan"
    if METHODS[method]["method"]["kind"] == "cyclegan":
        weight = "lambda_a"
    change = {"method": {weight: 7.0}, "optimizer": {"lr": 1e-4}, "data": {"a": "a", "b": "b"}}
    for layer in ({"data": change["data"]}, change):
        settings = build_settings(method=method, preset=preset, layers=[layer])
        assert name_of_method(settings) == method
    assert kind_of_method(method) == settings.method.kind


def test_info_names_the_variant_of_a_run_and_its_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("horses", "zebras"):
        save_picture(tmp_path / side / "x.png", size=(32, 32))
    sides = ["--a", tmp_path / "horses", "--b", tmp_path / "zebras"]
    small = ["--size", "32", "--steps", "1", "--method", "dualgan", "--preset", "tiny"]
    assert run("train", *sides, *small, "--device", "cpu", "--out", tmp_path / "run") == 0
    assert "by dualgan on cpu" in capsys.readouterr().err
    assert "by dualgan" in told(capsys, tmp_path / "run")
    assert "dualgan, 1 step" in told(capsys, tmp_path / "run/ab.safetensors")


def test_info_of_what_is_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net_G.pth").write_bytes(b"")
    (tmp_path / "x.safetensors").write_bytes(b"hello")
    for name, said in {
        "net_G.pth": "imgtranslate import",
        "x.safetensors": "not a safetensors file",
        "nowhere.onnx": "no such file",
        ".": "not a run",
    }.items():
        assert run("info", tmp_path / name) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


def test_info_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = model_header(target="\x1b[2Jzebras\n", licence="\x07")
    assert "\x1b" not in told(capsys, save_model(tmp_path / "m.safetensors", header))


def test_a_state_is_described_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"x": torch.zeros(3)}, StateHeader(step=7, positions=14, parameters=99))
    assert "samples seen  14" in told(capsys, path)
