"""Animations and pages, one frame after the other."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgtranslate.errors import ImageError
from imgtranslate.images import (
    Picture,
    encode_image,
    holds_frames,
    read_frames,
    read_image,
    write_image,
)

DURATIONS = [50, 120, 70, 200]


def drawn(*, clear: bool = False, seed: int = 0) -> list[Image.Image]:
    """Frames of few colours, so that a palette holds them."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in DURATIONS:
        pixels = rng.integers(0, 4, (20, 30, 3), np.uint8) * 60
        shown = (rng.random((20, 30)) > 0.3) * np.uint8(255)
        frames.append(Image.fromarray(np.dstack([pixels, shown]) if clear else pixels))
    return frames


def animated(path: Path, *, clear: bool = False, **options: Any) -> Path:
    first, *rest = drawn(clear=clear)
    lossless = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    disposal = {"disposal": 2} if path.suffix == ".gif" else {}
    options = {"duration": DURATIONS, "loop": 3, **disposal, **lossless, **options}
    first.save(path, save_all=True, append_images=rest, **options)
    return path


def visible(picture: Picture) -> np.ndarray:
    """What is seen: colours, and black where nothing is shown."""
    if picture.alpha is None:
        return picture.pixels
    return np.where(picture.alpha[..., None] >= 128, picture.pixels, 0)


def alpha_of(picture: Picture) -> np.ndarray:
    if picture.alpha is None:
        return np.full(picture.pixels.shape[:2], 255)
    return picture.alpha


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("target", [".gif", ".webp", ".png", ".tif"])
def test_frames_go_through_with_durations_and_loop(
    tmp_path: Path, suffix: str, target: str, clear: bool
) -> None:
    read = list(read_frames(animated(tmp_path / f"in{suffix}", clear=clear), channels=3))
    assert [frame.duration for frame in read] == DURATIONS
    assert {frame.loop for frame in read} == {3}
    for frame, image in zip(read, drawn(clear=clear), strict=True):
        wanted = np.asarray(image.convert("RGBA"))
        assert np.array_equal(alpha_of(frame), wanted[..., 3])
        assert np.array_equal(visible(frame), wanted[..., :3] * (wanted[..., 3:] > 0))
    write_image(tmp_path / f"out{target}", read)
    back = list(read_frames(tmp_path / f"out{target}", channels=3))
    for found, frame in zip(back, read, strict=True):
        assert np.array_equal(visible(found), visible(frame))
        assert np.array_equal(alpha_of(found), alpha_of(frame))
        if target != ".tif":
            assert (found.duration, found.loop) == (frame.duration, frame.loop)


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_frames_are_whole_however_they_are_disposed_of(tmp_path: Path, disposal: int) -> None:
    path = animated(tmp_path / "in.gif", clear=True, disposal=disposal)
    read = list(read_frames(path, channels=3))
    with Image.open(path) as image:
        for place, frame in enumerate(read):
            image.seek(place)
            wanted = np.asarray(image.convert("RGBA"))
            assert np.array_equal(visible(frame), wanted[..., :3] * (wanted[..., 3:] > 0))
    write_image(tmp_path / "out.gif", read)
    back = list(read_frames(tmp_path / "out.gif", channels=3))
    for found, frame in zip(back, read, strict=True):
        assert np.array_equal(visible(found), visible(frame))


def test_an_animation_of_avif_keeps_its_time(tmp_path: Path) -> None:
    read = list(read_frames(animated(tmp_path / "in.avif", quality=100), channels=3))
    write_image(tmp_path / "out.avif", read, quality=100)
    back = list(read_frames(tmp_path / "out.avif", channels=3))
    assert [frame.duration for frame in back] == DURATIONS
    for found, frame in zip(back, read, strict=True):
        assert np.abs(found.pixels.astype(int) - frame.pixels).max() <= 16


def test_equal_frames_keep_the_time_of_both() -> None:
    frame = Picture(pixels=np.full((4, 4, 3), 9, np.uint8), duration=80.0)
    other = replace(frame, pixels=frame.pixels + 90)
    for suffix in (".gif", ".png", ".webp"):
        content = encode_image([frame, frame, other], suffix=suffix)
        read = list(read_frames(io.BytesIO(content), channels=3))
        assert sum(frame.duration or 0 for frame in read) == 240


def test_an_animation_that_runs_once_is_not_looped(tmp_path: Path) -> None:
    first, second, *_ = drawn()
    first.save(tmp_path / "in.gif", save_all=True, append_images=[second], duration=50)
    read = list(read_frames(tmp_path / "in.gif", channels=3))
    assert read[0].loop is None
    for suffix, once in ((".gif", None), (".webp", 1), (".png", 1)):
        content = encode_image(read, suffix=suffix)
        assert read_image(io.BytesIO(content), channels=3).loop == once


def test_pages_of_all_sizes_and_depths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pages = [
        Picture(pixels=rng.integers(0, 256, (20, 30, 3), np.uint8)),
        Picture(pixels=rng.integers(0, 65_536, (7, 5, 3)).astype(np.uint16), white=65_535.0),
        Picture(pixels=np.repeat(rng.random((9, 4, 1), np.float32), 1, 2), white=1.0),
    ]
    write_image(tmp_path / "in.tif", pages)
    read = list(read_frames(tmp_path / "in.tif", channels=3))
    assert [page.pixels.shape for page in read] == [(20, 30, 3), (7, 5, 3), (9, 4, 3)]
    for found, page in zip(read, pages, strict=True):
        assert found.pixels.dtype == page.pixels.dtype
        assert np.array_equal(found.pixels[..., :1], page.pixels[..., :1])
        assert found.duration is None
    with pytest.raises(ImageError, match=r"frames of 3 different sizes cannot .*\. Use \.tif"):
        write_image(tmp_path / "out.gif", read)


def test_pages_that_pillow_does_not_know(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pages = [Picture(pixels=rng.random((9, 4 + n, 3), np.float32), white=1.0) for n in range(3)]
    write_image(tmp_path / "in.tif", pages)
    read = list(read_frames(tmp_path / "in.tif", channels=3))
    for found, page in zip(read, pages, strict=True):
        assert np.array_equal(found.pixels, page.pixels)


def test_a_picture_outside_of_its_animation_is_no_frame(tmp_path: Path) -> None:
    path = animated(tmp_path / "in.png", default_image=True, duration=DURATIONS[1:])
    assert len(list(read_frames(path, channels=3))) == len(DURATIONS) - 1


def test_a_still_picture_is_one_frame_without_time(tmp_path: Path) -> None:
    for suffix in (".png", ".gif", ".jpg", ".tif", ".webp"):
        drawn()[0].save(tmp_path / f"in{suffix}")
        (read,) = read_frames(tmp_path / f"in{suffix}", channels=3)
        assert (read.duration, read.loop) == (None, None)


def test_frames_are_read_one_by_one(tmp_path: Path) -> None:
    content = bytearray(animated(tmp_path / "in.png").read_bytes())
    last = content.rindex(b"fdAT")
    content[last + 12 : last + 60] = bytes(48)
    frames = read_frames(io.BytesIO(content), channels=3)
    assert next(frames).pixels.shape == (20, 30, 3)
    with pytest.raises(ImageError, match=r"^-: damaged"):
        list(frames)


def test_a_format_of_one_picture_refuses_several(tmp_path: Path) -> None:
    pictures = list(read_frames(animated(tmp_path / "in.gif"), channels=3))
    assert [s for s in (".gif", ".webp", ".TIF", ".png", ".avif") if not holds_frames(s)] == []
    assert not holds_frames(".jpg")
    with pytest.raises(
        ImageError, match=r"out\.jpg: \.jpg cannot hold 4 frames\. Use \.gif, \.webp or \.tif"
    ):
        write_image(tmp_path / "out.jpg", pictures)
    assert not (tmp_path / "out.jpg").exists()
    write_image(tmp_path / "out.jpg", pictures[:1])


def test_a_gif_of_few_colours_is_exact_and_of_many_is_near() -> None:
    few = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    found = read_image(io.BytesIO(encode_image(Picture(pixels=few), suffix=".gif")), channels=3)
    assert np.array_equal(found.pixels, few)  # 256 colours
    smooth = np.asarray(Image.linear_gradient("L").resize((90, 80)).convert("RGB"))
    many = np.dstack(
        [smooth[..., 0], smooth[::-1, :, 0], smooth[..., 0].T[:80, :80][:, :1].repeat(90, 1)]
    )
    found = read_image(io.BytesIO(encode_image(Picture(pixels=many), suffix=".gif")), channels=3)
    assert np.abs(found.pixels.astype(int) - many).mean() < 6
