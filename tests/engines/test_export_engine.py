import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fixtures.models import CODED_UNET, HEADER, model_header, save_model
from fixtures.pictures import save_picture
from PIL import Image

from imgtranslate import cli
from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.exporting.export import export_model
from imgtranslate.model_files.checkpoint import (
    METADATA_KEY,
    header_json,
    read_model_header,
)
from imgtranslate.model_files.export_header import FORM_KEY, ExportForm, form_json
from imgtranslate.model_files.onnx_file import read_onnx_metadata
from imgtranslate.settings.config import ResidualEncoderConfig
from imgtranslate.translation.translator import load

ENCODER = ResidualEncoderConfig(base_channels=4, num_blocks=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    for name, header in {"plain": HEADER, "coded": model_header(CODED_UNET)}.items():
        export_model(save_model(folder / f"{name}.safetensors", header), folder / f"{name}.onnx")
    save_picture(folder / "in.png", size=(50, 37))
    return folder


@pytest.mark.parametrize("name", ["plain", "coded"])
def test_an_export_translates_as_its_model_does(folder: Path, name: str) -> None:
    image = Image.open(folder / "in.png")
    found, expected = (
        np.asarray(load(folder / f"{name}.{suffix}", device="cpu")(image)).astype(int)
        for suffix in ("onnx", "safetensors")
    )
    assert found.shape == expected.shape == (37, 50, 3)
    assert abs(found - expected).max() <= 1
    assert found.std() > 5


def test_samples_of_an_export_are_those_of_its_model(folder: Path) -> None:
    image = Image.open(folder / "in.png")
    model, export = (load(folder / f"coded.{suffix}") for suffix in ("safetensors", "onnx"))
    for seed in range(2):
        found, expected = (np.asarray(t(image, seed=seed)).astype(int) for t in (export, model))
        assert abs(found - expected).max() <= 1


def test_an_export_is_translated_with_without_torch(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from imgtranslate.cli import run; status = run(sys.argv[1:]); "
        "assert status == 0, status; "
        "print([name for name in ('torch', 'torchvision', 'onnx') if name in sys.modules])"
    )
    arguments = ["translate", str(folder / "in.png"), "--model", str(folder / "plain.onnx")]
    command = [sys.executable, "-c", code, *arguments, "-o", str(tmp_path / "out.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "out.png"), "[]"]
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (50, 37)


def test_an_export_has_no_encoder_and_says_so(folder: Path) -> None:
    export = load(folder / "coded.onnx")
    with pytest.raises(UsageError, match=r"no encoder.*\. Use"):
        export.encode(Image.open(folder / "in.png"))


def test_a_device_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"^`device` cuda:0: .*Use `device` cpu"):
        load(folder / "plain.onnx", device="cuda:0")


@pytest.mark.parametrize("command", ["init", "export"])
def test_an_export_is_not_trained_nor_exported_again(
    folder: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / side / "x.png")
    sides = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--out", str(tmp_path / "r")]
    model = str(folder / "plain.onnx")
    arguments = {
        "init": ["train", *sides, "--init", model, "--preset", "tiny", "--device", "cpu"],
        "export": ["export", "--model", model, "-o", str(tmp_path / "again.onnx")],
    }[command]
    assert cli.run(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert " an export" in error
    assert "Name the .safetensors model" in error


# The header, read by stepping over the graph


def test_the_metadata_are_what_onnx_reads(folder: Path) -> None:
    for name in ("plain", "coded"):
        path = folder / f"{name}.onnx"
        expected = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert read_onnx_metadata(path) == expected
        assert expected.keys() == {METADATA_KEY, FORM_KEY}
        assert read_model_header(path) == read_model_header(path.with_suffix(".safetensors"))


def claims(content: bytes) -> bytes:
    """The header's field with a length of 2^63 claimed."""
    return b"\x72" + b"\xff" * 8 + b"\x7f" + content


def swapped(content: bytes) -> bytes:
    """A header of a network with other channels than the graph's."""
    return content.replace(b'"in_channels": 3', b'"in_channels": 4')


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"not a model\n" * 50,
    "a picture": lambda _: b"\xff\xd8\xff\xe0" + bytes(100),
    "a zip": lambda _: b"PK\x03\x04" + bytes(1000),
    "cut short": lambda content: content[: len(content) // 2],
    "huge claim": claims,
    "endless number": lambda _: b"\xff" * 100,
    "another header": swapped,
    "no header": lambda content: content.replace(
        METADATA_KEY.encode() + b"\x12", b"somebodyels\x12"
    ),
    "a control code": lambda content: content.replace(b"image", b"im\x1bge"),
    "a name that is no UTF-8": lambda content: content.replace(b"image", b"im\xffge"),
    "the graph spoilt": lambda content: content[:100] + bytes(200) + content[300:],
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_export_is_one_line(
    folder: Path, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(HOSTILE[fault]((folder / "plain.onnx").read_bytes()))
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert ". " in message
    assert capsys.readouterr().out == ""


def made(
    path: Path, *nodes: onnx.NodeProto, values: Sequence[onnx.TensorProto] = (), encoder: bool
) -> Path:
    """An export with a header of ours whose graph is these nodes."""
    header, shape = (
        model_header(CODED_UNET, encoder=ENCODER) if encoder else HEADER,
        ["n", 3, "h", "w"],
    )
    outputs = {"z_mean": ["n", 8], "z_log_variance": ["n", 8]} if encoder else {"translated": shape}
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sides)
        for name, sides in {"image": shape, **outputs}.items()
    ]
    graph = onnx.helper.make_graph(nodes, "made", infos[:1], infos[1:], list(values))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    form = ExportForm(what="encoder" if encoder else "generator")
    metadata = {METADATA_KEY: header_json(header), FORM_KEY: form_json(form)}
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


HALF = onnx.helper.make_node(
    "MaxPool", ["image"], ["translated"], kernel_shape=[2, 2], strides=[2, 2]
)
OUTSIDE = onnx.helper.make_node("Gather", ["image", "place"], ["translated"], axis=0)
PLACE = onnx.helper.make_tensor("place", onnx.TensorProto.INT64, [1], [99])


@pytest.mark.parametrize(
    ("graph", "said"),
    [((HALF,), "returns pictures of another size"), ((OUTSIDE, PLACE), "its graph fails: ")],
)
def test_a_graph_that_fails_while_it_runs_is_one_line(
    tmp_path: Path, graph: tuple[Any, ...], said: str
) -> None:
    path = made(tmp_path / "x.onnx", graph[0], values=graph[1:], encoder=False)
    model = load(path, device="cpu")
    with pytest.raises(CheckpointError) as caught:
        model(Image.new("RGB", (32, 16)))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.onnx'}: ")
    assert said in message
    assert "\n" not in message
    assert message.endswith(". Export it again")


def test_codes_of_another_length_are_refused(tmp_path: Path) -> None:
    """The graph states 8 numbers for each picture, and gives three rows of one."""
    sizes = onnx.helper.make_tensor("sizes", onnx.TensorProto.INT64, [2], [3, 1])
    zero = onnx.helper.make_tensor("zero", onnx.TensorProto.FLOAT, [1, 1], [0])
    nodes = [
        onnx.helper.make_node("Expand", ["zero", "sizes"], [name])
        for name in ("z_mean", "z_log_variance")
    ]
    path = made(tmp_path / "x.onnx", *nodes, values=[sizes, zero], encoder=True)
    with pytest.raises(CheckpointError, match=r"x\.onnx: "):
        ExportEngine.load(path).encode(np.zeros((1, 3, 64, 64), np.float32))


def test_whatever_a_runtime_raises_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def run(self, *_: object, **__: object) -> None:
            raise SystemError("a fault\nof its own")

    model = load(folder / "plain.onnx")
    monkeypatch.setattr(model._engine._runtime, "_session", Broken())  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match="its graph fails: a fault of its own"):
        model(Image.new("RGB", (8, 8)))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken().run)
    with pytest.raises(CheckpointError, match="ONNX Runtime cannot load it: a fault of its own"):
        load(folder / "plain.onnx")


def test_a_header_costs_no_memory_however_large_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    length = 2**33
    with path.open("wb") as file:  # a hole of 8 GB as the graph, then the metadata
        file.write(b"\x3a" + bytes([0x80] * 4 + [0x20]))
        file.seek(length, 1)
        model = onnx.ModelProto()
        onnx.helper.set_model_props(model, {METADATA_KEY: "{}"})
        file.write(model.SerializeToString())
    assert read_onnx_metadata(path) == {METADATA_KEY: "{}"}
