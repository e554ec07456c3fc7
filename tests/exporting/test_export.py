import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fixtures.command import run
from fixtures.models import HEADER, RESNET, UNET, model_header, save_model
from PIL import Image

from imgtranslate.engines.onnx_graph import Graph
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.exporting import export
from imgtranslate.exporting import onnx as onnx_export
from imgtranslate.exporting.export import export_model
from imgtranslate.exporting.proof import Comparison, Proof, Speed, Tolerance, refuse_different
from imgtranslate.images import to_network, to_pixels
from imgtranslate.model_files.checkpoint import METADATA_KEY, ModelHeader, header_json
from imgtranslate.model_files.export_header import FORM_KEY, ExportForm, form_json
from imgtranslate.translation.translator import load

MODELS = {
    "resnet": HEADER,
    "resnet-resize": model_header(replace(RESNET, norm="none", upsample="resize"), out_channels=1),
    "unet": model_header(UNET, in_channels=1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    for name, header in MODELS.items():
        save_model(folder / f"{name}.safetensors", header)
    return folder


@pytest.fixture(scope="module", params=MODELS)
def exported(folder: Path, request: pytest.FixtureRequest) -> Path:
    output = folder / f"{request.param}.onnx"
    export_model(folder / f"{request.param}.safetensors", output)
    return output


def random_pixels(header: ModelHeader, *, batch: int, height: int, width: int) -> np.ndarray:
    shape = (batch, height, width, header.in_channels)
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def both(exported: Path, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the export and what the model makes of pictures (n, h, w, c), in 8 bits."""
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (found,) = session.run(["translated"], {"image": np.stack([to_network(p) for p in pictures])})
    translator = load(exported.with_suffix(".safetensors"), device="cpu")
    expected = np.stack([translator.translate_pixels(picture) for picture in pictures])
    return np.stack([to_pixels(values) for values in found]).astype(int), expected.astype(int)


@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [(1, 7, 5), (1, 35, 64), (1, 64, 64), (2, 20, 13), (3, 1, 9), (1, 100, 3)],
)
def test_the_export_does_what_the_model_does_at_any_size(
    exported: Path, batch: int, height: int, width: int
) -> None:
    header = MODELS[exported.stem]
    found, expected = both(exported, random_pixels(header, batch=batch, height=height, width=width))
    assert found.shape == (batch, height, width, header.out_channels)
    assert abs(found - expected).max() <= 1
    assert found.std() > 5  # else equality says nothing


def test_a_single_pixel(exported: Path) -> None:
    header = MODELS[exported.stem]
    found, expected = both(exported, random_pixels(header, batch=1, height=1, width=1))
    assert found.shape == expected.shape
    assert abs(found - expected).max() <= 1


def test_the_file_says_what_it_is(exported: Path) -> None:
    model = onnx.load(exported)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == {
        METADATA_KEY: header_json(MODELS[exported.stem]),
        FORM_KEY: form_json(ExportForm()),
    }
    (image,), (translated,) = model.graph.input, model.graph.output
    assert (image.name, translated.name) == ("image", "translated")
    for value in (image, translated):
        sides = value.type.tensor_type.shape.dim
        assert [side.dim_param for side in sides] == ["batch", "", "height", "width"]
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    onnx.checker.check_model(model, full_check=True)


def test_one_file_that_knows_nothing_of_this_machine(exported: Path) -> None:
    written = [path for path in exported.parent.iterdir() if path.name.startswith(exported.name)]
    assert written == [exported]
    content = exported.read_bytes()
    assert str(Path(export.__file__).parent).encode() not in content
    assert b"site-packages" not in content


def test_the_command_prints_lines_that_run_without_imgtranslate(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            "export",
            "--model",
            folder / "unet.safetensors",
            "--format",
            "onnx",
            "-o",
            "new/ab.onnx",
        )
        == 0
    )
    captured = capfd.readouterr()
    assert captured.out.startswith("new/ab.onnx: 0.3 MB")
    sizes = re.findall(r"[01]/255 at (\d+ x \d+) px", captured.out)
    assert sizes == ["5 x 7", "50 x 37", "64 x 64", "256 x 256"]
    assert captured.err.splitlines() == ["exporting, then comparing with the model"]  # no chatter

    picture = random_pixels(HEADER, batch=1, height=31, width=22)[0]
    Image.fromarray(picture).save("in.jpg")
    lines = captured.out[captured.out.index("import") :]
    check = "import sys\nassert not {'torch', 'imgtranslate'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", lines + check], check=True, env={})
    translator = load(folder / "unet.safetensors", device="cpu")
    with Image.open("in.jpg") as source, Image.open("out.png") as found:
        expected = np.asarray(translator(source)).astype(int)
        assert found.mode == "RGB"
        assert abs(np.asarray(found) - expected).max() <= 1


def test_a_wrong_export_is_found_out_and_leaves_what_was_there(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first_pixels(g: Graph, _: str, multiple: int, __: int) -> str:
        return g.constant([0] * multiple * 64)

    monkeypatch.setattr(onnx_export, "mirror_indices", first_pixels)
    output = tmp_path / "ab.onnx"
    output.write_text("the one before")
    model = folder / "resnet-resize.safetensors"
    assert run("export", "--model", model, "-o", output, "--overwrite") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ab.onnx"]
    assert output.read_text() == "the one before"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(r"not written: .*differs from the model's by \d+/255", captured.err)


def proof(*largest: float, mean: float = 0) -> Proof:
    sizes = [Comparison(batch=1, height=8, width=8, largest=one, mean=mean) for one in largest]
    speed, tolerance = Speed(model=1, export=1), Tolerance(largest=1, mean=0.1)
    return Proof(comparisons=tuple(sizes), speed=speed, tolerance=tolerance)


def test_the_worst_size_decides(tmp_path: Path) -> None:
    refuse_different(tmp_path, proof(1, 1, mean=0.1))
    with pytest.raises(ImgTranslateError, match="2/255"):
        refuse_different(tmp_path, proof(1, 2, 1))
    with pytest.raises(ImgTranslateError, match=r"0.2/255 on average; at most 1 and 0.1 are"):
        refuse_different(tmp_path, proof(1, mean=0.2))


def test_a_run_gives_its_a_to_b(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path / "ab.safetensors")

    def write(_: object, path: Path, *__: object, **___: object) -> tuple[int, None]:
        return path.write_bytes(b"stands in"), None

    monkeypatch.setattr(export, "_write", write)
    monkeypatch.setattr(export, "prove", lambda *_: proof(1))
    result = export_model(tmp_path, tmp_path / "deep/ab.onnx")
    assert result.header == HEADER
    assert result.size == len(b"stands in")
    assert (tmp_path / "deep/ab.onnx").read_bytes() == b"stands in"


def test_a_model_beyond_2_gb_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST_FILE", 1000)
    with pytest.raises(ImgTranslateError, match="2 GB"):
        export_model(folder / "resnet.safetensors", tmp_path / "ab.onnx")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--model: not given"),
        (["--model", "resnet.safetensors"], "-o: not given"),
        (["--model", "missing.safetensors", "-o", "x.onnx"], "no such file"),
        (["--model", "text.txt", "-o", "x.onnx"], "not a safetensors file"),
        (["--model", "resnet.safetensors", "-o", "x.bin"], "Use -o x.onnx"),
        (["--model", "resnet.safetensors", "-o", "."], "a folder"),
        (["--model", "resnet.safetensors", "-o", "there.onnx"], "--overwrite"),
        (["--model", "resnet.safetensors", "-o", "x", "--format", "onx"], "Did you mean onnx?"),
        (["--model", "resnet.safetensors", "-o", "x", "--format", "web"], "npm pack"),
        (["--report", "resnet.safetensors"], "not a .json file"),
        (["--report", "deep/x.json"], "no such folder"),
        (["--report", "folder.json"], "a folder"),
        (["--runtime", "package"], "applies to --format web"),
        (["--format", "web", "--min-psnr", "20"], "apply to int8 formats"),
        (["--format", "onnx-int8", "--min-psnr", "nan"], "not a PSNR in dB"),
    ],
)
def test_wrong_use_is_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(folder)
    Path("there.onnx").touch()
    Path("folder.json").mkdir(exist_ok=True)
    Path("text.txt").write_text("no model")
    assert run("export", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err.splitlines()[-1]
    assert not Path("x.onnx").exists()


@pytest.mark.parametrize("file_format", ["onnx", "pt2", "openvino"])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, file_format: Any) -> None:
    resource = pytest.importorskip("resource")
    if file_format == "openvino":
        pytest.importorskip("openvino")
    model = save_model(tmp_path / "m.safetensors", model_header(replace(RESNET, base_channels=16)))
    suffix = "" if file_format == "openvino" else f".{file_format}"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))  # bytes of a file
    try:
        with pytest.raises(ImgTranslateError, match=r"out\S*: cannot be written: \w") as caught:
            export_model(model, tmp_path / f"out{suffix}", form=ExportForm(format=file_format))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_python_user_names_the_format(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "half.onnx"
    found = export.export(folder / "resnet.safetensors", str(output), file_format="onnx-fp16")
    assert found.path == output
    assert found.form.format == "onnx-fp16"
    with pytest.raises(UsageError, match=r"already exists. Use `overwrite`"):
        export.export(folder / "resnet.safetensors", output)
    with pytest.raises(UsageError, match=r"`file_format` onxx: no such name. Did you mean onnx"):
        export.export(folder / "resnet.safetensors", output, file_format="onxx")
    with pytest.raises(UsageError, match=r"`file_format` web: no such name"):
        export.export(folder / "resnet.safetensors", output, file_format="web")
