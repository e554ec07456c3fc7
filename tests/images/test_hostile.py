"""Files that mean harm or are broken: a picture or one line, whoever reads beside."""

import io
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from profiles import adobe_rgb

from imgtranslate.errors import ImageError, ImgTranslateError
from imgtranslate.images import Picture, encode_image, read_frames, read_image
from imgtranslate.images.limits import pixel_limit, quiet, unlimited

BASES = [
    *(
        (suffix, "uint8", 3, frames)
        for suffix in (".png", ".gif", ".webp", ".tif")
        for frames in (1, 3)
    ),
    *((suffix, "uint8", 3, 1) for suffix in (".jpg", ".bmp", ".avif", ".jp2", ".tga", ".ppm")),
    *((".png", "uint16", channels, 1) for channels in (1, 3)),
    *((".tif", dtype, channels, 2) for dtype in ("uint16", "float32") for channels in (1, 3)),
    (".npy", "float32", 3, 1),
]


def whole(suffix: str, dtype: str, channels: int, frames: int) -> bytes:
    rng = np.random.default_rng(0)
    white = {"uint8": 255, "uint16": 65_535, "float32": 1}[dtype]
    pictures = [
        Picture(
            pixels=(rng.random((12, 17, channels)) * white).astype(dtype),
            white=white,
            icc_profile=adobe_rgb(),
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0",
            xmp=b"<x:xmpmeta tiff:Orientation='3'/>",
            duration=20.0,
        )
        for _ in range(frames)
    ]
    return encode_image(pictures, suffix=suffix)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, most at the beginning; sometimes cut, sometimes doubled in part."""
    changed = bytearray(content)
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
    for place in rng.integers(0, reach, size=rng.integers(1, 8)):
        changed[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])
    cut = int(rng.integers(len(changed))) if rng.random() < 0.2 else len(changed)
    doubled = changed[cut // 2 : cut] if rng.random() < 0.1 else b""
    return bytes(changed[:cut] + doubled)


def attempts(rng: np.random.Generator) -> Iterator[bytes]:
    contents = [whole(*base) for base in BASES]
    while True:
        yield from (mutated(content, rng) for content in contents)


def judge(content: bytes) -> bool:
    """Whether it is a picture still; anything but that or one line is a bug."""
    try:
        for picture in read_frames(io.BytesIO(content), channels=3):
            assert picture.pixels.ndim == 3
            assert picture.pixels.shape[2] == 3
            for suffix in (".png", ".tif", ".jpg"):
                encode_image(picture, suffix=suffix)
    except ImgTranslateError as error:
        said = str(error)
    else:
        return True
    assert said.startswith("-: ")
    assert "\n" not in said
    return False


def test_mutated_files_give_pictures_or_one_line() -> None:
    files = attempts(np.random.default_rng(0))
    verdicts = {judge(next(files)) for _ in range(40 * len(BASES))}
    assert verdicts == {True, False}


# Bombs


def bomb(suffix: str = ".png") -> io.BytesIO:
    return io.BytesIO(encode_image(Picture(pixels=np.zeros((30, 40, 3), np.uint8)), suffix=suffix))


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif", ".webp", ".jpg", ".avif"])
@pytest.mark.parametrize("limit", [1199, 300])  # Pillow warns of the one and refuses the other
def test_a_bomb_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, suffix: str, limit: int
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=f"^-: 1,200 pixels, more than the limit of {limit:,}. "):
        read_image(bomb(suffix), channels=3)
    assert read_image(bomb(suffix), channels=3, allow_huge=True).pixels.shape == (30, 40, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_bomb_of_many_channels_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode_image(Picture(pixels=np.zeros((10, 10, 60), np.uint8)), suffix=".tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="more than the limit of 1,000"):
        read_image(io.BytesIO(content), channels=60)
    assert read_image(io.BytesIO(content), channels=60, allow_huge=True).pixels.shape[2] == 60


def test_an_endless_animation_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = [Picture(pixels=np.full((30, 40, 3), n, np.uint8)) for n in range(12)]
    content = encode_image(pictures, suffix=".gif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1200)
    with pytest.raises(ImageError, match="more than 9,600 pixels together"):
        list(read_frames(io.BytesIO(content), channels=3))
    assert len(list(read_frames(io.BytesIO(content), channels=3, allow_huge=True))) == 12


def test_pillows_limit_is_lifted_for_all_and_set_again_by_the_last() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    first, second = unlimited(), unlimited()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS is None
    assert pixel_limit() == limit
    second.__exit__(None, None, None)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_frame_held_by_others_leaves_nothing_changed() -> None:
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    frames = read_frames(bomb(), channels=3, allow_huge=True)
    next(frames)
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters
    list(frames)


def test_only_pillows_warnings_are_silent() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn_explicit("a", UserWarning, "PIL/Image.py", 1, module="PIL.Image")
            warnings.warn_explicit("b", UserWarning, "mine.py", 1, module="mine")
    assert [str(found.message) for found in heard] == ["b"]


# Threads


def test_threads_read_and_write_as_one_does() -> None:
    contents = [whole(*base) for base in BASES] * 4
    limit = Image.MAX_IMAGE_PIXELS
    filters = list(warnings.filters)

    def work(place: int) -> bytes:
        source = io.BytesIO(contents[place])
        frames = list(read_frames(source, channels=3, allow_huge=place % 3 == 0))
        return encode_image(frames, suffix=".tif")

    alone = [work(place) for place in range(len(contents))]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(len(contents))))
    assert together == alone
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters
    assert threading.active_count() < 20


# HEIC


def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    content = io.BytesIO()
    smooth = Image.linear_gradient("L").convert("RGB")
    pillow_heif.from_pillow(smooth).save(content, quality=90)
    return content.getvalue()


@pytest.mark.parametrize("name", ["in.heic", "in.jpg"])
def test_heic_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(heic())
    picture = read_image(tmp_path / name, channels=3)
    smooth = np.asarray(Image.linear_gradient("L").convert("RGB")).astype(int)
    assert np.abs(picture.pixels - smooth).mean() < 2


def test_without_the_extra_one_line_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.heic").write_bytes(heic())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"in\.heic: HEIC needs .* 'imgtranslate\[heif\]'"):
        read_image(tmp_path / "in.heic", channels=3)


def test_avif_is_not_taken_for_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = whole(".avif", "uint8", 3, 1).replace(b"ftypavif", b"ftypmif1", 1)
    assert read_image(io.BytesIO(content), channels=3).pixels.shape[2] == 3


# Streams


def test_a_pipe_that_cannot_be_read_twice_is_read_once() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    for base in BASES:
        content = whole(*base)
        piped = list(read_frames(Pipe(content), channels=3))
        assert len(piped) == base[3]
        assert np.array_equal(piped[0].pixels, read_image(io.BytesIO(content), channels=3).pixels)
    with pytest.raises(ImageError, match=r"^-: an empty file\. "):
        read_image(Pipe(b""), channels=3)
