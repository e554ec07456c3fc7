"""Pictures of other channel counts than grey and colour."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imgtranslate
from imgtranslate import cli
from imgtranslate.errors import ImageError
from imgtranslate.images import Picture, holds, list_images, read_image, write_image
from imgtranslate.images.arrays import LARGEST_ARRAY, read_array

TINY: dict[str, Any] = {
    "data.crop_size": 32,
    "generator.base_channels": 2,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "train.log_every": 1,
    "train.steps": 2,
}


def random_pixels(channels: int, *, seed: int = 0, size: tuple[int, int] = (40, 36)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)


def save(folder: Path, channels: int, count: int = 3) -> Path:
    suffix = ".png" if channels <= 4 else ".npy"
    folder.mkdir()
    for index in range(count):
        picture = Picture(pixels=random_pixels(channels, seed=index))
        write_image(folder / f"{index}{suffix}", picture)
    return folder


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 64])
def test_what_was_written_is_read(channels: int, tmp_path: Path) -> None:
    pixels = random_pixels(channels)
    path = tmp_path / ("x.png" if channels <= 4 else "x.npy")
    write_image(path, Picture(pixels=pixels))
    assert np.array_equal(read_image(path, channels=channels).pixels, pixels)
    write_image(tmp_path / "again.npy", Picture(pixels=pixels))
    assert np.array_equal(read_image(tmp_path / "again.npy", channels=channels).pixels, pixels)


def test_alpha_is_a_channel_only_where_asked_for(tmp_path: Path) -> None:
    pixels = random_pixels(4)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    beside = read_image(path, channels=3)
    assert beside.alpha is not None
    assert np.array_equal(beside.alpha, pixels[..., 3])
    within = read_image(path, channels=4)
    assert within.alpha is None
    assert np.array_equal(within.pixels, pixels)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 4), ("L", 2), ("RGB", 5), ("L", 7)])
def test_pictures_without_the_channels_are_refused(
    mode: str, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / "x.png"
    Image.new(mode, (5, 4)).save(path)
    with pytest.raises(ImageError, match=rf"x\.png: . channels?, not {channels}\. Give "):
        read_image(path, channels=channels)


def test_formats_that_cannot_hold_the_channels_are_refused(tmp_path: Path) -> None:
    assert holds(".png", channels=4)
    assert not holds(".jpg", channels=4)
    assert not holds(".png", channels=5)
    for channels, name, said in ((4, "x.jpg", r"Use \.png"), (5, "x.png", r"Use \.npy")):
        with pytest.raises(ImageError, match=said):
            write_image(tmp_path / name, Picture(pixels=random_pixels(channels)))
    assert not list(tmp_path.iterdir())


def pickled() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([[[{}]]], dtype=object), allow_pickle=True)
    return content.getvalue()


def header_of(shape: str, dtype: str = "|u1") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        pickled(),
        header_of("(40, 40, 5)"),
        header_of("(1000000000, 1000000000, 5)"),
        header_of("(-1, 4, 5)") + bytes(20),
        header_of("(0, 4, 5)"),
        header_of("(2, 2)", "<f8") + bytes(32),
        header_of("(5,)") + bytes(5),
        header_of("__import__('os')") + bytes(5),
        header_of("(2, 2, 3)") + bytes(12),
    ],
)
def test_arrays_that_are_none_are_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"x\.npy: ") as caught:
        read_image(path, channels=5)
    assert "\n" not in str(caught.value)


def test_an_array_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LARGEST_ARRAY > 10**9
    monkeypatch.setattr("imgtranslate.images.arrays.LARGEST_ARRAY", 100)
    np.save(tmp_path / "x.npy", random_pixels(5))
    with (tmp_path / "x.npy").open("rb") as file, pytest.raises(ImageError, match="more than"):
        read_array(file, channels=5, allow_huge=True)


def test_arrays_are_listed_only_where_they_are_needed(tmp_path: Path) -> None:
    folder = save(tmp_path / "five", 5)
    assert list_images(folder, channels=3) == []
    assert [path.name for path in list_images(folder, channels=5)] == ["0.npy", "1.npy", "2.npy"]


@pytest.mark.parametrize(
    ("method", "a", "b"),
    [
        ("cyclegan", 1, 3),
        ("cyclegan", 5, 5),
        ("cyclegan", 4, 2),
        ("pix2pix", 5, 1),
        ("pix2pix", 3, 6),
    ],
)
def test_training_and_translating(
    method: str, a: int, b: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {"a": save(tmp_path / "a", a), "b": save(tmp_path / "b", b)}
    settings = {**TINY, "data.channels_a": a, "data.channels_b": b}
    told: list[Any] = []
    imgtranslate.train(
        **folders, out="run", method=method, settings=settings, device="cpu", report=told.append
    )
    assert len(list(Path("run/samples").iterdir())) == 1
    assert any("identity loss is off" in str(e) for e in told) == (method == "cyclegan" and a != b)
    assert cli.run(["translate", "a", "--model", "run", "-o", "out"]) == 0
    suffix = ".png" if max(a, b) <= 4 else ".npy"  # the input's, where it holds the result
    for index in range(3):
        found = read_image(Path(f"out/{index}{suffix}"), channels=b)
        assert found.pixels.shape == (40, 36, b)
    if method == "cyclegan":
        assert cli.run(["cycle-check", "a", "--run", "run", "-o", "cycle.png"]) == 0


def test_a_format_that_cannot_hold_the_result_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {"a": save(tmp_path / "a", 3), "b": save(tmp_path / "b", 6)}
    settings = {**TINY, "data.channels_b": 6}
    imgtranslate.train(**folders, out="run", method="pix2pix", settings=settings, device="cpu")
    for options in (["-o", "x.png"], ["--format", "png", "-o", "out"]):
        assert cli.run(["translate", "a/0.png", "--model", "run", *options]) == 2
        assert "with 6 channels. Use .npy" in capsys.readouterr().err
    assert cli.run(["translate", "a/0.png", "--model", "run"]) == 0
    assert read_image(Path("a/0.b.npy"), channels=6).pixels.shape == (40, 36, 6)
