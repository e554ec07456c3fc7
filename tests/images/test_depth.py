"""Pictures of every depth: what goes in comes out, and nothing is clipped at 255."""

import io
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images import (
    Picture,
    eight_bits,
    encode_image,
    holds,
    picture_from_pil,
    read_frames,
    read_image,
    resized,
    to_network,
    to_pil,
    to_pixels,
    write_image,
)
from imgtranslate.images.picture import in_depth, over_white, with_alpha

WHITES = {"uint8": 255.0, "uint16": 65_535.0, "int32": 65_535.0, "float16": 1.0, "float32": 1.0}


def random_picture(dtype: str, channels: int = 3, *, alpha: bool = False, seed: int = 0) -> Picture:
    """Noise; of floats such that a network's [-1, 1] holds them exactly."""
    rng = np.random.default_rng(seed)
    shape = (19, 23, channels + alpha)
    if dtype.startswith("float"):
        samples = (rng.integers(0, 2049, shape) / 2048).astype(dtype)
        samples[0, 0] = 1
    else:
        samples = rng.integers(0, WHITES[dtype] + 1, shape).astype(dtype)
    pixels, beside = (samples[..., :-1], samples[..., -1]) if alpha else (samples, None)
    return Picture(pixels=pixels, white=WHITES[dtype], alpha=beside)


def through_identity(given: Picture) -> Picture:
    values = to_network(given.pixels, white=given.white)
    pixels = to_pixels(values, white=given.white, dtype=given.pixels.dtype)
    return replace(given, pixels=pixels)


def assert_same(found: Picture, wanted: Picture) -> None:
    assert found.pixels.dtype == wanted.pixels.dtype
    assert np.array_equal(found.pixels, wanted.pixels)
    assert found.white == wanted.white
    assert (found.alpha is None) == (wanted.alpha is None)
    if wanted.alpha is not None:
        assert found.alpha is not None
        assert found.alpha.dtype == wanted.alpha.dtype
        assert np.array_equal(found.alpha, wanted.alpha)


# Values


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_all_65536_values_survive_the_round_trip(dtype: str) -> None:
    ramp = np.arange(65_536).astype(dtype).reshape(256, 256, 1)
    assert_same(
        through_identity(Picture(pixels=ramp, white=65_535.0)),
        Picture(pixels=ramp, white=65_535.0),
    )


@pytest.mark.parametrize("white", [1.0, 255.0, 65_535.0])
def test_floats_come_back_within_a_float_of_their_white(white: float) -> None:
    values = np.random.default_rng(0).random((50, 40, 3), np.float32) * np.float32(1.9 * white)
    back = to_pixels(to_network(values, white=white), white=white, dtype=np.float32)
    assert np.abs(back - values).max() <= white * 2**-23


def test_floats_of_half_length_stay_finite() -> None:
    values = np.full((1, 1, 1), 3, np.float32)
    assert np.isfinite(to_pixels(values, white=65_535.0, dtype=np.float16)).all()


def test_what_is_not_a_number_is_black_to_the_network() -> None:
    pixels = np.array([[[np.nan], [np.inf], [-np.inf]]], np.float32)
    assert to_network(pixels, white=1.0).ravel().tolist() == [-1, 1, -1]


def test_rows_can_be_taken_by_themselves() -> None:
    pixels = random_picture("uint16").pixels
    whole = to_network(pixels, white=65_535.0)
    assert np.array_equal(to_network(pixels[4:9], white=65_535.0), whole[:, 4:9])
    rows = to_pixels(whole[:, 4:9], white=65_535.0, dtype=np.uint16)
    assert np.array_equal(rows, pixels[4:9])


# Files

EXACT = [
    *[(".png", d, c, a) for d in ("uint8", "uint16") for c in (1, 3) for a in (False, True)],
    *[(".tif", d, c, a) for d in WHITES for c in (1, 3) for a in (False, True)],
    *[(".tif", d, c, False) for d in WHITES for c in (5, 6)],
    *[(".npy", d, c, False) for d in WHITES for c in (1, 3, 4, 7)],
    *[(".pgm", d, 1, False) for d in ("uint8", "uint16")],
    *[(".webp", "uint8", c, a) for c in (1, 3) for a in (False, True)],
]


@pytest.mark.parametrize(("suffix", "dtype", "channels", "alpha"), EXACT)
def test_an_identity_gives_back_its_file(
    suffix: str, dtype: str, channels: int, alpha: bool, tmp_path: Path
) -> None:
    given = random_picture(dtype, channels, alpha=alpha)
    write_image(tmp_path / f"in{suffix}", given)
    read = read_image(tmp_path / f"in{suffix}", channels=channels)
    assert_same(read, given)
    write_image(tmp_path / f"out{suffix}", through_identity(read))
    assert_same(read_image(tmp_path / f"out{suffix}", channels=channels), given)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    alpha=st.booleans(),
    suffix=st.sampled_from([".png", ".tif", ".webp", ".jp2", ".gif", ".jpg", ".bmp", ".npy"]),
)
def test_any_picture_fits_any_format(
    width: int, height: int, channels: int, dtype: str, alpha: bool, suffix: str
) -> None:
    source = random_picture(dtype, channels, alpha=alpha)
    rows, columns = np.arange(height) % 19, np.arange(width) % 23
    given = replace(
        source,
        pixels=source.pixels[rows][:, columns],
        alpha=None if source.alpha is None else source.alpha[rows][:, columns],
    )
    content = io.BytesIO(encode_image(given, suffix=suffix))
    read = read_image(content, channels=channels)
    assert read.pixels.shape == given.pixels.shape
    if suffix not in (".gif", ".jpg"):
        kept = given if suffix in (".png", ".tif", ".webp", ".jp2") else over_white(given)
        wanted = given if suffix == ".npy" else in_depth(kept, read.pixels.dtype)
        assert np.array_equal(read.pixels, wanted.pixels)


PACKED = [
    *[(dtype, None, False) for dtype in ("uint8", "uint16", "float16", "float32", "float64")],
    *[(dtype, "zlib", False) for dtype in ("uint8", "uint16", "float16", "float32", "float64")],
    *[(dtype, "zlib", True) for dtype in ("uint8", "uint16", "float16", "float32")],
    *[("uint16", compression, False) for compression in ("lzw", "zstd", "packbits", "lzma")],
]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize(("dtype", "compression", "predictor"), PACKED)
def test_tiff_of_another_hand_is_read_rightly(
    dtype: str,
    compression: str | None,
    predictor: bool,
    tiled: bool,
    planes: bool,
    byteorder: Any,
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    scale = 1 if dtype.startswith("float") else np.iinfo(dtype).max
    for channels in (1, 2, 3, 4, 6):
        samples = (rng.random((37, 21, channels)) * scale).astype(dtype)
        tifffile.imwrite(
            tmp_path / "in.tif",
            np.moveaxis(samples, 2, 0) if planes and channels > 1 else samples,
            photometric="rgb" if channels in (3, 4) else "minisblack",
            planarconfig=("separate" if planes else "contig") if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            byteorder=byteorder,
            compression=compression,
            predictor=predictor,
            tile=(16, 16) if tiled else None,
        )
        colours = {2: 1, 4: 3}.get(channels, channels)
        read = read_image(tmp_path / "in.tif", channels=colours)
        wanted = samples.astype(np.float32) if dtype == "float64" else samples
        assert read.pixels.dtype == wanted.dtype
        assert np.array_equal(read.pixels, wanted[..., :colours])
        assert (read.alpha is not None) == (colours < channels)
        if read.alpha is not None:
            assert np.array_equal(read.alpha, wanted[..., -1])


@pytest.mark.parametrize("dtype", WHITES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_others_read_our_tiff(dtype: str, channels: int, tmp_path: Path) -> None:
    given = random_picture(dtype, channels)
    write_image(tmp_path / "out.tif", given)
    found = tifffile.imread(tmp_path / "out.tif").reshape(given.pixels.shape)
    assert found.dtype == given.pixels.dtype
    assert np.array_equal(found, given.pixels)


def test_grey_of_16_bits_whose_white_is_zero(tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    tifffile.imwrite(tmp_path / "in.tif", ramp, photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "in.tif", channels=1).pixels[..., 0], 65_535 - ramp)


def test_a_colour_map_of_8_bits_is_not_black(tmp_path: Path) -> None:
    """Some scanners write 0 to 255 where TIFF wants 0 to 65,535."""
    places = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for scale in (1, 257):
        levels = np.tile(np.arange(256, dtype=np.uint16) * scale, (3, 1))
        tifffile.imwrite(tmp_path / "in.tif", places, photometric="palette", colormap=levels)
        read = read_image(tmp_path / "in.tif", channels=3)
        assert np.array_equal(read.pixels, np.dstack([places] * 3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_bigtiff_is_read_with_its_orientation(dtype: str, byteorder: Any, tmp_path: Path) -> None:
    given = random_picture(dtype)
    tags = [(274, "H", 1, 3, True)]
    path = tmp_path / "in.tif"
    options = {"bigtiff": True, "byteorder": byteorder, "extratags": tags}
    tifffile.imwrite(path, given.pixels, photometric="rgb", **options)
    assert np.array_equal(read_image(path, channels=3).pixels, given.pixels[::-1, ::-1])


def test_12_bits_are_as_bright_as_16(tmp_path: Path) -> None:
    """Two pixels of 12 bits in three bytes, which neither Pillow nor tifffile writes."""
    levels = np.array([[0, 4095], [2048, 1]], np.uint16)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in levels.tolist())
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((2, 3), np.uint8), photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "in.tif", mode="r+") as file:
        tags = file.pages[0].tags
        place = tags["StripOffsets"].value[0]
        tags["ImageWidth"].overwrite(2)
        tags["BitsPerSample"].overwrite(12)
    with (tmp_path / "in.tif").open("r+b") as raw:
        raw.seek(place)
        raw.write(packed)
    wanted = np.rint(levels * (65_535 / 4095)).astype(np.uint16)
    assert np.array_equal(read_image(tmp_path / "in.tif", channels=1).pixels[..., 0], wanted)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_that_was_multiplied_into_the_colours_is_taken_out(
    dtype: str, channels: int, tmp_path: Path
) -> None:
    given = random_picture(dtype, channels - 1, alpha=True)
    assert given.alpha is not None
    given.alpha[:] = np.maximum(given.alpha, given.white / 2)
    given.alpha[0, 0] = 0
    multiplied = given.pixels * (given.alpha[..., None] / given.white)
    if dtype != "float32":
        multiplied = np.rint(multiplied)
    tifffile.imwrite(
        tmp_path / "in.tif",
        np.dstack([multiplied.astype(dtype), given.alpha]),
        photometric="rgb" if channels == 4 else "minisblack",
        planarconfig="contig",
        extrasamples=["assocalpha"],
    )
    read = read_image(tmp_path / "in.tif", channels=channels - 1)
    assert read.pixels.dtype == dtype
    assert np.array_equal(read.alpha, given.alpha)
    assert (read.pixels[0, 0] == 0).all()
    apart = np.abs(read.pixels / given.white - given.pixels / given.white)[1:]
    assert apart.max() <= {"uint8": 2.1 / 255, "uint16": 1.1 / 65_535, "float32": 1e-6}[dtype]


def test_light_without_a_body_does_not_blow_up(tmp_path: Path) -> None:
    samples = np.array([[[0.5, 0.5, 1e-9, 1e-6], [1.5, 0, 0, 1]]], np.float32)
    tifffile.imwrite(tmp_path / "in.tif", samples, photometric="rgb", extrasamples=["assocalpha"])
    found = read_image(tmp_path / "in.tif", channels=3).pixels
    assert found == pytest.approx(np.array([[[1, 1, 0.001], [1.5, 0, 0]]]), rel=1e-4)


def test_one_colour_of_16_bits_may_be_transparent(tmp_path: Path) -> None:
    given = random_picture("uint16")
    given.pixels[0, 0] = given.pixels[3, 5] = (1, 2, 3)
    given.pixels[1, 1] = (1, 2, 4)
    content = encode_image(given, suffix=".png")
    key = b"tRNS" + bytes([0, 1, 0, 2, 0, 3])
    chunk = (6).to_bytes(4) + key + zlib.crc32(key).to_bytes(4)
    (tmp_path / "in.png").write_bytes(content[:33] + chunk + content[33:])
    read = read_image(tmp_path / "in.png", channels=3)
    assert np.array_equal(read.pixels, given.pixels)
    assert read.alpha is not None
    assert sorted(zip(*np.nonzero(read.alpha == 0), strict=True)) == [(0, 0), (3, 5)]
    assert set(np.unique(read.alpha)) == {0, 65_535}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_pictures_are_turned_upright_as_others(
    suffix: str, orientation: int, tmp_path: Path
) -> None:
    given = random_picture("uint16", alpha=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if suffix == ".png":
        write_image(tmp_path / "in.png", replace(given, exif=exif.tobytes()))
    else:
        assert given.alpha is not None
        samples = np.dstack([given.pixels, given.alpha])
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(
            tmp_path / "in.tif",
            samples,
            photometric="rgb",
            extrasamples=["unassalpha"],
            extratags=tags,
        )
    shallow = io.BytesIO()
    to_pil(given).save(shallow, "PNG", exif=exif)
    read = read_image(tmp_path / f"in{suffix}", channels=3)
    assert read.pixels.dtype == np.uint16
    wanted = read_image(shallow, channels=3)
    assert np.array_equal(eight_bits(read).pixels, wanted.pixels)
    assert np.array_equal(eight_bits(read).alpha, wanted.alpha)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_plain_tiff_on_its_side_is_turned_upright(
    mode: str, orientation: int, tmp_path: Path
) -> None:
    """From a path, which Pillow would map into memory, as from a stream, which it cannot."""
    noise = random_picture("uint16", 1) if mode == "I;16" else random_picture("uint8", 4)
    pixels = noise.pixels[..., 0] if mode == "I;16" else noise.pixels
    stored = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = stored if mode in ("I;16", "RGBA") else stored.convert("RGB").convert(mode)
    stored.save(tmp_path / "in.tif", exif=exif)
    wanted = read_image(io.BytesIO((tmp_path / "in.tif").read_bytes()), channels=3)
    assert wanted.pixels.shape[:2] == ((23, 19) if orientation > 4 else (19, 23))
    assert_same(read_image(tmp_path / "in.tif", channels=3), wanted)
    with Image.open(tmp_path / "in.tif") as lazy:
        assert_same(picture_from_pil(lazy, channels=3), wanted)
        assert lazy.filename == str(tmp_path / "in.tif")


def test_colours_of_16_bits_become_grey_without_loss_of_levels() -> None:
    ramp = np.repeat(np.arange(65_536, dtype=np.uint16).reshape(256, 256, 1), 3, axis=2)
    content = io.BytesIO(encode_image(Picture(pixels=ramp, white=65_535.0), suffix=".png"))
    assert np.array_equal(read_image(content, channels=1).pixels, ramp[..., :1])


@pytest.mark.parametrize(
    ("dtype", "suffix", "written"),
    [
        ("uint16", ".jpg", "uint8"),
        ("float32", ".png", "uint16"),
        ("int32", ".png", "uint16"),
        ("float16", ".webp", "uint8"),
    ],
)
def test_the_nearest_depth_is_written_where_a_format_has_not_its_own(
    dtype: str, suffix: str, written: str
) -> None:
    given = random_picture(dtype, 1)
    read = read_image(io.BytesIO(encode_image(given, suffix=suffix)), channels=1)
    assert read.pixels.dtype == written
    shift = read.pixels / read.white - given.pixels / given.white
    assert np.abs(shift).max() <= (0.1 if suffix == ".jpg" else 0.51 / read.white)


def test_arrays_come_through_a_stream(tmp_path: Path) -> None:
    for order in ("C", "F"):
        stored = np.asarray(random_picture("uint16", 5).pixels, order=order)  # type: ignore[call-overload]
        np.save(tmp_path / "x.npy", stored.astype(">u2"))
        with (tmp_path / "x.npy").open("rb") as file:
            assert np.array_equal(read_image(file, channels=5).pixels, stored)
    header = (tmp_path / "x.npy").read_bytes().replace(b"(19, 23, 5)", b"(9999, 999, 5)")
    with pytest.raises(ImageError, match=r"^-: not a numpy array"):
        read_image(io.BytesIO(header), channels=5)


def test_pil_gets_grey_in_its_depth() -> None:
    modes = {"uint8": "L", "uint16": "I;16", "int32": "I", "float16": "F", "float32": "F"}
    for dtype, mode in modes.items():
        image = to_pil(random_picture(dtype, 1))
        assert image.mode == mode
        assert np.array_equal(
            picture_from_pil(image, channels=1).pixels, random_picture(dtype, 1).pixels
        )
        assert to_pil(random_picture(dtype, 3)).mode == "RGB"


def test_formats_say_what_they_hold() -> None:
    assert holds(".tif", channels=6)
    assert holds(".npy", channels=100)
    assert not holds(".png", channels=6)


# Size, transparency


@pytest.mark.parametrize("dtype", WHITES)
def test_resizing_keeps_depth_and_aspect(dtype: str) -> None:
    given = random_picture(dtype, alpha=True)  # 23 x 19
    small = resized(given, 10)
    assert small.pixels.shape == (10, 12, 3)
    assert small.alpha is not None
    assert small.alpha.shape == (10, 12)
    assert small.pixels.dtype == given.pixels.dtype == small.alpha.dtype
    assert resized(given, 19) is given
    flat = replace(given, pixels=np.full_like(given.pixels, given.white), alpha=None)
    assert (resized(flat, 40).pixels == flat.pixels[0, 0, 0]).all()
    with pytest.raises(UsageError, match="`resize` 0"):
        resized(given, 0)


def test_resizing_does_not_make_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="more than the limit of 1,000"):
        resized(random_picture("uint8"), 50)
    assert resized(random_picture("uint8"), 50, allow_huge=True).pixels.shape[0] == 50


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_transparency_is_kept_dropped_or_laid_over_white(dtype: str) -> None:
    white = WHITES[dtype]
    given = Picture(
        pixels=np.array([[[0], [0], [0]]], dtype),
        alpha=np.array([[0, white, white / 5]], dtype),
        white=white,
    )
    assert with_alpha(given, "keep") is given
    dropped = with_alpha(given, "drop")
    assert dropped.alpha is None
    assert dropped.pixels is given.pixels
    matte = with_alpha(given, "matte")
    assert matte.alpha is None
    assert matte.pixels.ravel().tolist() == pytest.approx([white, 0, white * 4 / 5])


def test_the_choice_holds_while_reading(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "in.png")
    for alpha, pixel in (("keep", [10, 20, 30]), ("drop", [10, 20, 30]), ("matte", [255] * 3)):
        (read,) = read_frames(tmp_path / "in.png", channels=3, alpha=alpha)  # type: ignore[arg-type]
        assert read.pixels[0, 0].tolist() == pixel
        assert (read.alpha is None) == (alpha != "keep")
