"""From a file to pictures: upright, in sRGB, with as many channels as asked for."""

import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from imgtranslate.errors import ImageError
from imgtranslate.images.arrays import is_array, read_array
from imgtranslate.images.depth import Again, Levels, levels_of, white_of
from imgtranslate.images.layers import Layers, find_layers, read_layers
from imgtranslate.images.limits import refuse_bomb, refuse_long_bomb
from imgtranslate.images.metadata import (
    ORIENTATION,
    cleaned_xmp,
    exif_of,
    orientation_of,
    srgb_exif,
    turned,
    xmp_of,
)
from imgtranslate.images.opening import (
    Source,
    decoding,
    has_frames,
    opened,
    refuse_special_file,
    rereadable,
)
from imgtranslate.images.picture import Alpha, Picture, with_alpha
from imgtranslate.images.profiles import to_srgb
from imgtranslate.images.tar_archive import archive_of, read_member
from imgtranslate.images.values import AnyPixels, rounded


def read_image(
    source: Source, *, channels: int, alpha: Alpha = "keep", allow_huge: bool = False
) -> Picture:
    """Read the first frame of ``source``, upright, in sRGB, in the depth of the file.

    1 and 3 channels are grey and colour of any picture, alpha beside them. 2 and 4 take alpha as
    a channel and refuse pictures without; more stand in ``.npy`` files. Raises ``ImageError`` if
    it is missing, damaged, too big or not a picture.
    """
    return next(read_frames(source, channels=channels, alpha=alpha, allow_huge=allow_huge))


def read_frames(
    source: Source, *, channels: int, alpha: Alpha = "keep", allow_huge: bool = False
) -> Iterator[Picture]:
    """Read frames or pages one after the other, each as ``read_image`` would; of a still one.

    ``source``: a path, also of a member of a tar archive, or a stream of bytes, which messages
    call ``-``.
    """
    archive = archive_of(source) if isinstance(source, Path) else None
    if isinstance(source, Path) and archive is not None:
        content = io.BytesIO(read_member(source, archive))
        with _said_of(source):
            yield from read_frames(content, channels=channels, alpha=alpha, allow_huge=allow_huge)
        return
    with decoding(source, allow_huge=allow_huge):
        source = rereadable(source)
        refuse_special_file(source)
        array = is_array(source)
    if array:
        yield _read_array(source, channels=channels)
        return
    total = 0
    with decoding(source, allow_huge=allow_huge):
        layered = _has_layers(source, allow_huge=allow_huge)
    frames = (_layered_pages if layered else _frames)(
        source, channels=channels, allow_huge=allow_huge
    )
    for picture in frames:
        total += picture.pixels.shape[0] * picture.pixels.shape[1]
        with decoding(source):
            refuse_long_bomb(total, allow_huge=allow_huge)
        yield with_alpha(picture, alpha)


@contextlib.contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Let faults of a stream name ``path``."""
    try:
        yield
    except ImageError as error:
        raise type(error)(f"{path}{str(error).removeprefix('-')}") from error


def picture_from_pil(image: Image.Image, *, channels: int, alpha: Alpha = "keep") -> Picture:
    """Turn a PIL image of any mode upright and into so many channels, in the depth of its mode.

    Raises ``ImageError`` if it was opened lazily and turns out to be damaged.
    """
    with decoding("image"):
        refuse_bomb(image.size)
        return with_alpha(_picture(levels_of(image), _about(image), channels=channels), alpha)


def _frames(source: Source, *, channels: int, allow_huge: bool) -> Iterator[Picture]:
    """Pillow's global state is changed while it decodes, not while others look at a frame."""
    with contextlib.ExitStack() as stack:
        with decoding(source, allow_huge=allow_huge):
            image = stack.enter_context(opened(source, allow_huge=allow_huge))
            places = _places(image)
        for place in places:
            with decoding(source, allow_huge=allow_huge):
                if not _sought(image, place):
                    return
                refuse_bomb(image.size, allow_huge=allow_huge)
                again = Again(source=source, frame=place, allow_huge=allow_huge)
                levels = levels_of(image, again)
                picture = _picture(levels, _about(image), channels=channels)
            yield picture


def _places(image: Image.Image) -> Iterable[int]:
    """Which frames there may be; an APNG may begin with a picture outside of its animation."""
    if not has_frames(image):
        return (0,)
    return itertools.count(1 if image.info.get("default_image") else 0)


def _sought(image: Image.Image, place: int) -> bool:
    try:
        image.seek(place)
    except EOFError:
        return False
    return True


def _has_layers(source: Source, *, allow_huge: bool) -> bool:
    with _as_file(source) as file:
        return find_layers(file, allow_huge=allow_huge) is not None


def _layered_pages(source: Source, *, channels: int, allow_huge: bool) -> Iterator[Picture]:
    with _as_file(source) as file:
        pages = read_layers(file, allow_huge=allow_huge)
        while True:
            with decoding(source):
                found = next(pages, None)
                if found is None:
                    return
                picture = _layered_picture(*found, channels=channels)
            yield picture


def _layered_picture(layers: Layers, samples: AnyPixels, *, channels: int) -> Picture:
    pixels, alpha = (samples[..., :-1], samples[..., -1]) if layers.has_alpha else (samples, None)
    levels = Levels(
        pixels=pixels, white=white_of(samples), alpha=alpha, profile=layers.tags.get(34675)
    )
    about = About(
        orientation=layers.tags.get(ORIENTATION, 1),
        exif=layers.exif,
        xmp=cleaned_xmp(layers.tags.get(700)),
        file_format="TIFF",
    )
    return _picture(levels, about, channels=channels)


@contextlib.contextmanager
def _as_file(source: Source) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        source.seek(0)
        yield source
        return
    with source.open("rb") as file:
        yield file


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file says beside the pixels, as it is stored."""

    orientation: int = 1
    exif: bytes | None = None
    xmp: bytes | None = None
    duration: float | None = None
    loop: int | None = None
    file_format: str | None = None


def _about(image: Image.Image) -> About:
    moving = has_frames(image)
    return About(
        orientation=orientation_of(image),
        exif=exif_of(image),
        xmp=xmp_of(image),
        duration=_duration(image) if moving and image.format != "TIFF" else None,
        loop=_loop(image) if moving else None,
        file_format=image.format,
    )


def _picture(levels: Levels, about: About, *, channels: int) -> Picture:
    pixels, profile = to_srgb(levels.pixels, levels.profile, white=levels.white)
    alpha = None if levels.alpha is None else turned(levels.alpha, about.orientation)
    pixels, alpha = _with_channels(
        turned(pixels, about.orientation), alpha, channels=channels, white=levels.white
    )
    return Picture(
        pixels=pixels,
        white=levels.white,
        alpha=alpha,
        icc_profile=profile,
        exif=about.exif if profile is None else srgb_exif(about.exif),
        xmp=about.xmp,
        duration=about.duration,
        loop=about.loop,
        file_format=about.file_format,
    )


def _duration(image: Image.Image) -> float:
    found = image.info.get("duration", 0)
    return float(found) if isinstance(found, int | float) and 0 <= found < 2**31 else 0.0


def _loop(image: Image.Image) -> int | None:
    found = image.info.get("loop")
    return found if isinstance(found, int) and 0 <= found < 2**16 else None


_MORE = "TIFF or .npy of as many"


def _with_channels(
    pixels: AnyPixels, alpha: AnyPixels | None, *, channels: int, white: float
) -> tuple[AnyPixels, AnyPixels | None]:
    """Grey or colour as asked for; alpha as the last of 2 or 4 channels, else beside them."""
    found = pixels.shape[2] + (alpha is not None)
    if found == channels and alpha is None:
        return pixels, None
    if channels > 4 or (channels in (2, 4) and alpha is None) or pixels.shape[2] not in (1, 3):
        raise ImageError(
            f"{found} channels, not {channels}. Give "
            + ("pictures with transparency" if channels in (2, 4) else _MORE)
        )
    fitting = _grey(pixels, white=white) if channels <= 2 else _colour(pixels)
    if channels in (2, 4) and alpha is not None:
        return np.concatenate([fitting, alpha[..., None]], axis=2), None
    return fitting, alpha


def _colour(pixels: AnyPixels) -> AnyPixels:
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def _grey(pixels: AnyPixels, *, white: float) -> AnyPixels:
    """Grey by the weights of ITU-R 601; 8 bits exactly as Pillow rounds them."""
    if pixels.shape[2] == 1:
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    levels = pixels.astype(np.float64) @ (0.299, 0.587, 0.114)
    grey: AnyPixels = rounded(levels[..., None], white=white, dtype=pixels.dtype)
    return grey


def _read_array(source: Source, *, channels: int) -> Picture:
    with decoding(source):
        pixels = read_array(source, channels=channels)
        return Picture(pixels=pixels, white=white_of(pixels))
