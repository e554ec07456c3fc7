import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.models import CODED_UNET, HEADER, RESNET, UNET, model_header, save_model
from fixtures.pictures import noise
from PIL import Image
from torch import nn

from imgtranslate import cli
from imgtranslate.engines.any_size import SMALLEST_STRIP, AnySize, whole_bytes
from imgtranslate.errors import ImageError, MemoryShortageError
from imgtranslate.images import Codes, Values, to_network
from imgtranslate.memory import Tile
from imgtranslate.settings.config import GeneratorConfig
from imgtranslate.translation.translator import Translator, load

SHORTAGES = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes",
]


def levels_apart(a: Image.Image, b: Image.Image) -> tuple[float, int]:
    """Mean and most, in 1/255."""
    apart = np.abs(np.asarray(a, int) - np.asarray(b, int))
    return float(apart.mean()), int(apart.max())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "resnet.safetensors")
    save_model(folder / "unet.safetensors", model_header(UNET))
    save_model(folder / "coded.safetensors", model_header(CODED_UNET))
    return folder


# The same picture


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (31, 257), (180, 64), (35, 3)])
@pytest.mark.parametrize("name", ["resnet", "unet", "coded"])
def test_strips_give_the_same_picture(folder: Path, name: str, size: tuple[int, int]) -> None:
    path, image = folder / f"{name}.safetensors", noise(*size)
    whole = load(path, device="cpu", tile="off")(image)
    strips = load(path, device="cpu", tile=5)(image)
    assert strips.size == size
    mean, most = levels_apart(whole, strips)
    assert mean < 0.01
    assert most <= 1


def test_values_too_are_run_in_strips(folder: Path) -> None:
    path, values = folder / "coded.safetensors", to_network(np.asarray(noise(31, 57)))
    code = np.ones(8, np.float32)
    whole = load(path, device="cpu", tile="off").translate_values(values, z=code)
    strips = load(path, device="cpu", tile=5).translate_values(values, z=code)
    assert whole.shape == values.shape
    np.testing.assert_allclose(strips, whole, atol=1e-4, rtol=0)


def test_what_fits_is_run_whole_to_the_same_bytes(folder: Path) -> None:
    path, image = folder / "resnet.safetensors", noise(70, 50)
    whole = Translator(load(path, device="cpu")._engine)(image)
    assert load(path, device="cpu")(image).tobytes() == whole.tobytes()
    assert load(path, device="cpu", tile="off", memory=1)(image).tobytes() == whole.tobytes()


def test_rows_without_numbers_are_refused(tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.safetensors")
    model = load(path, device="cpu", tile=8)
    model._engine._network.head.bias.data.fill_(np.nan)  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="output of the network contains NaN"):
        model(noise(9, 9))


# Whole or not


class Parts:
    """An engine that says how it was asked, and has memory for so many pixels and strip bytes."""

    def __init__(
        self, config: GeneratorConfig = RESNET, *, holds: float = 1e99, strip: float = 1e99
    ) -> None:
        self.header = model_header(config)
        self.holds, self.strip = holds, strip
        self.asked: list[object] = []

    def run(self, values: Values, z: Codes | None = None) -> Values:
        assert z is None
        self.asked.append("whole")
        if values[0, 0].size > self.holds:
            raise MemoryShortageError("too big")
        return np.zeros((1, 3, 1, 1), np.float32)

    def free_memory(self) -> int:
        return 2 * 10**9

    def run_strips(
        self, *_: object, strip_bytes: int, **__: object
    ) -> Iterator[tuple[int, Values]]:
        self.asked.append(strip_bytes)
        yield 0, np.zeros((3, 1, 1), np.float32)
        if strip_bytes > self.strip:
            raise MemoryShortageError("too big")


def black(rows: slice, columns: slice) -> Values:
    return np.broadcast_to(
        np.float32(-1), (3, rows.stop - rows.start, columns.stop - columns.start)
    )


def asked(
    engine: Parts, *sides: int, tile: Tile = "auto", memory: int | None = None
) -> tuple[list[object], list[str]]:
    lines: list[str] = []
    sizes = AnySize(engine, tile=tile, memory=memory, notice=lines.append)
    for side in sides:
        list(sizes.run(black, size=(side, side)))
    return engine.asked, lines


def test_the_budget_decides_between_whole_and_strips() -> None:
    fits = int((10**9 / whole_bytes(HEADER)) ** 0.5)
    ways, lines = asked(Parts(), fits, fits + 1)
    assert (ways[0], isinstance(ways[1], int), len(ways)) == ("whole", True, 2)
    name = f"{fits + 1} x {fits + 1} px"
    assert lines == [f"{name}: too large for the memory as a whole, so torch runs it in strips"]


def test_strips_are_told_once() -> None:
    assert len(asked(Parts(), 10_000, 10_000, 8, 20_000, memory=10**8)[1]) == 1


def test_memory_takes_the_place_of_what_is_free() -> None:
    assert asked(Parts(), 100, memory=10**5)[0] != ["whole"]
    assert asked(Parts(), 10_000, memory=10**12)[0] == ["whole"]


def test_tile_overrules_the_budget() -> None:
    assert asked(Parts(), 10_000, tile="off", memory=1)[0] == ["whole"]
    assert asked(Parts(), 8, tile=16, memory=10**12)[0] == [16 * 4 * 4 * 8]


def test_a_shortage_is_followed_by_strips_and_remembered() -> None:
    ways, lines = asked(Parts(holds=5000), 64, 100, 100, 200, 64)
    assert [way if way == "whole" else "strips" for way in ways] == [
        *("whole", "whole", "strips", "strips", "strips", "whole")
    ]
    assert lines == ["100 x 100 px: out of memory, so torch runs it in strips"]


def test_a_shortage_in_strips_is_followed_by_smaller_ones() -> None:
    ways, lines = asked(Parts(strip=4 * 10**6), 10_000, 10_000, memory=2 * 10**8)
    assert isinstance(ways[0], int)
    assert ways == [ways[0], ways[0] // 2, ways[0] // 4, ways[0] // 4]
    assert lines[1:] == ["10000 x 10000 px: out of memory, so it runs in smaller strips"] * 2


def test_without_any_memory_it_gives_up() -> None:
    engine = Parts(strip=0)
    with pytest.raises(MemoryShortageError):
        asked(engine, 10_000, memory=10**8)
    assert isinstance(engine.asked[-1], int)
    assert engine.asked[-1] <= SMALLEST_STRIP


def test_off_does_not_go_on_in_strips() -> None:
    engine = Parts(holds=0)
    with pytest.raises(MemoryShortageError):
        asked(engine, 100, tile="off")
    assert engine.asked == ["whole"]


# Shortages of torch


def failing(network: nn.Module, message: str, *, above: int) -> None:
    """Let the network's first convolution fail for more than so many rows."""

    def fail(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if inputs[0].shape[2] > above:
            raise RuntimeError(message)

    network.stem.conv.register_forward_pre_hook(fail)  # type: ignore[union-attr]


@pytest.mark.parametrize("message", SHORTAGES)
def test_a_shortage_of_torch_gives_the_same_picture_and_a_line(folder: Path, message: str) -> None:
    path, image, lines = folder / "resnet.safetensors", noise(1024, 256), list[str]()
    model = load(path, device="cpu", engine="torch", memory=10**9, notice=lines.append)
    expected = model(image)
    assert lines == []
    failing(model._engine._network, message, above=100)  # type: ignore[attr-defined]
    assert levels_apart(model(image), expected)[1] <= 1
    assert lines[0] == "1024 x 256 px: out of memory, so torch runs it in strips"
    assert len(lines) > 1
    assert set(lines[1:]) == {"1024 x 256 px: out of memory, so it runs in smaller strips"}


def test_other_faults_of_torch_stay_what_they_are(folder: Path) -> None:
    model = load(folder / "resnet.safetensors", device="cpu", engine="torch")
    failing(model._engine._network, "expected 3 channels", above=0)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="expected 3 channels"):
        model(noise(9, 9))


# Without room for a scratch


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgtranslate.engines.any_size.free_space", lambda _: 1000)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("tile", ["auto", 16])
def test_without_room_for_the_scratch_nothing_is_run(tile: Tile) -> None:
    engine = Parts()
    with pytest.raises(
        ImageError, match=r"^10000 x 10000 px need 1\.2 GB in .*, which has 1e-06 GB\. Set TMPDIR"
    ):
        asked(engine, 10_000, tile=tile, memory=10**8)
    assert engine.asked == []


@pytest.mark.usefixtures("full")
def test_a_scratch_in_memory_needs_no_disk(folder: Path) -> None:
    lines: list[str] = []
    model = load(folder / "resnet.safetensors", device="cpu", tile=8, notice=lines.append)
    model(noise(64, 64))
    assert lines == []


@pytest.mark.usefixtures("full")
def test_a_picture_without_room_fails_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, output = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    for name, side in {"a.png": 8, "b.png": 1800, "c.png": 8}.items():
        Image.new("RGB", (side, side)).save(pictures / name)
    model = str(folder / "resnet.safetensors")
    common = ["translate", str(pictures), "--model", model, "--memory", "64M"]
    assert cli.run([*common, "-o", str(output)]) == 1
    shown = capsys.readouterr().err
    assert f"failed: {pictures / 'b.png'}: 1800 x 1800 px need 0.0389 GB in " in shown
    assert "Set TMPDIR to a larger disk, or give more --memory\n" in shown
    assert "translated 2 of 3 pictures, 0 skipped, 1 failed" in shown
    assert [path.name for path in sorted(output.iterdir())] == ["a.png", "c.png"]


# From the command line


def test_the_command_takes_tiles_and_memory(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise(61, 47).save(tmp_path / "in.png")
    common = ["translate", str(tmp_path / "in.png"), "--model", str(folder / "unet.safetensors")]
    for name, options in {"off": ["--tile", "off"], "8": ["--tile", "8", "--memory", "1G"]}.items():
        assert cli.run([*common, *options, "-o", str(tmp_path / f"{name}.png")]) == 0
    with Image.open(tmp_path / "off.png") as whole, Image.open(tmp_path / "8.png") as strips:
        assert levels_apart(whole, strips)[1] <= 1
    assert "translated 1 of 1 picture, " in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--tile", "0"), ("--memory", "4")])
def test_the_command_refuses_other_amounts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    noise(8, 8).save(tmp_path / "in.png")
    model = str(folder / "resnet.safetensors")
    arguments = ["translate", str(tmp_path / "in.png"), "--model", model, option, value]
    assert cli.run(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {option} {value}: not a")


# Memory

PEAK = """
import resource, sys
import numpy as np
from imgtranslate.translation.translator import load
model = load(sys.argv[1], device="cpu", memory=128 * 2**20)
side = int(sys.argv[2])
pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
model.translate_pixels(np.zeros((64, 64, 3), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.translate_pixels(pixels)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [replace(RESNET, base_channels=16), replace(UNET, base_channels=16, depth=8)]
)
def test_memory_does_not_grow_with_the_picture(tmp_path: Path, config: GeneratorConfig) -> None:
    """In MiB; whole, the larger picture would take 0.7 GiB (UNet) and 1.4 GiB (ResNet)."""
    path = save_model(tmp_path / "m.safetensors", model_header(config))
    for side in (1024, 2048, *map(int, os.environ.get("IMGTRANSLATE_TEST_SIDE", "").split())):
        command = [sys.executable, "-c", PEAK, str(path), str(side)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert int(run.stdout) < 1.3 * 128 + 2 * 3 * side * side / 2**20
