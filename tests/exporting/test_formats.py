"""Forms of exports: half precision, bytes, encoders, .pt2; each beside its model."""

import io
import json
import pickle
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fixtures.models import HEADER, RESNET, UNET, model_header, save_model
from numpy.typing import NDArray
from PIL import Image

from imgtranslate import cli
from imgtranslate.engines.network_graph import (
    convolution,
    normalised,
    transposed_convolution,
)
from imgtranslate.engines.onnx_graph import Graph, Map
from imgtranslate.errors import CheckpointError, ImgTranslateError, UsageError
from imgtranslate.exporting import export
from imgtranslate.exporting.export import ExportResult, export_model
from imgtranslate.exporting.half_precision import in_half_precision
from imgtranslate.exporting.onnx import with_metadata
from imgtranslate.exporting.pt2 import refuse_pickles, trace, write_pt2
from imgtranslate.exporting.source_model import load_source_model
from imgtranslate.images import to_network, to_pixels
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import read_model_header
from imgtranslate.model_files.export_header import ExportForm, read_export_form
from imgtranslate.settings.config import (
    ResidualEncoderConfig,
    Resnet18EncoderConfig,
    UnetConfig,
)
from imgtranslate.translation.translator import Translator, load


def unet(z_at: Any = "none", **options: Any) -> UnetConfig:
    return replace(UNET, latent_dim=0 if z_at == "none" else 3, z_at=z_at, **options)


CODED = model_header(unet("all"), encoder=ResidualEncoderConfig(base_channels=4, num_blocks=3))
FORMS = {
    "plain.pt2": ExportForm(format="pt2"),
    "coded.onnx": ExportForm(format="onnx-fp16", io="uint8"),
    "encoder.onnx": ExportForm(what="encoder", io="uint8"),
}
PT2_BYTES = ExportForm(format="pt2", io="uint8")
MODELS = {"plain.pt2": "plain", "coded.onnx": "coded", "encoder.onnx": "coded"}
SIZES = [(1, 1), (7, 5), (355, 32), (3, 1000)]
Array = NDArray[Any]


def pictures(count: int, height: int, width: int, channels: int = 3) -> Array:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    save_model(folder / "plain.safetensors")
    save_model(folder / "coded.safetensors", CODED)
    for number, picture in enumerate(pictures(2, 37, 50)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, ExportResult]:
    return {
        name: export_model(
            folder / f"{MODELS[name]}.safetensors",
            folder / name,
            form=form,
            proof=folder / "1.png",
        )
        for name, form in FORMS.items()
    }


@pytest.fixture(scope="module")
def coded(folder: Path) -> Translator:
    return load(folder / "coded.safetensors", device="cpu")


# Half precision and bytes


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_bytes_go_in_and_come_out(
    results: dict[str, ExportResult], coded: Translator, height: int, width: int
) -> None:
    session = onnxruntime.InferenceSession(results["coded.onnx"].path)
    x, z = pictures(2, height, width), np.float32([[0.5, -1, 2], [0, 1, -0.3]])
    (found,) = session.run(None, {"image": x, "z": z})
    expected = np.stack(
        [coded.translate_pixels(p, z=code) for p, code in zip(x, z, strict=True)]
    ).astype(int)
    assert (found.dtype, found.shape) == (np.uint8, (2, height, width, 3))
    apart = abs(found - expected)
    assert apart.max() <= 3
    assert apart.mean() < 0.2


def test_half_the_bytes_and_norms_in_single_precision(
    results: dict[str, ExportResult], folder: Path
) -> None:
    graph = onnx.load(results["coded.onnx"].path).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    convolutions = [n for n in graph.node if n.op_type in ("Conv", "ConvTranspose")]
    norms = [n for n in graph.node if n.op_type == "ReduceSumSquare"]
    half = {name for name, found in types.items() if found == onnx.TensorProto.FLOAT16}
    assert half == {n.input[1] for n in convolutions}
    makers = {output: n for n in graph.node for output in n.output}
    single = [makers[makers[n.input[0]].input[0]] for n in norms]
    assert {n.op_type for n in single} == {"Sub"}  # the values without their mean, never cast
    weights = sum(
        tensor.numel()
        for name, tensor in checkpoint.load_tensors(folder / "coded.safetensors").items()
        if not name.startswith("encoder.")
    )
    assert results["coded.onnx"].size < 2 * weights + 100_000


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_weights_beyond_half_precision_keep_their_picture(scale: float) -> None:
    rng = np.random.default_rng(0)
    g = Graph()
    x = Map(name=g.input("x", ("n", 3, "h", "w")), channels=3)
    y = normalised(g, convolution(g, x, "first", out=8, kernel_size=3), "norm", "instance")
    y = transposed_convolution(g, y, "last", out=3, kernel_size=3, bias=True)
    g.output("y", y.name, ("n", 3, "h", "w"))
    tensors = {n: rng.normal(0, 0.2, s).astype(np.float32) for n, (_, s) in g.layout.items()}
    tensors["first.weight"] *= max(scale, 1)  # float32 does not hold less beside 100
    tensors["first.bias"][:] = 100.0  # which the norm takes away
    tensors["last.weight"] *= scale
    tensors["last.bias"][:] = 0
    graph = g.model(tensors)
    before = graph.SerializeToString()
    image = rng.uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
    found, expected = (
        onnxruntime.InferenceSession(one.SerializeToString()).run(None, {"x": image})[0]
        for one in (in_half_precision(graph), graph)
    )
    assert np.isfinite(found).all()
    assert abs(found - expected).max() < 5e-3 * abs(expected).max()
    assert graph.SerializeToString() == before  # a copy was changed


# Encoders


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_an_exported_encoder_reads_the_codes_of_its_model(
    results: dict[str, ExportResult], coded: Translator, height: int, width: int
) -> None:
    session = onnxruntime.InferenceSession(results["encoder.onnx"].path)
    x = pictures(2, height, width)
    mean, log_variance = session.run(["z_mean", "z_log_variance"], {"image": x})
    expected = np.stack([coded.encode_pixels(picture) for picture in x])
    assert mean.shape == log_variance.shape == (2, 3)
    assert abs(mean - expected).max() < 1e-4
    assert mean.std() > 0.01
    assert abs(log_variance - mean).max() > 0.01


def test_a_style_is_read_by_an_export_without_torch(
    results: dict[str, ExportResult], folder: Path, tmp_path: Path
) -> None:
    assert set(results) == set(FORMS)
    style = ["--style", str(folder / "1.png")]
    given = ["translate", str(folder / "0.png"), *style, "-o"]
    exports = ["--model", str(folder / "coded.onnx"), "--encoder", str(folder / "encoder.onnx")]
    loaded = loaded_by([*given, str(tmp_path / "onnx.png"), *exports])
    assert not loaded & {"torch", "onnx"}
    model = ["--model", str(folder / "coded.safetensors"), "--device", "cpu"]
    assert cli.run([*given, str(tmp_path / "torch.png"), *model]) == 0
    found, expected = (
        np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("onnx", "torch")
    )
    assert abs(found - expected).max() <= 3
    assert expected.std() > 5


def test_what_an_encoder_goes_with(
    results: dict[str, ExportResult], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(results) == set(FORMS)
    generator, encoder = folder / "coded.onnx", folder / "encoder.onnx"
    for options, told in [
        (["--model", encoder], "does not translate"),
        (["--model", encoder, "--encoder", encoder], "needs a generator as"),
        (["--model", generator, "--encoder", generator], "needs a generator as"),
        (["--model", folder / "coded.safetensors", "--encoder", encoder], "Leave it out"),
        (["--model", generator, "--encoder", folder], "not an .onnx file"),
        (["--model", folder / "plain.pt2"], "may run code"),
    ]:
        assert cli.run(["translate", str(folder / "0.png"), *map(str, options)]) == 2
        (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error: "))
        assert told in line


def loaded_by(arguments: list[str]) -> set[str]:
    """The packages that a fresh Python has loaded after a command that succeeds."""
    code = (
        "import sys\nfrom imgtranslate.cli import run\nassert run(sys.argv[1:]) == 0\n"
        "print('loaded', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded ")[2].split())


def test_info_tells_what_kind_of_export_it_is(
    results: dict[str, ExportResult], capsys: pytest.CaptureFixture[str]
) -> None:
    told = {}
    for name, result in results.items():
        assert cli.run(["info", str(result.path)]) == 0
        told[name] = capsys.readouterr().out
    assert "generator as onnx-fp16, uint8 pixels" in told["coded.onnx"]
    assert "encoder as onnx, uint8 pixels" in told["encoder.onnx"]
    assert f"--encoder {results['encoder.onnx'].path} --style" in told["encoder.onnx"]
    assert "generator as pt2, float pixels" in told["plain.pt2"]
    assert "$ imgtranslate" not in told["plain.pt2"]


# .pt2


def test_an_archive_of_torch(results: dict[str, ExportResult], folder: Path) -> None:
    module = torch.export.load(results["plain.pt2"].path).module()
    translator = load(folder / "plain.safetensors", device="cpu")
    for x in (pictures(2, height, width) for height, width in SIZES):
        found = module(torch.from_numpy(np.stack([to_network(picture) for picture in x]))).numpy()
        for values, picture in zip(found, x, strict=True):
            expected = translator.translate_pixels(picture).astype(int)
            assert abs(to_pixels(values) - expected).max() <= 1


def test_an_archive_holds_no_pickle_and_nothing_of_this_machine(
    results: dict[str, ExportResult],
) -> None:
    path = results["plain.pt2"].path
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert str(Path(__file__).parents[2]).encode() not in content
            assert "weight_" in name or b"\x80\x02" not in content[:4]
            with pytest.raises(Exception):  # noqa: B017, PT011  # whatever a pickle is not
                pickle.loads(content)
    assert read_model_header(path) == HEADER
    assert read_export_form(path) == ExportForm(format="pt2")


def test_two_archives_of_one_model_are_equal(
    results: dict[str, ExportResult], folder: Path, tmp_path: Path
) -> None:
    model = load_source_model(folder / "plain.safetensors", FORMS["plain.pt2"])
    write_pt2(model, tmp_path / "another name.pt2")
    content = (tmp_path / "another name.pt2").read_bytes()
    assert content == results["plain.pt2"].path.read_bytes()
    assert platform.node().encode() not in content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x/data/sample_inputs/model.pt", b"\x80\x02."),
        ("x/data/weights/model_weights_config.json", b'{"a": {"use_pickle" : true}}'),
    ],
)
def test_an_archive_with_a_pickle_is_not_kept(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "x.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data/sample_inputs/model.pt", b"")
        archive.writestr("x/data/constants/model_constants_config.json", b'{"use_pickle": false}')
    refuse_pickles(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name.replace("x/", "y/"), content)
    with pytest.raises(ImgTranslateError, match="pickles"):
        refuse_pickles(path)


# The lines, where neither torch nor imgtranslate can be imported

WITHOUT = """\
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {missing}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize("name", FORMS)
def test_the_lines_run_without_imgtranslate(
    results: dict[str, ExportResult], coded: Translator, folder: Path, tmp_path: Path, name: str
) -> None:
    Image.fromarray(pictures(1, 31, 22)[0]).save(tmp_path / "in.jpg")
    missing = {"imgtranslate"} if name.endswith(".pt2") else {"imgtranslate", "torch"}
    code = WITHOUT.format(missing=missing) + results[name].lines
    kept = "\nnp.save('drawn.npy', z)" if name == "coded.onnx" else ""
    subprocess.run([sys.executable, "-I", "-c", code + kept], check=True, env={}, cwd=tmp_path)
    with Image.open(tmp_path / "in.jpg") as picture:
        if name == "encoder.onnx":
            assert abs(np.load(tmp_path / "z.npy") - coded.encode(picture)).max() < 1e-4
            return
        translator = load(folder / f"{MODELS[name]}.safetensors", device="cpu")
        z = np.load(tmp_path / "drawn.npy") if kept else None
        expected = np.asarray(translator(picture, z=z)).astype(int)
    with Image.open(tmp_path / "out.png") as found:
        assert abs(np.asarray(found) - expected).max() <= 3
    assert expected.std() > 5


def test_an_archive_of_a_deep_unet_takes_more_than_its_innermost_pixel(tmp_path: Path) -> None:
    """One pixel of its innermost map is 64 px: what it is traced at, and not what it is for."""
    header = model_header(UnetConfig(base_channels=2, depth=6))
    model = load_source_model(save_model(tmp_path / "m.safetensors", header), PT2_BYTES)
    network = trace(model).module()
    for height, width in [(1, 1), (64, 64), (65, 3), (3, 130)]:
        (picture,) = pictures(1, height, width)
        found = network(torch.from_numpy(picture[None])).numpy()[0].astype(int)
        expected = model.translator.translate_pixels(picture).astype(int)
        assert found.shape == expected.shape
        assert abs(found - expected).max() <= 1


# The proof


def test_what_was_compared_is_reported(
    results: dict[str, ExportResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "export_model", lambda *_, **__: results["plain.pt2"])
    files = ["-o", str(tmp_path / "x.pt2"), "--report", str(tmp_path / "x.json")]
    assert cli.run(["export", "--model", "ab.safetensors", "--format", "pt2", *files]) == 0
    report = json.loads((tmp_path / "x.json").read_text())
    compared = report["proof"]["comparisons"]
    assert [one["picture"] for one in compared] == ["noise", "noise", "noise", "1.png"]
    assert [(one["height"], one["width"]) for one in compared][-1] == (37, 50)
    assert len({(one["height"], one["width"]) for one in compared[:3]}) == 3
    assert (report["format"], report["io"], report["what"]) == ("pt2", "float", "generator")
    assert report["proof"]["speed"]["model"] > 0
    assert "1.png" in capsys.readouterr().out


def test_a_proof_that_is_no_picture_is_wrong_use(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    arguments = ["--model", folder / "plain.safetensors", "-o", tmp_path / "x.onnx"]
    assert cli.run(["export", *map(str, arguments), "--proof", str(tmp_path / "text.png")]) == 2
    assert "--proof" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "x.onnx").exists()


def test_an_encoder_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no encoder"):
        export_model(
            folder / "plain.safetensors", tmp_path / "x.onnx", form=ExportForm(what="encoder")
        )


# What is hostile


def outside(content: bytes) -> bytes:
    """A tensor that is to be read from elsewhere."""
    model = onnx.load_from_string(content)
    tensor = next(t for t in model.graph.initializer if t.raw_data)
    onnx.external_data_helper.set_external_data(tensor, location="../../secret")
    tensor.ClearField("raw_data")
    return model.SerializeToString()


def outside_in_a_node(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    tensor = onnx.TensorProto(name="x", data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    node = onnx.NodeProto(op_type="Constant", output=["x"])
    node.attribute.append(onnx.helper.make_attribute("value", tensor))
    model.graph.node.append(node)
    return model.SerializeToString()


def huge(content: bytes) -> bytes:
    """A tensor that claims far more than it holds."""
    model = onnx.load_from_string(content)
    next(t for t in model.graph.initializer if t.dims).dims[0] = 2**50
    return model.SerializeToString()


def other_form(content: bytes) -> bytes:
    return content.replace(b'"io": "uint8"', b'"io": "float"')


def broken_form(content: bytes) -> bytes:
    return content.replace(b'"io": "uint8"', b'"io": "uint9"')


def bomb(_: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(10**7))
    return file.getvalue()


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "outside": (outside, "is in another file"),
    "outside, in a node": (outside_in_a_node, "is in another file"),
    "huge": (huge, "states more numbers"),
    "another form": (other_form, "does not fit its header"),
    "a broken form": (broken_form, "the form in its metadata is damaged"),
    "a zip bomb": (bomb, "not an ONNX file"),
    "a pickle": (lambda _: pickle.dumps({"x": 1}), "not an ONNX file"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_export_is_one_line(
    results: dict[str, ExportResult], tmp_path: Path, fault: str
) -> None:
    change, told = HOSTILE[fault]
    (tmp_path.parent / "secret").write_bytes(bytes(10**6))
    path = tmp_path / "x.onnx"
    path.write_bytes(change(results["coded.onnx"].path.read_bytes()))
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt2", "x.onnx"])
@pytest.mark.parametrize("command", ["info", "export", "translate"])
def test_a_pickle_is_never_read_whatever_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str
) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / name
    torch.save(Trap(), path)
    arguments = {
        "info": [path],
        "export": ["--model", path, "-o", tmp_path / "out.onnx"],
        "translate": [folder / "0.png", "--model", path, "-o", tmp_path / "out.png"],
    }[command]
    assert cli.run([command, *map(str, arguments)]) == 2
    assert sum(line.startswith("error: ") for line in capsys.readouterr().err.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == [name]


# Exports in the other commands


def test_cycle_check_of_exports_needs_no_torch(
    results: dict[str, ExportResult], folder: Path, tmp_path: Path
) -> None:
    proto = onnx.load(results["coded.onnx"].path)
    back = replace(CODED, direction="ba", source="zebras", target="horses")
    onnx.save(with_metadata(proto, back, FORMS["coded.onnx"]), tmp_path / "ba.onnx")
    models = ["--ab", str(folder / "coded.onnx"), "--ba", str(tmp_path / "ba.onnx")]
    loaded = loaded_by(["cycle-check", str(folder / "0.png"), *models, "--json"])
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "torchvision", "onnx"}


# All kinds

KINDS = {
    "resnet": HEADER,
    "resize": model_header(
        replace(RESNET, norm="none", upsample="resize", padding="zero"), out_channels=1
    ),
    "antialias": model_header(replace(RESNET, norm="batch", antialias=True)),
    "affine": model_header(
        replace(RESNET, num_blocks=2, norm="instance_affine", dropout=True), in_channels=6
    ),
    "unet": model_header(unet(norm="batch"), in_channels=1, out_channels=4),
    "unet-deep": model_header(UnetConfig(base_channels=2, depth=8), crop_size=256),
    "unet-resize": model_header(unet(upsample="resize", skip_order="up_first")),
    "z-input": model_header(unet("input"), encoder=Resnet18EncoderConfig()),
    "z-middle": model_header(unet("middle")),
    "z-plane": model_header(
        unet("plane"), encoder=ResidualEncoderConfig(base_channels=4, num_blocks=2)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "onnx-fp16", "pt2"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_format(tmp_path: Path, kind: str, file_format: Any) -> None:
    header = KINDS[kind]
    model = save_model(tmp_path / "m.safetensors", header)
    suffix = ".pt2" if file_format == "pt2" else ".onnx"
    for what in ("generator", "encoder") if header.encoder else ("generator",):
        form = ExportForm(format=file_format, io="uint8", what=what)
        result = export_model(model, tmp_path / f"{what}{suffix}", form=form)
        assert result.proof.largest <= (8 if file_format == "onnx-fp16" else 1)
    if suffix == ".onnx":
        compare_odd_sizes(tmp_path / f"generator{suffix}", load(model, device="cpu"))
    else:
        compare_odd_sizes_of_torch(tmp_path / f"generator{suffix}", load(model, device="cpu"))


def compare_odd_sizes_of_torch(path: Path, translator: Translator) -> None:
    network, numbers = torch.export.load(path).module(), translator.latent_dim
    code = torch.full((1, numbers), 0.5)
    for height, width in SIZES:
        (picture,) = pictures(1, height, width, translator.header.in_channels)
        found = network(torch.from_numpy(picture[None]), *([code] if numbers else [])).numpy()[0]
        z = code.numpy()[0] if numbers else None
        expected = translator.translate_pixels(picture, z=z).astype(int)
        assert found.shape == expected.shape
        assert abs(found.astype(int) - expected).max() <= 1


def compare_odd_sizes(path: Path, translator: Translator) -> None:
    exported = load(path)
    for height, width in SIZES:
        (picture,) = pictures(1, height, width, translator.header.in_channels)
        found, expected = (t.translate_pixels(picture).astype(int) for t in (exported, translator))
        assert found.shape == expected.shape
        assert abs(found - expected).mean() < 0.5
