import contextlib
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from imgtranslate import images
from imgtranslate.errors import DataError, ImageError, UsageError
from imgtranslate.images import (
    IMAGE_SUFFIXES,
    Picture,
    eight_bits,
    list_images,
    mirror_indices,
    pad_to,
    picture_from_pil,
    read_image,
    to_network,
    to_pil,
    to_pixels,
    writable_suffixes,
    write_image,
)
from imgtranslate.images.arrays import ARRAY_SUFFIX

LOSSLESS = sorted(set(writable_suffixes()) - {".avif", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg"})


def gradient(height: int = 6, width: int = 9, channels: int = 3) -> np.ndarray:
    """Every corner differs, so that no turn goes unseen."""
    values = np.arange(height * width * channels) * 7 % 256
    return values.reshape(height, width, channels).astype(np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


# Pixels and values


def test_all_256_values_survive_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(to_pixels(to_network(pixels)), pixels)


def test_values_are_rounded_to_nearest_not_truncated():
    levels = np.array([10.4, 10.6, 254.6, 0.4], dtype=np.float32) / 127.5 - 1
    assert to_pixels(levels.reshape(1, 1, 4)).ravel().tolist() == [10, 11, 255, 0]


def test_values_out_of_range_are_clamped_and_nan_is_black():
    values = np.array([-9, 9, np.nan, np.inf, -np.inf], dtype=np.float32).reshape(1, 1, 5)
    assert to_pixels(values).ravel().tolist() == [0, 255, 0, 255, 0]


def test_to_network_is_float32_channels_first_in_minus_one_to_one():
    values = to_network(gradient())
    assert values.shape == (3, 6, 9)
    assert values.dtype == np.float32
    assert to_network(np.array([[[0], [255]]], dtype=np.uint8)).ravel().tolist() == [-1, 1]


# Mirror padding


@given(size=st.integers(2, 40), extra=st.integers(0, 200))
def test_mirror_indices_equal_numpys_reflection(size: int, extra: int):
    expected = np.pad(np.arange(size), (0, extra), mode="reflect")
    assert np.array_equal(mirror_indices(size, size + extra), expected)


def test_mirror_of_a_single_place_repeats_it():
    assert mirror_indices(1, 5).tolist() == [0, 0, 0, 0, 0]


def test_padding_goes_to_the_next_multiple_but_not_below_the_least():
    values = to_network(gradient(5, 13))
    assert pad_to(values, multiple=4, least=8).shape == (3, 8, 16)
    assert pad_to(values, multiple=32, least=32).shape == (3, 32, 32)
    assert np.array_equal(pad_to(values, multiple=4, least=8)[:, :5, :13], values)


def test_fitting_sides_are_not_touched():
    values = to_network(gradient(8, 16))
    assert pad_to(values, multiple=8, least=8) is values


# Modes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int):
    upright = Image.fromarray(gradient())
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turned = upright.transpose(stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera"
    picture = read_image(saved(turned, tmp_path / "in.png", exif=exif), channels=3)
    assert np.array_equal(picture.pixels, gradient())
    write_image(tmp_path / "out.png", picture)
    with Image.open(tmp_path / "out.png") as written:
        assert dict(written.getexif()) == {0x010F: "Camera"}
    assert np.array_equal(read_image(tmp_path / "out.png", channels=3).pixels, gradient())


def test_a_damaged_exif_block_does_not_spoil_the_picture(tmp_path: Path):
    path = saved(Image.fromarray(gradient()), tmp_path / "in.png", exif=b"Exif\0\0II*\0\xff\xff")
    assert np.array_equal(read_image(path, channels=3).pixels, gradient())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_carried_and_hides_nothing(mode: str):
    image = Image.fromarray(gradient()).convert(mode)
    alpha = np.arange(54, dtype=np.uint8).reshape(6, 9)
    image.putalpha(Image.fromarray(alpha))
    picture = picture_from_pil(image, channels=3)
    assert np.array_equal(picture.alpha, alpha)
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_a_palette_with_a_transparent_entry(tmp_path: Path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 1, 2, 3])
    image.putpixel((1, 0), 1)
    path = saved(image, tmp_path / "in.png", transparency=1)
    picture = read_image(path, channels=3)
    assert picture.pixels.tolist() == [[[200, 10, 20], [1, 2, 3]]]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]


def test_one_bit_is_black_and_white():
    image = Image.fromarray(np.array([[True, False]]))
    assert picture_from_pil(image, channels=1).pixels.ravel().tolist() == [255, 0]
    assert picture_from_pil(image, channels=3).pixels[0, 0].tolist() == [255, 255, 255]


def test_cmyk_becomes_rgb_and_its_profile_is_dropped(tmp_path: Path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    path = saved(image, tmp_path / "in.tif", icc_profile=b"a profile of inks")
    picture = read_image(path, channels=3)
    assert picture.pixels[8, 8].tolist() == [255, 0, 0]
    assert picture.icc_profile is None


def test_lab_becomes_srgb(tmp_path: Path):
    path = saved(Image.new("LAB", (8, 8), (255, 128, 128)), tmp_path / "in.tif")
    assert read_image(path, channels=3).pixels.min() >= 254


def test_grey_is_weighted_as_pillow_does():
    image = Image.fromarray(gradient())
    expected = np.asarray(image.convert("L"))[..., None]
    assert np.array_equal(picture_from_pil(image, channels=1).pixels, expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_a_ramp_of_16_bits_is_scaled_with_rounding(tmp_path: Path, suffix: str):
    ramp = np.arange(0, 65_536, 16, dtype=np.uint16).reshape(64, 64)
    ramp[-1, -1] = 65_535
    path = saved(Image.fromarray(ramp), tmp_path / f"in{suffix}")
    expected = np.rint(ramp / 257).astype(np.uint8)
    picture = read_image(path, channels=1)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(eight_bits(picture).pixels[..., 0], expected)


def test_16_bits_may_mark_one_value_as_transparent():
    image = Image.fromarray(np.array([[0, 514]], dtype=np.uint16))
    image.info["transparency"] = 514
    picture = picture_from_pil(image, channels=1)
    assert picture.pixels.ravel().tolist() == [0, 514]
    picture = eight_bits(picture)
    assert picture.pixels.ravel().tolist() == [0, 2]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]


def test_integers_of_32_bits_are_read_as_16_and_beyond_that_refused():
    image = Image.fromarray(np.array([[0, 65_535]], dtype=np.int32))
    picture = eight_bits(picture_from_pil(image, channels=1))
    assert picture.pixels.ravel().tolist() == [0, 255]
    for values, said in (([[10**6]], r"from 0 to 1e\+06"), ([[-1024, 3071]], "from -1024 to 3071")):
        with pytest.raises(ImageError, match=f"image: its values go {said}"):
            picture_from_pil(Image.fromarray(np.array(values, dtype=np.int32)), channels=1)


@pytest.mark.parametrize("white", [1, 255, 65_535])
def test_floats_are_scaled_by_the_white_that_they_seem_to_have(white: int):
    values = np.array([[0, 0.5, 1, 1.1, -0.1, np.nan]], dtype=np.float32) * white
    picture = picture_from_pil(Image.fromarray(values), channels=1)
    assert (picture.white, picture.pixels.dtype) == (white, np.float32)
    pixels = eight_bits(picture).pixels
    assert pixels.ravel().tolist() == [0, 128, 255, 255, 0, 0]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
def test_of_many_frames_the_first_is_read(tmp_path: Path, suffix: str):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    options = {"save_all": True, "append_images": frames[1:]}
    path = saved(frames[0], tmp_path / f"in{suffix}", **options)
    assert read_image(path, channels=3).pixels[4, 4].tolist()[1] < 8


# How a file is opened

RECORDS: list[list[str]] = []  # of the test that is running; the hook stays for the whole process


def note_open(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        for record in RECORDS:
            record.append(os.fspath(arguments[0]))


sys.addaudithook(note_open)


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".webp", ".gif", ".avif", ".bmp", ".tif", ".npy"]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_file_is_opened_once(tmp_path: Path, suffix: str, dtype: str):
    path = tmp_path / f"in{suffix}"
    white = float(np.iinfo(dtype).max)
    write_image(path, Picture(pixels=gradient().astype(dtype), white=white))
    read_image(path, channels=3)  # once before, for what decoders open when they are imported
    opened: list[str] = []
    RECORDS.append(opened)
    try:
        read_image(path, channels=3)
    finally:
        RECORDS.clear()
    assert opened == [str(path)]


def test_plain_pictures_import_no_decoder_of_tiff(tmp_path: Path):
    saved(Image.fromarray(gradient()), tmp_path / "in.png")
    saved(Image.fromarray(gradient()), tmp_path / "in.jpg")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from imgtranslate.images import read_image, write_image\n"
        "for name in ('in.png', 'in.jpg'):\n"
        "    path = Path(name)\n"
        "    write_image(path, read_image(path, channels=3))\n"
        "assert 'PIL.PngImagePlugin' in sys.modules\n"
        "assert not {'tifffile', 'imagecodecs', 'pillow_heif'} & set(sys.modules)\n"
        "read_image(Path('in.png'), channels=1)\n"
        "write_image(Path('in.tif'), read_image(Path('in.png'), channels=1))\n"
        "assert {'tifffile', 'imagecodecs'} <= set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_an_image_of_the_user_is_turned_each_time(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(gradient()), tmp_path / "in.jpg", exif=exif)
    with Image.open(path) as image:
        shapes = [picture_from_pil(image, channels=3).pixels.shape for _ in range(2)]
    assert shapes == [(9, 6, 3), (9, 6, 3)]


# Files that are no good


def broken_files() -> dict[str, bytes]:
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    jpeg, png = images_bytes(noise, "JPEG"), images_bytes(noise, "PNG")
    return {
        "empty.png": b"",
        "text.png": b"this is a shopping list\n",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": png[: len(png) // 2],
        "header.gif": b"GIF89a",
        "header.tif": b"II*\0\x08\0\0\0",
        "zeros.webp": bytes(500),
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    }


def images_bytes(image: Image.Image, file_format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_file_gives_one_line(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(broken_files()[name])
    with pytest.raises(ImageError) as caught:
        read_image(path, channels=3)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert ". " in str(caught.value)


def test_a_program_is_not_started_for_a_picture_whatever_its_name(tmp_path: Path):
    path = tmp_path / "holiday.png"
    path.write_bytes(broken_files()["program.eps"])
    with pytest.raises(ImageError, match="EPS is not supported"):
        read_image(path, channels=3)


def test_a_missing_file_a_folder_and_a_pipe_give_one_line(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in {
        "no.png": "cannot be read: No such file",
        ".": "not a file",
        "pipe.png": "not a file",
    }.items():
        with pytest.raises(ImageError, match=reason):
            read_image(tmp_path / name, channels=3)


@pytest.mark.parametrize("limit", [100, 40])  # Pillow warns of the one and refuses the other
def test_a_decompression_bomb_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
):
    path = saved(Image.new("RGB", (11, 10)), tmp_path / "in.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=f"110 pixels, more than the limit of {limit}"):
        read_image(path, channels=3)


def test_a_damaged_image_opened_by_the_user_gives_one_line(tmp_path: Path):
    path = tmp_path / "in.jpg"
    path.write_bytes(broken_files()["truncated.jpg"])
    with Image.open(path) as image, pytest.raises(ImageError, match="image: damaged"):
        picture_from_pil(image, channels=3)


def test_mutated_files_give_a_picture_or_one_line(tmp_path: Path):
    source = np.random.default_rng(0)
    noise = Image.effect_noise((24, 24), 90)
    seeds = [images_bytes(noise, kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP")]
    path = tmp_path / "in.png"
    for step in range(300):
        content = bytearray(seeds[step % len(seeds)])
        for place in source.integers(0, min(len(content), 300), size=4):
            content[place] = source.integers(0, 256)
        path.write_bytes(content)
        with contextlib.suppress(ImageError):  # anything else is a bug
            assert read_image(path, channels=3).pixels.shape[2] == 3


# Writing


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_keep_every_pixel(tmp_path: Path, suffix: str, channels: int):
    picture = Picture(pixels=gradient(40, 50, channels))
    write_image(tmp_path / f"out{suffix}", picture)
    read = read_image(tmp_path / f"out{suffix}", channels=channels)
    assert np.array_equal(read.pixels, picture.pixels)
    assert read.alpha is None


@pytest.mark.parametrize("suffix", [".avif", ".gif", ".jpg"])
def test_lossy_formats_stay_close(tmp_path: Path, suffix: str):
    smooth = np.asarray(Image.linear_gradient("L").resize((50, 40)).convert("RGB"))
    write_image(tmp_path / f"out{suffix}", Picture(pixels=smooth))
    read = read_image(tmp_path / f"out{suffix}", channels=3)
    assert np.abs(read.pixels.astype(int) - smooth).mean() < 1.5


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jp2", ".tga", ".sgi"])
def test_alpha_is_written_where_the_format_has_it(tmp_path: Path, suffix: str):
    picture = Picture(pixels=gradient(40, 50), alpha=gradient(40, 50, 1)[..., 0])
    write_image(tmp_path / f"out{suffix}", picture)
    read = read_image(tmp_path / f"out{suffix}", channels=3)
    assert np.array_equal(read.alpha, picture.alpha)
    assert np.array_equal(read.pixels, picture.pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".ppm"])
def test_alpha_is_laid_over_white_where_the_format_has_none(tmp_path: Path, suffix: str):
    black = np.zeros((16, 16, 3), np.uint8)
    write_image(
        tmp_path / f"out{suffix}", Picture(pixels=black, alpha=np.zeros((16, 16), np.uint8))
    )
    assert read_image(tmp_path / f"out{suffix}", channels=3).pixels.min() >= 254


def test_jpeg_is_written_without_thinning_the_colours(tmp_path: Path):
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    write_image(tmp_path / "out.jpg", Picture(pixels=stripes))
    read = read_image(tmp_path / "out.jpg", channels=3)
    assert np.abs(read.pixels.astype(int) - stripes).max() < 40


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_the_colour_profile_is_kept(tmp_path: Path, suffix: str):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(Image.fromarray(gradient()), tmp_path / f"in{suffix}", icc_profile=profile)
    write_image(tmp_path / f"out{suffix}", read_image(path, channels=3))
    assert read_image(tmp_path / f"out{suffix}", channels=3).icc_profile == profile
    grey = Picture(pixels=gradient(channels=1), icc_profile=profile)
    assert "icc_profile" not in to_pil(grey).info


def test_a_suffix_that_cannot_be_written_is_named(tmp_path: Path):
    for name in ("out.psd", "out"):
        with pytest.raises(UsageError, match="cannot be written in this format"):
            write_image(tmp_path / name, Picture(pixels=gradient()))


def test_a_picture_that_the_format_cannot_hold_gives_one_line(tmp_path: Path):
    wide = Picture(pixels=np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(ImageError, match=r"cannot be written as \.jpg"):
        write_image(tmp_path / "out.jpg", wide)
    assert list(tmp_path.iterdir()) == []


def test_to_pil_keeps_the_family_of_modes():
    alpha = gradient(channels=1)[..., 0]
    assert to_pil(Picture(pixels=gradient())).mode == "RGB"
    assert to_pil(Picture(pixels=gradient(), alpha=alpha)).mode == "RGBA"
    assert to_pil(Picture(pixels=gradient(channels=1))).mode == "L"
    assert to_pil(Picture(pixels=gradient(channels=1), alpha=alpha)).mode == "LA"


# Folders


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_pictures_of_a_tree_in_the_order_of_their_names(tmp_path: Path):
    names = ["B.JPG", "a/z.png", "a.png", "a/é 日本.webp", "c.txt", ".x.png", ".d/y.png", "d"]
    touch(*(tmp_path / name for name in names))
    listed = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert listed == ["B.JPG", "a.png", "a/z.png", "a/é 日本.webp"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path):
    touch(tmp_path / "in" / "a.png", tmp_path / "else" / "b.png")
    (tmp_path / "in" / "circle").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "there").symlink_to(tmp_path / "else")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "else" / "b.png")
    (tmp_path / "else" / "back").symlink_to(tmp_path / "in")
    listed = [path.relative_to(tmp_path / "in").as_posix() for path in list_images(tmp_path / "in")]
    assert listed == ["a.png", "link.png", "there/b.png"]


def test_a_missing_folder_and_a_file_are_named(tmp_path: Path):
    touch(tmp_path / "a.png")
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "none")
    with pytest.raises(DataError, match="a file, not a folder"):
        list_images(tmp_path / "a.png")


def test_suffixes_are_those_of_pillow():
    Image.init()
    unknown = IMAGE_SUFFIXES - set(Image.EXTENSION) - {".avif", ".avifs", ".qoi"}
    assert unknown <= {".heic", ".heif", ".hif"}  # with the extra
    assert set(writable_suffixes()) - {ARRAY_SUFFIX} <= IMAGE_SUFFIXES


def test_pillows_warnings_stay_inside(tmp_path: Path):
    image = Image.new("P", (4, 4))
    path = saved(image, tmp_path / "in.png", transparency=b"\0\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.read_image(path, channels=1).pixels.shape == (4, 4, 1)
