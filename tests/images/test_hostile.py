"""Files that mean harm or are broken: a picture or one line, whoever reads beside."""

import contextlib
import io
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fixtures.profiles import adobe_rgb
from PIL import Image

from imgtranslate.errors import ImageError, ImgTranslateError
from imgtranslate.images import (
    Picture,
    encode_image,
    picture_from_pil,
    read_frames,
    read_image,
)
from imgtranslate.images.opening import pixel_limit, quiet, unlimited

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


FOREIGN = [  # TIFF of another hand: 16 bits by channel, tiles of floats, many channels, alpha
    ("uint16", 3, {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"}),
    ("float32", 3, {"photometric": "rgb", "tile": (16, 16), "compression": "zlib", "predictor": 3}),
    ("float16", 5, {"photometric": "minisblack", "planarconfig": "contig", "bigtiff": True}),
    ("uint8", 5, {"photometric": "rgb", "planarconfig": "contig", "compression": "packbits"}),
    ("uint16", 4, {"photometric": "rgb", "extrasamples": ["assocalpha"], "compression": "zstd"}),
]


def foreign(dtype: str, channels: int, options: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    samples = (np.random.default_rng(0).random((12, 17, channels)) * 255).astype(dtype)
    planes = options.get("planarconfig") == "separate"
    tifffile.imwrite(content, np.moveaxis(samples, 2, 0) if planes else samples, **options)
    return content.getvalue()


def attempts(rng: np.random.Generator) -> Iterator[tuple[bytes, int]]:
    """Mutated files and how many channels they have at most."""
    contents = [(whole(*base), 3) for base in BASES]
    contents += [(foreign(*base), 5 if base[1] == 5 else 3) for base in FOREIGN]
    while True:
        yield from ((mutated(content, rng), channels) for content, channels in contents)


def judge(content: bytes, channels: int) -> bool:
    """Whether it is a picture still; anything but that or one line is a bug."""
    try:
        for picture in read_frames(io.BytesIO(content), channels=channels):
            assert picture.pixels.ndim == 3
            assert picture.pixels.shape[2] == channels
            for suffix in (".png", ".tif", ".jpg") if channels == 3 else (".tif",):
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
    verdicts = {judge(*next(files)) for _ in range(40 * len([*BASES, *FOREIGN]))}
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StopIteration(), "damaged: generator raised StopIteration"),
        (AssertionError(), "damaged: the decoder failed with AssertionError"),
        (RecursionError("maximum recursion depth exceeded"), "damaged: maximum recursion depth"),
        (KeyError("tag"), "damaged: the decoder failed with KeyError"),
        (Image.DecompressionBombError("size (400000000 pixels)"), "400,000,000 pixels, more than"),
        (ArithmeticError(), "damaged: the decoder failed with ArithmeticError"),
        (type("Panic", (Exception,), {})("bug"), "damaged: the decoder failed with Panic"),
        (ValueError("Unsupported palette"), "a kind that cannot be decoded: Unsupported palette"),
        (MemoryError(), "too large for the available memory"),
    ],
)
def test_anything_that_a_decoder_raises_is_one_line_about_the_file(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)
    content = whole(".png", "uint8", 3, 1)
    with pytest.raises(ImageError, match=f"^-: {reason}"):
        read_image(io.BytesIO(content), channels=3)
    with pytest.raises(ImageError, match=r"^image: "):
        picture_from_pil(Image.open(io.BytesIO(content)), channels=3)


def test_a_damaged_header_is_not_an_unknown_format() -> None:
    content = whole(".png", "uint8", 3, 1).replace(b"IHDR", b"IHDX", 1)
    with pytest.raises(ImageError, match=r"^-: damaged: PNG: "):
        read_image(io.BytesIO(content), channels=3)


def test_a_jpeg_of_12_bits_is_a_kind_that_cannot_be_decoded() -> None:
    content = whole(".jpg", "uint8", 3, 1)
    start = content.index(b"\xff\xc0") + 4
    deep = content[:start] + b"\x0c" + content[start + 1 :]
    with pytest.raises(ImageError, match=r"^-: a kind that cannot be decoded: JPEG: .*12-bit"):
        read_image(io.BytesIO(deep), channels=3)


def test_libtiff_does_not_write_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    content = io.BytesIO()
    Image.new("RGB", (50, 50)).save(content, "TIFF", compression="tiff_adobe_deflate")
    with pytest.raises(ImageError, match="damaged"):
        read_image(io.BytesIO(content.getvalue().replace(b"\x78\x9c", b"\0\0")), channels=3)
    assert capfd.readouterr() == ("", "")


# Bombs


def bomb(suffix: str = ".png") -> io.BytesIO:
    return io.BytesIO(encode_image(Picture(pixels=np.zeros((30, 40, 3), np.uint8)), suffix=suffix))


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif", ".webp", ".jpg", ".avif"])
@pytest.mark.parametrize("limit", [1199, 300])  # Pillow warns of the one and refuses the other
def test_a_bomb_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, suffix: str, limit: int
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(
        ImageError, match=rf"^-: 1,200 pixels, more than the limit of {limit:,}\. Resize it$"
    ):
        read_image(bomb(suffix), channels=3)
    assert read_image(bomb(suffix), channels=3, allow_huge=True).pixels.shape == (30, 40, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_bomb_of_many_channels_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode_image(Picture(pixels=np.zeros((10, 10, 60), np.uint8)), suffix=".tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="more than the limit of 1,000"):
        read_image(io.BytesIO(content), channels=60)
    assert read_image(io.BytesIO(content), channels=60, allow_huge=True).pixels.shape[2] == 60


def five_channels(path: Path, **options: Any) -> Path:
    samples = np.random.default_rng(0).integers(0, 256, (64, 64, 5), np.uint8)
    tifffile.imwrite(path, samples, photometric="minisblack", planarconfig="contig", **options)
    return path


def test_a_tile_much_larger_than_its_picture_is_refused(tmp_path: Path) -> None:
    path = five_channels(tmp_path / "in.tif", compression="zlib", tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(30_000)
    with pytest.raises(ImageError, match="1,800,000,000 pixels, more than the limit"):
        read_image(path, channels=5)


def test_a_large_tile_of_a_picture_that_pillow_decodes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.tif"
    samples = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(path, samples, photometric="rgb", compression="lzw", tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(16_384)
    with pytest.raises(ImageError, match="268,435,456 pixels, more than the limit"):
        read_image(path, channels=3)


def test_an_array_with_too_many_pixels_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros((20, 50, 5), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1999)  # 5 channels are two layers of 4
    with pytest.raises(ImageError, match="2,000 pixels, more than the limit"):
        read_image(io.BytesIO(content.getvalue()[:-9]), channels=5)
    assert read_image(content, channels=5, allow_huge=True).pixels.shape == (20, 50, 5)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits", "lzma"])
def test_a_strip_that_is_cut_short_or_not_there_is_damage(
    tmp_path: Path, compression: str | None
) -> None:
    for rows in (64, 16):  # one strip, four
        path = five_channels(tmp_path / "in.tif", compression=compression, rowsperstrip=rows)
        content = path.read_bytes()
        path.write_bytes(content[:-200])
        with pytest.raises(ImageError, match=r"in\.tif: damaged"):
            read_image(path, channels=5)
        path.write_bytes(content)
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages[0].tags["StripOffsets"].overwrite(2**31)
        with pytest.raises(ImageError, match=r"in\.tif: damaged"):
            read_image(path, channels=5)


def test_a_strip_unpacks_to_no_more_than_its_size(tmp_path: Path) -> None:
    """A strip of 64 x 64 px of a picture whose height was changed to 1 px."""
    for compression in ("zlib", "lzw", "zstd", "packbits", "lzma"):
        path = five_channels(tmp_path / "in.tif", compression=compression)
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages[0].tags["ImageLength"].overwrite(1)
        with contextlib.suppress(ImageError):
            assert read_image(path, channels=5).pixels.shape == (1, 64, 5)


def test_a_chain_of_pages_that_comes_back_ends(tmp_path: Path) -> None:
    content = bytearray(five_channels(tmp_path / "in.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "in.tif") as file:
        page = file.pages[0]
        link = page.offset + 2 + 12 * len(page.tags)
    content[link : link + 4] = page.offset.to_bytes(4, "little")
    assert len(list(read_frames(io.BytesIO(content), channels=5))) == 1


def test_a_file_without_a_picture_is_one_line(tmp_path: Path) -> None:
    for name, content in (("in.tif", b"II*\0\x08\0\0\0"), ("in.png", b"MM\0*" + bytes(8))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name}: "):
            read_image(tmp_path / name, channels=3)
        with pytest.raises(ImageError, match=rf"{name}: "):
            list(read_frames(tmp_path / name, channels=3))


def test_a_photoshop_file_without_layers_is_read(tmp_path: Path) -> None:
    planes = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(3, 6, 8)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 6, 8, 8, 3)
    (tmp_path / "in.psd").write_bytes(head + bytes(14) + planes.tobytes())
    assert np.array_equal(
        read_image(tmp_path / "in.psd", channels=3).pixels, np.moveaxis(planes, 0, 2)
    )


def test_an_endless_animation_is_refused_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = [Picture(pixels=np.full((30, 40, 3), n, np.uint8)) for n in range(12)]
    content = encode_image(pictures, suffix=".gif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1200)
    with pytest.raises(ImageError, match=r"more than 9,600 pixels together\. Shorten it$"):
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
    with pytest.raises(ImageError, match=r"^-: the file is empty\. "):
        read_image(Pipe(b""), channels=3)
