"""Thin stand-in for the pictures' new interface, until it is there."""
# ruff: noqa: D103

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from imgtranslate.errors import ImageError
from imgtranslate.images import Picture, picture_from_pil, read_image, to_pil
from imgtranslate.images import write_image as write_still


def read_frames(
    source: Path | BinaryIO, *, channels: int, alpha: str = "keep", allow_huge: bool = False
) -> Iterator[Picture]:
    del alpha, allow_huge
    if isinstance(source, Path):
        yield read_image(source, channels=channels)
        return
    try:
        yield picture_from_pil(Image.open(source), channels=channels)
    except OSError as error:
        raise ImageError("-: not a picture of a known format. Replace or remove it") from error


def write_image(target: Path, frames: Sequence[Picture], *, quality: int | None = None) -> None:
    del quality
    write_still(target, frames[0])


def encode_image(frames: Sequence[Picture], *, suffix: str, quality: int | None = None) -> bytes:
    del quality
    content = io.BytesIO()
    to_pil(frames[0]).save(content, format=Image.registered_extensions()[suffix])
    return content.getvalue()


def holds_frames(suffix: str) -> bool:
    return suffix == ".gif"


def resized(picture: Picture, shorter_side: int) -> Picture:
    image = to_pil(picture)
    share = shorter_side / min(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return picture_from_pil(image.resize(size), channels=picture.pixels.shape[2])
