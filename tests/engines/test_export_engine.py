import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from imgtranslate import cli
from imgtranslate.builders import build_generator
from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.exporting.export import export_model
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import (
    METADATA_KEY,
    ModelHeader,
    StateHeader,
    header_json,
    read_model_header,
)
from imgtranslate.model_files.export_header import FORM_KEY
from imgtranslate.model_files.onnx_file import read_onnx_metadata
from imgtranslate.networks import initialise
from imgtranslate.settings.config import ResnetConfig, UnetConfig
from imgtranslate.translation.translator import load

HEADER = ModelHeader(
    generator=ResnetConfig(base_channels=4, num_blocks=1),
    in_channels=3,
    out_channels=3,
    direction="ab",
    source="horses",
    target="zebras",
    load_size=73,
    crop_size=64,
    method="cyclegan",
    step=1234,
    versions={"imgtranslate": "0.1.0"},
)
CODED = replace(HEADER, generator=UnetConfig(base_channels=4, depth=5, latent_dim=3, z_at="all"))


def save_model(path: Path, header: ModelHeader) -> Path:
    network = build_generator(
        header.generator, in_channels=header.in_channels, out_channels=header.out_channels
    )
    initialise(network, init="normal", gain=0.2, generator=torch.Generator().manual_seed(0))
    checkpoint.save(path, network.state_dict(), header)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    for name, header in {"plain": HEADER, "coded": CODED}.items():
        export_model(save_model(folder / f"{name}.safetensors", header), folder / f"{name}.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "in.png")
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
    assert ".onnx: an export" in error
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
    "a name that is no UTF-8": lambda content: content.replace(b"image", b"im\xffge"),
    "the graph spoilt": lambda content: content[:100] + bytes(200) + content[300:],
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_export_is_one_line(folder: Path, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(HOSTILE[fault]((folder / "plain.onnx").read_bytes()))
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert ". " in message


def made(path: Path, node: onnx.NodeProto, *values: onnx.TensorProto) -> Path:
    """An export with a header of ours whose graph is one node."""
    shape = ["n", 3, "h", "w"]
    image, translated = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in ("image", "translated")
    )
    graph = onnx.helper.make_graph([node], "made", [image], [translated], list(values))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    onnx.helper.set_model_props(model, {METADATA_KEY: header_json(HEADER)})
    onnx.save(model, path)
    return path


HALF = onnx.helper.make_node(
    "MaxPool", ["image"], ["translated"], kernel_shape=[2, 2], strides=[2, 2]
)
OUTSIDE = onnx.helper.make_node("Gather", ["image", "place"], ["translated"], axis=0)
PLACE = onnx.helper.make_tensor("place", onnx.TensorProto.INT64, [1], [99])


@pytest.mark.parametrize(
    ("graph", "said"),
    [((HALF,), "gives pictures of another size"), ((OUTSIDE, PLACE), "its graph fails: ")],
)
def test_a_graph_that_fails_while_it_runs_is_one_line(
    tmp_path: Path, graph: tuple[Any, ...], said: str
) -> None:
    model = load(made(tmp_path / "x.onnx", *graph), device="cpu")
    with pytest.raises(CheckpointError) as caught:
        model(Image.new("RGB", (32, 16)))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.onnx'}: ")
    assert said in message
    assert "\n" not in message
    assert message.endswith(". Export it again")


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


# info


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert cli.run(["info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_info_of_a_model(folder: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / f"plain.{suffix}"
    text = told(capsys, path)
    for part in ("horses to zebras", "1 blocks, 4 channels wide", "1,234 steps", "64 px"):
        assert part in text
    assert f"$ imgtranslate translate in.jpg --model {path}" in text
    found = json.loads(told(capsys, path, "--json"))
    assert found["kind"] == {"safetensors": "model", "onnx": "export"}[suffix]
    assert found["header"]["source"] == "horses"


def test_info_counts_parameters_without_loading_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = build_generator(HEADER.generator, in_channels=3, out_channels=3)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"parameters  {count:,}" in told(capsys, folder / "plain.safetensors")


def test_info_of_a_run_and_its_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("horses", "zebras"):
        (tmp_path / side).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / side / "x.png")
    sides = ["--a", str(tmp_path / "horses"), "--b", str(tmp_path / "zebras")]
    small = ["--size", "16", "--steps", "1", "--set", "discriminator.num_layers=1"]
    out = tmp_path / "my run"
    options = ["--preset", "tiny", "--device", "cpu", "--out", str(out)]
    assert cli.run(["train", *sides, *small, *options]) == 0
    text = told(capsys, out)
    for part in ("horses to zebras, by cyclegan", "1 and 1", "16 px", "ab.safetensors"):
        assert part in text
    assert f"$ imgtranslate train --resume '{out}'" in text
    assert f"--resume '{out}'" in told(capsys, out / "state.safetensors")


def test_info_of_what_is_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net_G.pth").write_bytes(b"")
    (tmp_path / "x.safetensors").write_bytes(b"hello")
    for name, said in {
        "net_G.pth": "imgtranslate import",
        "x.safetensors": "not a safetensors file",
        "nowhere.onnx": "no such file",
        ".": "not a run",
    }.items():
        assert cli.run(["info", str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


def test_info_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = replace(HEADER, target="\x1b[2Jzebras\n", licence="\x07")
    assert "\x1b" not in told(capsys, save_model(tmp_path / "m.safetensors", header))


def test_a_state_is_described_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"x": torch.zeros(3)}, StateHeader(step=7, positions=14, parameters=99))
    assert "samples seen  14" in told(capsys, path)
