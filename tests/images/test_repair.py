"""Files whose pixels are whole are read with a warning, whatever else is wrong with them."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.pictures import encoded, noise
from fixtures.profiles import adobe_rgb
from PIL import Image, ImageFilter

from imgtranslate.errors import ImageError
from imgtranslate.images import read_frames, read_image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def with_chunk(content: bytes, added: bytes, *, before: bytes = b"IDAT") -> bytes:
    place = content.index(before) - 4
    return content[:place] + added + content[place:]


BIG = zlib.compress(bytes(2**20 + 1))
FAULTY = {
    "compressed text": (b"zTXt", chunk(b"zTXt", b"Comment\0\0" + BIG)),
    "text of another language": (b"iTXt", chunk(b"iTXt", b"Comment\0\1\0\0\0" + BIG)),
    "a profile": (b"iCCP", chunk(b"iCCP", b"ICC\0\0" + BIG)),
    "an unknown compression": (b"zTXt", chunk(b"zTXt", b"Comment\0\7" + BIG)),
    "a checksum": (b"tEXt", chunk(b"tEXt", b"Comment\0hello")[:-1] + b"\0"),
    "a short gamma": (b"gAMA", chunk(b"gAMA", b"\0")),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_png_is_read_without_its_faulty_chunks(fault: str) -> None:
    kind, added = FAULTY[fault]
    plain = encoded(noise(12, 10), icc_profile=None if kind == b"iCCP" else adobe_rgb())
    right = read_image(io.BytesIO(plain), channels=3)
    picture = read_image(io.BytesIO(with_chunk(plain, added)), channels=3)
    assert np.array_equal(picture.pixels, right.pixels)  # with its profile
    assert picture.warning == f"read without its faulty or too large {kind.decode()}"
    assert right.warning == ""


def test_frames_before_a_faulty_chunk_are_read_once() -> None:
    frames = [noise(12, 10, seed=seed) for seed in range(3)]
    plain = encoded(frames[0], save_all=True, append_images=frames[1:])
    content = with_chunk(plain, FAULTY["compressed text"][1], before=b"IEND")
    pictures = list(read_frames(io.BytesIO(content), channels=3))
    assert len(pictures) == 3
    for picture, frame in zip(pictures, frames, strict=True):
        assert np.array_equal(picture.pixels, np.asarray(frame))


def test_a_png_whose_pixels_are_damaged_is_refused() -> None:
    content = with_chunk(encoded(noise(12, 10)), FAULTY["a checksum"][1])
    with pytest.raises(ImageError, match="damaged"):
        read_image(io.BytesIO(content[:-60]), channels=3)


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 2}],
    ids=str,
)
def test_a_jpeg_is_read_without_its_end_but_not_with_less(options: dict[str, Any]) -> None:
    soft = noise(40, 30).filter(ImageFilter.GaussianBlur(2))
    content = encoded(soft, "JPEG", quality=90, **options)
    right = read_image(io.BytesIO(content), channels=3)
    picture = read_image(io.BytesIO(content[:-2]), channels=3)
    assert np.array_equal(picture.pixels, right.pixels)
    # Pillow itself needs no end after a restart marker.
    warning = "its end marker is missing, but no pixels"
    assert picture.warning == ("" if "restart_marker_blocks" in options else warning)
    scans = [place for place in range(len(content)) if content.startswith(b"\xff\xda", place)]
    ends = {*range(scans[0] + 20, len(content) - 2, 7), *scans[1:], *range(-12, -2)}
    for end in ends:
        with pytest.raises(ImageError, match="damaged"):
            read_image(io.BytesIO(content[:end]), channels=3)


def test_a_large_jpeg_without_its_end_is_read_if_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = encoded(Image.new("RGB", (60, 50)), "JPEG")[:-2]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="3,000 pixels"):
        read_image(io.BytesIO(content), channels=3)
    assert read_image(io.BytesIO(content), channels=3, allow_huge=True).warning


def test_a_file_that_is_too_large_to_repair_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgtranslate.images.repair._LARGEST_FILE", 100)
    (tmp_path / "in.png").write_bytes(with_chunk(encoded(noise(9, 9)), FAULTY["a checksum"][1]))
    with pytest.raises(ImageError, match=r"in\.png: damaged: .*checksum"):
        read_image(tmp_path / "in.png", channels=3)
