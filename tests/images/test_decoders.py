"""Files that Pillow decodes to wrong pixels without an error: corrected, or refused in one line."""

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from imgtranslate.errors import ImageError
from imgtranslate.images import pil, read_frames, read_image

# TIFF


def tiff(samples: NDArray[Any], **options: Any) -> io.BytesIO:
    content = io.BytesIO()
    tifffile.imwrite(content, samples, metadata=None, **options)
    content.seek(0)
    return content


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 7])
def test_fewer_than_8_bits_use_the_whole_range(bits: int, channels: int) -> None:
    most = 2**bits - 1
    levels = np.arange(most + 1, dtype=np.uint8).repeat(8 * channels).reshape(-1, 8, channels)
    try:
        packed = b"".join(imagecodecs.packints_encode(row.ravel(), bits) for row in levels)
    except NotImplementedError:
        pytest.skip("this release of imagecodecs cannot write such a file")
    samples, photometric = (levels, "rgb") if channels == 3 else (levels[..., 0], "minisblack")
    content = tiff(samples, photometric=photometric, rowsperstrip=999)
    with tifffile.TiffFile(content, mode="r+") as file:
        tags = file.pages[0].tags
        start = tags["StripOffsets"].value[0]
        tags["BitsPerSample"].overwrite((bits,) * channels)
        tags["StripByteCounts"].overwrite(len(packed))
    content.seek(start)
    content.write(packed)
    picture = read_image(content, channels=channels)
    right = np.rint(levels * (255 / most)).astype(np.uint8)
    assert np.array_equal(picture.pixels, right)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_is_read_as_its_colours(dtype: str, factor: int) -> None:
    size = 2 ** (8 * np.dtype(dtype).itemsize)
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (3, size)).astype(np.uint16) * np.uint16(factor)
    indices = rng.integers(0, size, (9, 7)).astype(dtype)
    content = tiff(indices, photometric="palette", colormap=colours)
    picture = read_image(content, channels=3)
    levels = picture.pixels / (picture.white / 255)
    assert np.array_equal(levels, np.moveaxis(colours[:, indices], 0, -1) // factor)


def test_an_index_outside_of_its_palette_is_damage() -> None:
    colours = np.zeros((3, 2**16), np.uint16)
    content = tiff(np.full((9, 7), 70, np.uint16), photometric="palette", colormap=colours)
    with tifffile.TiffFile(content, mode="r+") as file:
        file.pages[0].tags["ColorMap"].overwrite(colours[:, :64].ravel())
    with pytest.raises(ImageError, match=r"^-: damaged: an index outside of its palette"):
        read_image(content, channels=3)


@pytest.mark.parametrize(
    ("photometric", "channels", "colours"),
    [("cielab", 3, "Lab"), ("separated", 4, "CMYK"), ("ycbcr", 3, "YCbCr")],
)
def test_deep_colours_that_are_not_rgb_are_refused(
    photometric: str, channels: int, colours: str
) -> None:
    samples = np.zeros((channels, 9, 7), np.uint16)
    content = tiff(samples, photometric=photometric, planarconfig="separate")
    said = rf"^-: a TIFF with {channels} channels of uint16 in {colours} colours is not supported"
    with pytest.raises(ImageError, match=said):
        read_image(content, channels=3)


def test_signed_values_of_8_bits_are_refused() -> None:
    with pytest.raises(ImageError, match=r"^-: a TIFF with 1 channel of int8 is not supported"):
        read_image(tiff(np.zeros((9, 7), np.int8), photometric="minisblack"), channels=1)


def test_subsampled_colours_without_compression_are_refused() -> None:
    content = tiff(np.zeros((8, 8, 3), np.uint8), photometric="ycbcr")
    with tifffile.TiffFile(content, mode="r+") as file:
        file.pages[0].tags["YCbCrSubSampling"].overwrite((2, 2))
    with pytest.raises(ImageError, match=r"^-: a TIFF with subsampled YCbCr colours is not"):
        read_image(content, channels=3)


def test_a_page_at_which_pillow_fails_is_read_by_tifffile(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("decoder error -2")

    monkeypatch.setattr("imgtranslate.images.tiff.picture_of", fail)
    samples = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    content = tiff(samples, photometric="rgb", extrasamples=["unassalpha"])
    picture = read_image(content, channels=3)
    assert picture.alpha is not None
    assert np.array_equal(np.dstack([picture.pixels, picture.alpha]), samples)


# APNG


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def frame(number: int, box: tuple[int, int, int, int], colour: bytes, disposal: int) -> bytes:
    """A frame of one colour, drawn over the last one at ``box``: width, height, x and y."""
    pixels = zlib.compress((b"\0" + colour * box[0]) * box[1])
    control = struct.pack(">5I2H2B", number, *box, 10, 100, disposal, int(number > 0))
    kind, data = (b"fdAT", struct.pack(">I", number + 1) + pixels) if number else (b"IDAT", pixels)
    return chunk(b"fcTL", control) + chunk(kind, data)


def test_a_frame_that_is_disposed_of_to_the_previous_one_leaves_no_trace() -> None:
    red, green, blue = b"\xff\0\0\xff", b"\0\xff\0\xff", b"\0\0\xff\xff"
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 16, 8, 8, 6, 0, 0, 0))
    content += chunk(b"acTL", struct.pack(">2I", 3, 0))
    content += frame(0, (16, 8, 0, 0), red, 0) + frame(1, (8, 8, 0, 0), green, 2)
    content += frame(3, (1, 8, 15, 0), blue, 0) + chunk(b"IEND", b"")
    _, second, third = read_frames(io.BytesIO(content), channels=3)
    right = np.zeros((8, 16, 3), np.uint8)
    right[..., 0] = 255
    right[:, 15] = 0, 0, 255
    assert np.array_equal(third.pixels, right)
    assert second.pixels[0, 0].tolist() == [0, 255, 0]


# Photoshop, X bitmaps, FITS


@pytest.mark.parametrize("channels", [3, 4, 5, 7])
def test_a_compressed_photoshop_file_may_have_more_channels(channels: int) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (channels, 6, 9), np.uint8)
    rows = [imagecodecs.packbits_encode(row.tobytes()) for row in planes.reshape(-1, 9)]
    content = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, 6, 9, 8, 3) + bytes(12) + b"\0\1"
    content += b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)
    picture = read_image(io.BytesIO(content), channels=3)
    assert np.array_equal(picture.pixels, np.moveaxis(planes[:3], 0, 2))


def test_black_is_1_in_bitmaps_of_photoshop_and_x() -> None:
    bits = np.eye(8, dtype=np.uint8)
    psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 8, 8, 1, 0) + bytes(14)
    psd += np.packbits(bits).tobytes()
    numbers = ", ".join(f"0x{byte:02x}" for byte in np.packbits(bits, bitorder="little"))
    xbm = f"#define a_width 8\n#define a_height 8\nstatic char a_bits[] = {{\n{numbers}}};\n"
    for content in (psd, xbm.encode()):
        picture = read_image(io.BytesIO(content), channels=1)
        assert np.array_equal(picture.pixels[..., 0], 255 - 255 * bits)


def fits(values: NDArray[Any], bits: int) -> io.BytesIO:
    cards = [f"BITPIX  = {bits}", "NAXIS   = 2", "NAXIS1  = 5", "NAXIS2  = 4", "END"]
    head = "".join(card.ljust(80) for card in ["SIMPLE  = T", *cards]).ljust(2880).encode()
    return io.BytesIO(head + values.astype(f">i{bits // 8}").tobytes().ljust(2880, b"\0"))


@pytest.mark.skipif(pil._OLD_PILLOW, reason="Pillow 13 reads FITS correctly")
def test_fits_with_negative_values_or_an_offset_is_refused() -> None:
    values = np.arange(-10, 10)
    with pytest.raises(ImageError, match=r"^-: FITS with negative values or an offset is not"):
        read_image(fits(values, 16), channels=1)
    assert read_image(fits(np.abs(values), 16), channels=1).pixels.max() == 10


def test_fits_of_more_than_8_bits_is_refused_before_pillow_13(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pil, "_OLD_PILLOW", True)
    assert read_image(fits(np.arange(20), 8), channels=1).pixels.max() == 19
    with pytest.raises(ImageError, match=r"^-: FITS of more than 8 bits .* Install Pillow 13"):
        read_image(fits(np.arange(20), 16), channels=1)


# JPEG 2000


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("codec", ["jp2", "j2k"])
def test_white_of_jpeg_2000_is_white_in_every_depth(bits: int, channels: int, codec: Any) -> None:
    most = 2**bits - 1
    levels = np.linspace(0, most, 64 * channels).round().reshape(8, 8, channels)
    content = imagecodecs.jpeg2k_encode(
        levels.astype(np.uint8 if bits == 8 else np.uint16),
        level=0,
        bitspersample=bits,
        codecformat=codec,
    )
    picture = read_image(io.BytesIO(content), channels=3)
    white = 255 if bits == 8 else 65_535
    assert picture.white == white
    assert np.array_equal(picture.pixels, np.rint(levels[..., :3] * (white / most)))


def test_jpeg_2000_may_store_its_channels_in_another_order() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    content = imagecodecs.jpeg2k_encode(levels, level=0, codecformat="jp2")
    order = struct.pack(">H9H", 3, 0, 0, 3, 1, 0, 2, 2, 0, 1)
    box = struct.pack(">I", 8 + len(order)) + b"cdef" + order
    place = content.index(b"jp2h") - 4
    size = int.from_bytes(content[place : place + 4])
    whole = content[:place] + struct.pack(">I", size + len(box)) + content[place + 4 : place + size]
    content = whole + box + content[place + size :]
    picture = read_image(io.BytesIO(content), channels=3)
    assert np.array_equal(picture.pixels, levels[..., ::-1])
