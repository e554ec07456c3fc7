"""OpenVINO: its engine for .onnx files, its own folder, and 8 bits there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from fixtures.models import CODED_UNET, HEADER, model_header, save_model
from fixtures.pictures import noise, save_soft_pictures
from PIL import Image

from imgtranslate import cli
from imgtranslate.engines import openvino_runtime
from imgtranslate.errors import CheckpointError, ImgTranslateError, UsageError
from imgtranslate.exporting.export import export_model
from imgtranslate.model_files.checkpoint import kind_of, read_model_header
from imgtranslate.model_files.export_header import ExportForm
from imgtranslate.training.initial_weights import check_initial
from imgtranslate.translation.translator import load

pytest.importorskip("openvino")
OPENVINO = ExportForm(format="openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    for name, header in {"resnet": HEADER, "unet": model_header(CODED_UNET)}.items():
        save_model(folder / f"{name}.safetensors", header)
        export_model(folder / f"{name}.safetensors", folder / name, form=OPENVINO)
    model = folder / "resnet.safetensors"
    export_model(model, folder / "resnet.onnx")
    export_model(model, folder / "uint8", form=ExportForm(format="openvino", io="uint8"))
    save_soft_pictures(folder / "pictures")
    noise(22, 31).save(folder / "in.png")
    return folder


@pytest.mark.parametrize(
    ("model", "export"),
    [("resnet", "resnet"), ("resnet", "resnet.onnx"), ("resnet", "uint8"), ("unet", "unet")],
)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (35, 64), (100, 3)])
def test_it_translates_as_the_model_does_at_any_size(
    folder: Path, model: str, export: str, size: tuple[int, int]
) -> None:
    image = noise(*size)
    found = np.asarray(load(folder / export, engine="openvino")(image)).astype(int)
    expected = np.asarray(load(folder / f"{model}.safetensors")(image)).astype(int)
    assert found.shape == expected.shape
    assert abs(found - expected).max() <= 1
    assert size == (1, 1) or expected.std() > 5  # else equality says nothing


def test_it_computes_in_single_precision(folder: Path) -> None:
    compiled = openvino_runtime.compile_model(folder / "resnet.onnx")
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_the_folder_says_what_it_is(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "resnet").iterdir()) == [
        "imgtranslate.json",
        "model.bin",
        "model.xml",
    ]
    assert read_model_header(folder / "resnet") == HEADER
    assert kind_of(folder / "resnet") == "export"
    assert str(folder).encode() not in (folder / "resnet/model.xml").read_bytes()


def test_8_bits_are_near_and_small(folder: Path, tmp_path: Path) -> None:
    model, output = folder / "resnet.safetensors", tmp_path / "ab"
    form = ExportForm(format="openvino-int8")
    made = export_model(model, output, form=form, calibrate=folder / "pictures", min_psnr=25)
    assert made.int8 is not None
    assert made.int8.psnr > 25
    assert (output / "model.bin").stat().st_size < (folder / "resnet/model.bin").stat().st_size
    image = Image.open(folder / "pictures/1.png")
    found, expected = (np.asarray(load(m)(image)).astype(float) for m in (output, model))
    assert np.sqrt(np.square(found - expected).mean()) < 255 * 10 ** (-23 / 20)


def test_the_command_prints_lines_that_run_without_imgtranslate(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(folder / "resnet.safetensors")
    told = ["export", "--model", model, "--format", "openvino", "-o", "ab_openvino"]
    Path("ab_openvino").mkdir()
    Path("ab_openvino/model.xml").touch()
    assert cli.run(told) == 2
    assert "already exists" in capsys.readouterr().err
    assert cli.run([*told, "--overwrite"]) == 0
    printed = capsys.readouterr().out
    Image.open(folder / "in.png").save("in.jpg")
    lines = printed[printed.index("import") :]
    check = "import sys\nassert not {'torch', 'onnxruntime', 'imgtranslate'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", lines + check], check=True, env={})
    expected = np.asarray(load(model)(Image.open("in.jpg"))).astype(int)
    assert abs(np.asarray(Image.open("out.png")) - expected).max() <= 1


def test_translate_runs_it_without_torch(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from imgtranslate import cli; "
        f"assert cli.run({['translate', str(folder / 'in.png'), '--model', str(folder / 'resnet')]}"
        f" + ['-o', {str(tmp_path / 'out.png')!r}]) == 0; "
        "assert 'openvino' in sys.modules; assert not {'torch', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("model", "engine", "told"),
    [
        ("resnet.safetensors", "openvino", "an export with --format openvino"),
        ("resnet.onnx", "torch", "the .safetensors model"),
        ("resnet", "onnx", "an export with --format onnx"),
    ],
)
def test_an_engine_that_does_not_run_the_file_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], model: str, engine: str, told: str
) -> None:
    command = ["translate", str(folder / "in.png"), "--model", str(folder / model)]
    assert cli.run([*command, "--engine", engine, "-o", str(folder / "never.png")]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (folder / "never.png").exists()


def test_a_signal_after_two_models_does_not_crash(folder: Path) -> None:
    code = """if True:
        import gc, signal, sys
        from pathlib import Path
        from imgtranslate.engines.openvino_runtime import compile_model
        first, second = (compile_model(Path(name) / "model.xml") for name in sys.argv[1:])
        del first; gc.collect()
        del second; gc.collect()
        signal.signal(signal.SIGINT, lambda *_: print("answered"))
        signal.raise_signal(signal.SIGINT)
    """
    command = [sys.executable, "-c", code, str(folder / "resnet"), str(folder / "unet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "answered\n")


def test_without_the_extra_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r"pip install 'imgtranslate\[openvino\]'"):
        load(folder / "resnet.onnx", engine="openvino")
    with pytest.raises(UsageError, match=r"pip install 'imgtranslate\[openvino\]'"):
        export_model(folder / "resnet.safetensors", folder / "never", form=OPENVINO)


@pytest.mark.parametrize(
    "harm", ["graph", "weights", "none", "pipe", "metadata", "deep", "long", "other"]
)
def test_a_damaged_folder_is_one_line(folder: Path, tmp_path: Path, harm: str) -> None:
    for file in (folder / "resnet").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    metadata = tmp_path / "imgtranslate.json"
    match harm:
        case "graph":
            (tmp_path / "model.xml").write_text("<net><layers>")
        case "weights":
            (tmp_path / "model.bin").write_bytes(b"few")
        case "none" | "pipe":
            (tmp_path / "model.bin").unlink()
            if harm == "pipe":
                os.mkfifo(tmp_path / "model.bin")
        case "deep":
            metadata.write_text("[" * 100_000)
        case "metadata":
            metadata.write_text("[1, 2]")
        case "long":
            metadata.write_text(json.dumps({"imgtranslate": " " * 2**20}))
        case "other":
            metadata.write_bytes((folder / "unet/imgtranslate.json").read_bytes())
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_graph_of_another_kind_is_refused_whatever_its_name(folder: Path, tmp_path: Path) -> None:
    """An ONNX graph, which OpenVINO would take by its content, may name any file for a tensor."""
    for file in (folder / "resnet").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.xml").write_bytes((folder / "resnet.onnx").read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.xml is not in the format of OpenVINO"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="is in another file"):
        load(_with_tensor_outside(folder / "resnet.onnx", tmp_path), engine="openvino")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('type="Convolution"', 'type="Loop"', "contains the operator 'Loop'"),
        ('type="Convolution"', 'type="&#76;oop"', "contains the operator 'Loop'"),
        ("<layers>", "<layers><", "not well-formed"),
        ('type="Convolution"', 'type="Convolutio"', "OpenVINO cannot load it"),
        ('element_type="f32"', 'element_type="f99"', "OpenVINO cannot load it"),
    ],
)
def test_a_changed_graph_is_one_line(
    folder: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    for file in (folder / "resnet").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    graph = (tmp_path / "model.xml").read_text()
    assert old in graph
    (tmp_path / "model.xml").write_text(graph.replace(old, new, 1))
    with pytest.raises(CheckpointError, match=said) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def _with_tensor_outside(source: Path, folder: Path) -> Path:
    model = onnx.load(source)
    onnx.save(model, folder / "out.onnx", save_as_external_data=True, size_threshold=0)
    return folder / "out.onnx"


def test_a_run_does_not_begin_with_an_export(folder: Path) -> None:
    with pytest.raises(UsageError, match="an export cannot be trained"):
        check_initial(folder / "resnet")


def test_another_folder_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ImgTranslateError, match="exists and is not an OpenVINO export"):
        export_model(folder / "resnet.safetensors", tmp_path, form=OPENVINO, overwrite=True)
    assert (tmp_path / "kept.txt").read_text() == "mine"
