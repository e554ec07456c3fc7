"""Exports in 8 bits: the graph they are made of, what is measured, what is refused."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fixtures.models import CODED_UNET, model_header, save_model
from fixtures.pictures import save_soft_pictures
from onnx import helper, numpy_helper
from PIL import Image
from torch import nn

from imgtranslate import cli
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.exporting.export import ExportResult, export_model, report_of
from imgtranslate.exporting.int8.graph_rewrites import phases, to_integer_form
from imgtranslate.exporting.int8.qdq import convolutions, insert_qdq, measure_ranges
from imgtranslate.exporting.int8.quantise import (
    Runtime,
    psnr_of,
    quantise,
)
from imgtranslate.exporting.onnx import RunGraph, to_onnx
from imgtranslate.exporting.pictures import calibration_pictures
from imgtranslate.exporting.source_model import load_source_model
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_header import ExportForm
from imgtranslate.settings.config import ResnetConfig
from imgtranslate.translation.translator import load

PLAIN = model_header(ResnetConfig(base_channels=8, num_blocks=1))
CODED = model_header(CODED_UNET)
MODELS = {"resnet": PLAIN, "unet": CODED}
INT8 = ExportForm(format="onnx-int8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    for name, header in MODELS.items():
        save_model(folder / f"{name}.safetensors", header)
    save_soft_pictures(folder / "pictures")
    return folder


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, onnx.ModelProto]:
    return {
        n: to_onnx(load_source_model(folder / f"{n}.safetensors", ExportForm())) for n in MODELS
    }


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, ExportResult]:
    return {
        name: export_model(
            folder / f"{name}.safetensors",
            folder / f"{name}.onnx",
            form=INT8,
            calibrate=folder / "pictures",
            min_psnr=20,
        )
        for name in MODELS
    }


def feed(header: ModelHeader, *, height: int = 40, width: int = 56) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, (1, header.in_channels, height, width)).astype(np.float32)
    return {"image": image} | ({"z": np.ones((1, 8), np.float32)} if header is CODED else {})


def answer(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    output: np.ndarray = session.run(None, values)[0]
    return output


@pytest.mark.parametrize(("size", "outside"), [(3, 1), (4, 0)])
def test_a_transposed_convolution_is_a_convolution_to_four_pictures(
    size: int, outside: int
) -> None:
    up = nn.ConvTranspose2d(3, 5, size, stride=2, padding=1, output_padding=outside, bias=False)
    x = torch.randn(2, 3, 6, 7)
    weights, before, after = phases(up.weight.detach().numpy())
    padded = nn.functional.pad(x, (before, after, before, after))
    four = nn.functional.conv2d(padded, torch.from_numpy(weights))
    n, _, h, w = four.shape
    woven = four.view(n, 2, 2, 5, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, 5, 2 * h, 2 * w)
    torch.testing.assert_close(woven, up(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_the_integer_form_gives_the_same_values(
    plain: dict[str, onnx.ModelProto], name: str
) -> None:
    form = to_integer_form(plain[name])
    kinds = {node.op_type for node in form.graph.node}
    assert "ConvTranspose" in {node.op_type for node in plain[name].graph.node}
    assert "ConvTranspose" not in kinds
    assert "DepthToSpace" in kinds
    values = feed(MODELS[name])
    expected = answer(plain[name], values)
    assert expected.std() > 0.05  # else equality says nothing
    np.testing.assert_allclose(answer(form, values), expected, atol=2e-5)


def test_what_convolutions_read_is_read_by_nothing_else(plain: dict[str, onnx.ModelProto]) -> None:
    form = to_integer_form(plain["resnet"])
    read = [n.input[0] for n in form.graph.node if n.op_type in ("Conv", "Pad")]
    every = [name for node in form.graph.node for name in node.input]
    assert all(every.count(name) == 1 for name in read)
    assert len({node.name for node in form.graph.node}) == len(form.graph.node)


def one_convolution() -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    weights = np.array([[[[1.0]]], [[[100.0]]]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["image"], ["pixels"], name="first"),
            helper.make_node("Conv", ["pixels", "w"], ["translated"], name="only"),
        ],
        "one",
        [value("image", 1, ["n", 1, "h", "w"])],
        [value("translated", 1, ["n", 2, "h", "w"])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_ranges_are_of_all_pictures_and_cut_what_is_rare() -> None:
    model = one_convolution()
    wide = np.linspace(-1, 3, 10_001, dtype=np.float32).reshape(1, 1, 1, -1)
    feeds = [{"image": wide}, {"image": wide - 1}]
    found = measure_ranges(model, feeds, tails=(0.0, 0.25))
    assert found[0.0]["pixels"] == (-2, 3)
    assert found[0.0]["translated"] == (-200, 300)
    assert found[0.25]["pixels"] == (pytest.approx(-1), pytest.approx(2))


def test_weights_have_a_scale_for_each_channel_and_results_are_in_bytes_if_asked() -> None:
    model = one_convolution()
    ranges = measure_ranges(model, [{"image": np.ones((1, 1, 2, 2), np.float32)}], tails=(0.0,))
    for in_bytes in (True, False):
        made = insert_qdq(model, ranges[0.0], in_float=frozenset(), outputs_in_int8=in_bytes)
        scales = [t for t in made.graph.initializer if t.name == "w_scale"]
        assert numpy_helper.to_array(scales[0]).shape == (2,)
        last = [node.op_type for node in made.graph.node if "translated" in node.output]
        assert last == (["DequantizeLinear"] if in_bytes else ["Conv"])


def test_a_kept_layer_and_its_padding_stay_in_float(plain: dict[str, onnx.ModelProto]) -> None:
    form = to_integer_form(plain["resnet"])
    rest = convolutions(form)[1:]
    ranges = measure_ranges(form, [feed(PLAIN)], tails=(0.0,))[0.0]
    made = insert_qdq(form, ranges, in_float=frozenset(rest), outputs_in_int8=True)
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) == 3  # pad, in, out


def runtime_that_hates(hated: set[str], tried: list[set[str]]) -> Runtime:
    """Runs nothing: the PSNR falls with every hated layer that is in 8 bits."""

    def load_(model: onnx.ModelProto) -> RunGraph:
        makers = {o: n.op_type for n in model.graph.node for o in n.output}
        in_bytes = {
            node.name
            for node in model.graph.node
            if node.op_type == "Conv" and makers.get(node.input[0]) == "DequantizeLinear"
        }
        tried.append(in_bytes)
        off = 4 * len(in_bytes & hated) + len(in_bytes) // 5
        return lambda _: np.full((1, 4, 4, 3), 128 + off, np.uint8)

    return Runtime(load=load_, outputs_in_int8=True)


def test_the_search_brings_back_what_hurts_and_no_more(plain: dict[str, onnx.ModelProto]) -> None:
    layers = convolutions(to_integer_form(plain["resnet"]))
    hated, tried = {layers[1], layers[-1]}, list[set[str]]()
    right = np.full((1, 4, 4, 3), 128, np.uint8)
    made = quantise(
        plain["resnet"],
        [feed(PLAIN)],
        [right],
        runtime=runtime_that_hates(hated, tried),
        aim=40,
        notice=lambda _: None,
    )
    assert made.in_float == hated
    assert convolutions(made.graph) == layers
    assert tried[-1] == set(layers) - hated


def test_the_search_ends_with_its_time(plain: dict[str, onnx.ModelProto]) -> None:
    layers = convolutions(to_integer_form(plain["resnet"]))
    tried, said = list[set[str]](), list[str]()
    right = np.full((1, 4, 4, 3), 128, np.uint8)
    made = quantise(
        plain["resnet"],
        [feed(PLAIN)],
        [right],
        runtime=runtime_that_hates({layers[1]}, tried),
        aim=40,
        notice=said.append,
        seconds=0,
    )
    assert made.in_float == frozenset()
    assert len(tried) == 3  # the ranges alone
    assert f"after 0 of {len(layers)}" in said[-1]


def test_the_psnr_is_of_all_pictures_together() -> None:
    black = np.zeros((1, 2, 2, 3), np.uint8)
    errors = iter((10, 0))
    found = psnr_of(lambda _: black + next(errors), [({}, black), ({}, black)])  # type: ignore[arg-type,return-value]
    assert found == pytest.approx(10 * np.log10(255**2 / 50))


@pytest.mark.parametrize("name", MODELS)
def test_an_export_in_8_bits_translates_as_its_model_does(
    folder: Path, made: dict[str, ExportResult], name: str
) -> None:
    model, export = folder / f"{name}.safetensors", made[name]
    assert export.int8 is not None
    assert export.int8.pictures == 2
    assert export.int8.psnr > 20
    image = Image.open(folder / "pictures/3.png").crop((0, 0, 37, 51))
    found, expected = (np.asarray(load(m)(image)).astype(float) for m in (export.path, model))
    assert found.shape == (51, 37, 3)
    assert expected.std() > 5
    assert np.sqrt(np.square(found - expected).mean()) < 255 * 10 ** (-18 / 20)
    assert report_of(export)["precision"]["layers"] == export.int8.layers


def test_weights_are_one_byte_each(made: dict[str, ExportResult]) -> None:
    int8, model = made["resnet"].int8, onnx.load(made["resnet"].path)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    read = [n.input[0] for n in model.graph.node if n.op_type == "DequantizeLinear"]
    weights = [name for name in read if kinds.get(name) == onnx.TensorProto.INT8]
    assert int8 is not None
    assert len(weights) == int8.layers - int8.kept > 0


@pytest.mark.parametrize("side", [32, 64])
def test_a_flat_picture_stays_flat_in_8_bits(
    folder: Path, made: dict[str, ExportResult], side: int
) -> None:
    flat = Image.new("RGB", (side, side), (200, 30, 90))
    found = np.asarray(load(made["resnet"].path)(flat)).astype(int)
    expected = np.asarray(load(folder / "resnet.safetensors")(flat)).astype(int)
    assert abs(found - expected).max() <= 8


def test_what_is_too_far_from_the_model_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ImgTranslateError, match=r"`min_psnr` 90: the PSNR of the 8-bit export is only \d+\.\d dB"
    ):
        export_model(
            folder / "resnet.safetensors",
            tmp_path / "ab.onnx",
            form=INT8,
            calibrate=folder / "pictures",
            min_psnr=90,
        )
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_calibrated_on_or_judged_by_never_both(folder: Path) -> None:
    model = load_source_model(folder / "resnet.safetensors", INT8)
    found = calibration_pictures(model, folder / "pictures")
    assert (len(found.calibrated), len(found.judged)) == (6, 2)
    assert not {p.tobytes() for p in found.calibrated} & {p.tobytes() for p in found.judged}


@pytest.mark.parametrize(
    ("calibrate", "told"),
    [
        (None, "`calibrate`: not given, and .*is not in a run"),
        ("missing", "`calibrate` .*missing: no such folder"),
        ("one", "`calibrate` .*one: only 1 picture,"),
        ("torn", r"`calibrate` .*\d.png: "),
    ],
)
def test_pictures_that_do_not_do_are_one_line(
    folder: Path, tmp_path: Path, calibrate: str | None, told: str
) -> None:
    for name, files in {"one": 1, "torn": 2}.items():
        (tmp_path / name).mkdir()
        for index in range(files):
            (tmp_path / name / f"{index}.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=told):
        export_model(
            folder / "resnet.safetensors",
            tmp_path / "ab.onnx",
            form=INT8,
            calibrate=tmp_path / calibrate if calibrate else None,
        )


def test_the_command_says_what_8_bits_cost(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(folder / "resnet.safetensors")
    told = ["export", "--model", model, "--format", "onnx-int8", "-o", str(tmp_path / "ab.onnx")]
    assert cli.run([*told, "--calibrate", str(folder / "pictures"), "--min-psnr", "20"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"PSNR to the model \d+\.\d dB on 2 pictures", printed)
    assert re.search(r"\d of \d+ convolutions in float; \d+\.\d\d times as fast", printed)


def test_what_is_of_int8_alone_is_refused_elsewhere(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = str(folder / "resnet.safetensors"), str(tmp_path / "ab.onnx")
    assert cli.run(["export", "--model", model, "-o", output, "--min-psnr", "20"]) == 2
    assert "not to --format onnx" in capsys.readouterr().err
