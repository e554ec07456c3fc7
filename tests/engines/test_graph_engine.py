"""Model files in ONNX Runtime, beside the same files in torch."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from fixtures.models import CODED_UNET, HEADER, RESNET, UNET, model_header, save_model
from fixtures.pictures import noise

from imgtranslate import cli, device
from imgtranslate.engines.graph_engine import GraphEngine
from imgtranslate.engines.onnx_runtime import OnnxRuntime
from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.errors import CheckpointError, UsageError
from imgtranslate.model_files.checkpoint import ModelHeader, load_tensors, save
from imgtranslate.settings.config import ResidualEncoderConfig
from imgtranslate.translation.translator import Translator, load

SIZES = [(1, 1), (2, 7), (31, 257), (1000, 3)]
ENCODER = ResidualEncoderConfig(base_channels=4, num_blocks=2)
KINDS = {
    "resnet": HEADER,
    "antialias": model_header(replace(RESNET, norm="batch", antialias=True), in_channels=1),
    "resize": model_header(replace(RESNET, norm="instance_affine", upsample="resize")),
    "unet": model_header(UNET, out_channels=4),
    "coded": model_header(CODED_UNET, encoder=ENCODER),
    "plane": model_header(replace(CODED_UNET, z_at="plane", norm="none")),
}


def both(path: Path) -> tuple[Translator, Translator]:
    return load(path, device="cpu"), load(path, device="cpu", engine="torch")


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_any_size_is_that_of_torch(tmp_path: Path, kind: str) -> None:
    header = KINDS[kind]
    ours, of_torch = both(save_model(tmp_path / "m.safetensors", header))
    assert (ours.runtime, of_torch.runtime) == ("ONNX Runtime", "torch")
    for height, width in SIZES:
        shape = (height, width, header.in_channels)
        pixels = np.random.default_rng(height).integers(0, 256, shape, np.uint8)
        found, expected = (t.translate_pixels(pixels).astype(int) for t in (ours, of_torch))
        assert found.shape == expected.shape == (height, width, header.out_channels)
        assert abs(found - expected).max() <= 1
        assert abs(found - expected).mean() < 0.05
    assert expected.std() > 5


def test_a_style_is_that_of_torch(tmp_path: Path) -> None:
    ours, of_torch = both(save_model(tmp_path / "m.safetensors", KINDS["coded"]))
    for size in ((1, 1), (70, 33)):
        np.testing.assert_allclose(ours.encode(noise(*size)), of_torch.encode(noise(*size)), 1e-3)


def test_a_fault_of_the_runtime_names_the_other_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise SystemError("a fault")

    path = save_model(tmp_path / "m.safetensors", HEADER)
    monkeypatch.setattr(onnxruntime, "InferenceSession", broken)
    with pytest.raises(CheckpointError, match=r"cannot load it: a fault\. Set `engine` to torch$"):
        load(path, device="cpu")(noise(8, 8))


@pytest.mark.slow
def test_a_large_picture_is_that_of_torch(tmp_path: Path) -> None:
    ours, of_torch = both(save_model(tmp_path / "m.safetensors"))
    pixels = np.random.default_rng(0).integers(200, 256, (4096, 4096, 3), np.uint8)
    pixels[:1000] = 7  # flat
    found, expected = (t.translate_pixels(pixels).astype(int) for t in (ours, of_torch))
    assert abs(found - expected).max() <= 1
    assert expected.std() > 5


# The choice of the engine


def test_the_command_translates_without_torch(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.safetensors", KINDS["coded"])
    noise(9, 7).save(tmp_path / "in.png")
    code = (
        "import sys\nfrom imgtranslate.cli import run\nassert run(sys.argv[1:]) == 0\n"
        "assert 'onnxruntime' in sys.modules\nassert 'torch' not in sys.modules\n"
        "assert 'torchvision' not in sys.modules"
    )
    given = ["translate", tmp_path / "in.png", "--model", path, "--style", tmp_path / "in.png"]
    command = [sys.executable, "-c", code, *map(str, given), "-o", str(tmp_path / "out.png")]
    subprocess.run(command, check=True, capture_output=True)


def test_torch_runs_strips_and_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_model(tmp_path / "m.safetensors")
    assert load(path).runtime == "ONNX Runtime"
    assert load(path, device="cpu", tile=8).runtime == "torch"
    monkeypatch.setattr(device, "_GPU_FILES", ("null",))
    assert device.is_cpu("auto")  # as torch says
    monkeypatch.setattr(device, "choose_device", lambda _: torch.device("cuda"))
    assert not device.is_cpu("auto")
    assert device.is_cpu("cpu")
    assert not device.is_cpu("cuda:1")
    monkeypatch.setattr(device, "_GPU_FILES", ())
    assert device.is_cpu("auto") == (sys.platform == "linux")


def test_a_picture_too_large_is_run_in_strips_with_one_line(tmp_path: Path) -> None:
    path, lines = save_model(tmp_path / "m.safetensors"), list[str]()
    model = load(path, device="cpu", memory=100_000, notice=lines.append)
    whole = load(path, device="cpu", tile="off")
    for image in (noise(61, 47), noise(64, 48)):
        found, expected = (np.asarray(one(image)).astype(int) for one in (model, whole))
        assert abs(found - expected).max() <= 1
    assert lines == ["64 x 48 px: too large for the memory as a whole, so torch runs it in strips"]
    assert model.runtime == "ONNX Runtime"


def test_a_shortage_of_memory_is_followed_by_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(save_model(tmp_path / "m.safetensors"), device="cpu")
    lines, expected = list[str](), model(noise(61, 47))

    def fail(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 268435456")

    failing = load(tmp_path / "m.safetensors", device="cpu", notice=lines.append)
    monkeypatch.setattr(OnnxRuntime, "run", fail)
    found = failing(noise(61, 47))
    assert abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 1
    assert lines == ["64 x 48 px: out of memory, so torch runs it in strips"]


@pytest.mark.parametrize(
    ("options", "told"),
    [({"tile": 8}, "`tile`: "), ({"precision": "fp16"}, "`precision`: "), ({"device": "mps"}, "")],
)
def test_an_option_of_torch_alone_is_one_line(
    tmp_path: Path, options: dict[str, object], told: str
) -> None:
    path = save_model(tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match=rf"^{told}.*Use `engine` torch$"):
        load(path, engine="onnx", **options)  # type: ignore[arg-type]


def test_threads_are_bounded(tmp_path: Path) -> None:
    """One thread computes in that of Python, so each further one is of the pool."""
    path = save_model(tmp_path / "m.safetensors")
    code = (
        "import os, sys\nimport numpy as np\nfrom pathlib import Path\n"
        "from imgtranslate.engines.graph_engine import GraphEngine\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "engine = GraphEngine.load(Path(sys.argv[1]))\n"
        "engine.run(np.zeros((1, 3, 8, 8), np.float32))\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    for threads in ("1", "3,1"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == int(threads[0]) - 1


# Damaged files

Tensors = dict[str, torch.Tensor]


def missing(tensors: Tensors) -> None:
    del tensors["head.bias"]


def added(tensors: Tensors) -> None:
    tensors["head.other"] = torch.zeros(1)


def transposed(tensors: Tensors) -> None:
    tensors["head.weight"] = tensors["head.weight"].transpose(0, 1)


def halved(tensors: Tensors) -> None:
    tensors["head.bias"] = tensors["head.bias"].half()


def without_numbers(tensors: Tensors) -> None:
    tensors["stem.conv.weight"][0, 0, 0, 0] = float("nan")


def infinite(tensors: Tensors) -> None:
    tensors["encoder.heads.mean.bias"][0] = float("inf")


DAMAGED: dict[str, tuple[Callable[[Tensors], None], ModelHeader, str]] = {
    "missing": (missing, HEADER, r"'head.bias' is absent, expected F32 \[3\]"),
    "added": (added, HEADER, r"'head.other' is F32 \[1\], expected absent"),
    "transposed": (transposed, HEADER, r"'head.weight' is F32 \[4, 3, 7, 7\], expected F32 \[3, "),
    "halved": (halved, HEADER, r"'head.bias' is F16 \[3\], expected F32"),
    "NaN": (without_numbers, HEADER, r"tensor 'stem.conv.weight' contains NaN or infinite"),
    "infinite": (infinite, KINDS["coded"], r"tensor 'encoder.heads.mean.bias' contains NaN or inf"),
}


@pytest.mark.parametrize("engine", [GraphEngine, TorchEngine])
@pytest.mark.parametrize("fault", DAMAGED)
def test_damaged_weights_are_one_line(
    tmp_path: Path, fault: str, engine: type[GraphEngine] | type[TorchEngine]
) -> None:
    damage, header, told = DAMAGED[fault]
    path = save_model(tmp_path / "m.safetensors", header)
    tensors = load_tensors(path)
    damage(tensors)
    save(path, tensors, header)
    with pytest.raises(CheckpointError, match=told) as caught:
        engine.load(path)
    assert str(caught.value).startswith(f"{path}: its tensor")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_file_that_ends_early_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    path = save_model(tmp_path / "m.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    noise(9, 7).save(tmp_path / "in.png")
    assert cli.run(["translate", str(tmp_path / "in.png"), "--model", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: not a safetensors file, or damaged: ")
