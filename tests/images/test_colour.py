"""Profiles and spaces become sRGB; EXIF and XMP are kept."""

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fixtures.profiles import (
    adobe_rgb,
    adobe_rgb_as_tables,
    build,
    grey,
    parametric,
    power,
    srgb_curve,
)
from PIL import Image, ImageCms, PngImagePlugin

from imgtranslate.errors import UsageError
from imgtranslate.images import (
    Picture,
    encode_image,
    picture_from_pil,
    read_image,
    to_pil,
    write_image,
)
from imgtranslate.images.colour import srgb_profile, to_srgb

COLOURS = np.array([[[200, 30, 40], [0, 255, 0], [20, 60, 200], [128, 128, 128]]], np.uint8)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:tiff='
    b'"http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" title="h\xc3\xa9"/></x:xmpmeta>'
)


def adobe_to_srgb(colours: np.ndarray) -> np.ndarray:
    """From the definitions: both spaces have the white of D65."""
    light = (colours / 255) ** 2.19921875
    to_xyz = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    to_rgb = [
        [3.24045, -1.53714, -0.49853],
        [-0.96927, 1.87601, 0.04156],
        [0.05564, -0.20403, 1.05723],
    ]
    linear = np.clip(light @ np.array(to_xyz).T @ np.array(to_rgb).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Profiles


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_adobe_rgb_becomes_srgb_and_is_said_to_be(tmp_path: Path, suffix: str) -> None:
    lossless = {"lossless": True} if suffix == ".webp" else {}
    image = Image.fromarray(COLOURS)
    path = saved(image, tmp_path / f"in{suffix}", icc_profile=adobe_rgb(), **lossless)
    picture = read_image(path, channels=3)
    assert np.abs(picture.pixels - adobe_to_srgb(COLOURS)).max() <= 1.5
    assert not np.array_equal(picture.pixels, COLOURS)
    write_image(tmp_path / f"out{suffix}", picture)
    with Image.open(tmp_path / f"out{suffix}") as written:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(written.info["icc_profile"]))
    assert "sRGB" in opened.profile.profile_description
    again = read_image(tmp_path / f"out{suffix}", channels=3)
    assert np.array_equal(again.pixels, picture.pixels)


def test_the_profile_stays_with_alpha_which_is_not_converted(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS).convert("RGBA")
    image.putalpha(Image.fromarray(np.array([[0, 7, 100, 255]], np.uint8)))
    picture = read_image(saved(image, tmp_path / "in.png", icc_profile=adobe_rgb()), channels=3)
    assert np.abs(picture.pixels - adobe_to_srgb(COLOURS)).max() <= 1.5
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 7, 100, 255]]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_more_than_8_bits_are_converted_too(tmp_path: Path, dtype: str) -> None:
    white = 65_535 if dtype == "uint16" else 1.0
    ramp = np.linspace(0.05, 1, 3000)[:, None] * np.array([1.0, 0.9, 0.8])
    samples = (ramp[None] * white).astype(dtype)
    tags = [(34675, "B", len(adobe_rgb()), adobe_rgb(), True)]
    tifffile.imwrite(tmp_path / "in.tif", samples, photometric="rgb", extratags=tags)
    picture = read_image(tmp_path / "in.tif", channels=3)
    assert picture.pixels.dtype == dtype
    assert np.abs(picture.pixels / white * 255 - adobe_to_srgb(ramp[None] * 255)).max() < 0.1
    assert len(np.unique(picture.pixels[..., 2])) > 2900
    assert picture.icc_profile == srgb_profile()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tables_are_followed_in_every_depth(dtype: str) -> None:
    white = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    shares = np.linspace(0.2, 1, 500)[:, None] * np.array([1.0, 0.9, 0.8])
    samples = np.rint(shares * white) if dtype != "float32" else shares
    found, profile = to_srgb(samples[None].astype(dtype), adobe_rgb_as_tables(), white=white)
    assert profile == srgb_profile()
    apart = found[0] / white * 255 - adobe_to_srgb(samples / white * 255)
    assert np.abs(apart).max() < (1.5 if dtype == "uint8" else 0.1)


@pytest.mark.parametrize("profile", [adobe_rgb(), adobe_rgb_as_tables()])
def test_floats_keep_what_they_overshoot(profile: bytes) -> None:
    levels = np.array([[[1.5, 1.5, 1.5], [-0.25, -0.25, -0.25], [np.nan, 0.5, np.inf]]], np.float32)
    found, _ = to_srgb(levels, profile, white=1.0)
    assert found[0, :2] == pytest.approx(levels[0, :2], abs=2e-3)
    assert np.isnan(found[0, 2, 0])
    assert found[0, 2, 2] > 1e30


@pytest.mark.parametrize(
    "numbers",
    [
        (2.2,),
        (1.8, 1.0, 0.0),
        (1.8, 1.0, 0.0, 0.0),
        (3.0, 1 / 1.16, 0.16 / 1.16, 1 / 9.033, 0.08),
        (3.0, 1 / 1.16, 0.16 / 1.16, 1 / 9.033, 0.08, 0.0, 0.0),
        (2.2, 0.9, 0.05),
        (2.0, 0.85, 0.1, 0.02),
    ],
)
def test_every_kind_of_curve_is_that_of_lcms(numbers: tuple[float, ...]) -> None:
    profile = grey(parametric(*numbers))
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
    coarse, _ = to_srgb(ramp, profile, white=255.0)
    fine, _ = to_srgb(ramp.astype(np.uint16) * 257, profile, white=65_535.0)
    assert not np.array_equal(coarse, ramp)
    # lcms moves the white of tables of 8 bits to white, and with it the node below, 8 levels away
    end = 256 if sum(numbers[1:3]) in (0, 1) or len(numbers) >= 5 else 247
    assert np.abs(fine / 257 - coarse)[:, 16:end].max() <= 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_of_another_curve_becomes_that_of_srgb(tmp_path: Path, dtype: str) -> None:
    white = np.iinfo(dtype).max
    levels = (np.linspace(0.1, 1, 50)[None] * white).astype(dtype)
    path = saved(Image.fromarray(levels), tmp_path / "in.png", icc_profile=grey(power(1.0)))
    picture = read_image(path, channels=1)
    wanted = 1.055 * (levels / white) ** (1 / 2.4) - 0.055
    assert np.abs(picture.pixels[..., 0] / white - wanted).max() < 0.006
    write_image(tmp_path / "out.png", picture)
    assert read_image(tmp_path / "out.png", channels=1).icc_profile is None
    assert np.array_equal(read_image(tmp_path / "out.png", channels=1).pixels, picture.pixels)
    colour = replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))
    assert read_image(io.BytesIO(encode_image(colour, suffix=".png")), channels=3).icc_profile


def test_a_profile_that_means_srgb_changes_nothing_whatever_its_name(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = saved(Image.fromarray(ramp), tmp_path / "in.png", icc_profile=grey(srgb_curve()))
    picture = read_image(path, channels=1)
    assert np.array_equal(picture.pixels[..., 0], ramp)
    assert picture.icc_profile == grey(srgb_curve())


def test_the_profile_of_srgb_has_the_same_bytes_later() -> None:
    before = srgb_profile()
    srgb_profile.cache_clear()
    time.sleep(1.1)
    assert srgb_profile() == before


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"junk",
        adobe_rgb()[:200],
        adobe_rgb()[:128] + bytes(300),
        build(b"CMYK", {}),
        grey(power(1.0)),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_profile_that_cannot_be_used_is_left_out(
    tmp_path: Path, profile: bytes, suffix: str
) -> None:
    flat = Image.new("RGB", (16, 16), (200, 30, 40))
    path = saved(flat, tmp_path / f"in{suffix}", icc_profile=profile)
    picture = read_image(path, channels=3)
    assert np.abs(picture.pixels.astype(int) - (200, 30, 40)).max() <= 1
    assert picture.icc_profile is None


def test_a_network_of_grey_gets_the_grey_of_srgb(tmp_path: Path) -> None:
    path = saved(Image.fromarray(COLOURS), tmp_path / "in.png", icc_profile=adobe_rgb())
    wanted = read_image(path, channels=3)
    expected = np.asarray(Image.fromarray(wanted.pixels).convert("L"))
    picture = read_image(path, channels=1)
    assert np.array_equal(picture.pixels[..., 0], expected)
    assert "icc_profile" not in to_pil(picture).info


# Spaces


def test_inks_of_adobe_are_not_inverted_twice(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    picture = read_image(saved(inks, tmp_path / "in.jpg", quality=100), channels=3)
    assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() <= 3
    write_image(tmp_path / "out.jpg", picture)
    with Image.open(tmp_path / "out.jpg") as written:
        assert written.mode == "RGB"


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "CMYK", "P", "1", "L", "LA", "PA", "RGBX"])
def test_every_mode_is_read_as_the_colours_that_it_means(mode: str) -> None:
    image = Image.new("RGB", (8, 8), "white")
    if mode == "LAB":
        converted = Image.new("LAB", (8, 8), (255, 128, 128))
    else:
        converted = image.convert("L" if mode in ("LA", "PA") else "RGB").convert(mode)

    for channels in (1, 3):
        picture = picture_from_pil(converted, channels=channels)
        assert picture.pixels.shape == (8, 8, channels)
        assert picture.pixels.min() >= 254


# EXIF and XMP


def described(path: Path) -> Path:
    """A turned picture whose file says all that it can."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif.get_ifd(0x8769)[0x829A], exif.get_ifd(0x8769)[0xA001] = 0.01, 65_535
    exif.get_ifd(0x8825)[1] = "N"
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    xmp: dict[str, Any] = {"pnginfo": text} if path.suffix == ".png" else {"xmp": XMP}
    Image.new("RGB", (30, 20), (90, 100, 110)).save(path, exif=exif, icc_profile=adobe_rgb(), **xmp)
    return path


@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_what_a_file_says_is_kept_but_for_what_changed(
    tmp_path: Path, source: str, target: str
) -> None:
    picture = read_image(described(tmp_path / f"in{source}"), channels=3)
    assert picture.pixels.shape == (30, 20, 3)
    write_image(tmp_path / f"out{target}", picture)
    assert read_image(tmp_path / f"out{target}", channels=3).pixels.shape == (30, 20, 3)
    with Image.open(tmp_path / f"out{target}") as written:
        written.load()
        exif = written.getexif()
        assert (exif[0x010F], exif.get(0x0112, 1)) == ("Camera", 1)
        assert dict(exif.get_ifd(0x8769)) == {0x829A: pytest.approx(0.01), 0xA001: 1}
        assert dict(exif.get_ifd(0x8825)) == {1: "N"}
        assert b'title="h\xc3\xa9"' in written.info["xmp"]
        assert b'Orientation="6"' not in written.info["xmp"]
        assert written.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_keep_what_the_file_says(tmp_path: Path, suffix: str) -> None:
    told = read_image(described(tmp_path / "in.jpg"), channels=3)
    deep = replace(told, pixels=told.pixels.astype(np.uint16) * 257, white=65_535.0)
    write_image(tmp_path / f"out{suffix}", deep)
    read = read_image(tmp_path / f"out{suffix}", channels=3)
    assert read.pixels.dtype == np.uint16
    assert (read.xmp, read.icc_profile) == (told.xmp, told.icc_profile)
    assert read.exif is not None
    exif = Image.Exif()
    exif.load(read.exif)
    assert exif[0x010F] == "Camera"
    assert dict(exif.get_ifd(0x8825)) == {1: "N"}


def test_a_jpeg_keeps_as_much_as_it_has_room_for() -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 65_499
    content = encode_image(
        Picture(pixels=np.zeros((8, 8, 3), np.uint8), xmp=b"x" * 65_504, exif=exif.tobytes()),
        suffix=".jpg",
    )
    read = read_image(io.BytesIO(content), channels=3)
    assert (read.xmp, read.exif) == (b"x" * 65_504, exif.tobytes())


def test_what_a_jpeg_has_no_room_for_is_left_out(tmp_path: Path) -> None:
    picture = Picture(pixels=np.zeros((8, 8, 3), np.uint8), xmp=b"x" * 70_000, exif=b"y" * 70_000)
    write_image(tmp_path / "out.jpg", picture)
    assert read_image(tmp_path / "out.jpg", channels=3).xmp is None


# Quality


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
def test_quality_is_paid_for_in_bytes(suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sizes = [
        len(encode_image(Picture(pixels=noise), suffix=suffix, quality=q)) for q in (5, 50, 95)
    ]
    assert sizes == sorted(set(sizes))
    unasked = len(encode_image(Picture(pixels=noise), suffix=suffix))
    assert unasked > sizes[-1] if suffix == ".webp" else unasked == sizes[-1]


def test_a_quality_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    for quality in (0, 101, -5):
        with pytest.raises(UsageError, match=rf"`quality` {quality}: not in 1 to 100"):
            write_image(tmp_path / "x.jpg", Picture(pixels=COLOURS), quality=quality)
