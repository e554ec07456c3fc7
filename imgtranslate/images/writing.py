"""From pictures to a file: in the format of its suffix, whole or not at all."""

import contextlib
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL.PngImagePlugin import PngInfo

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.files import replacing
from imgtranslate.images.arrays import write_array
from imgtranslate.images.formats import WRITERS, Writer
from imgtranslate.images.opening import one_line
from imgtranslate.images.palette import CLEAR, with_palette
from imgtranslate.images.picture import Picture, eight_bits, in_depth, over_white
from imgtranslate.images.pil import fitting_profile, to_pil
from imgtranslate.images.png import write_png
from imgtranslate.images.tiff import Page, write_tiff
from imgtranslate.images.values import AnyPixels

Frames = Picture | Sequence[Picture]


def write_image(target: Path, picture: Frames, *, quality: int | None = None) -> None:
    """Write a picture, or frames, in the format of the suffix, whole or not at all.

    Depth, profile, EXIF and XMP are kept where the format has them; else the nearest that it has,
    and alpha is laid over white. ``quality``: 1 to 100 for JPEG and AVIF (95 unless given), JPEG
    2000 and WebP (without loss unless given). Raises ``UsageError`` for a suffix that cannot be
    written, ``ImgTranslateError`` if the disk refuses, ``ImageError`` if the format cannot hold
    such a picture (a JPEG of 70,000 px) or several.
    """
    writer = writer_of(target.suffix, quality=quality)
    frames = _fitting_frames(str(target), target.suffix, writer, picture)
    with (
        replacing(target) as temporary,
        temporary.open("w+b") as file,
        _encoding(str(target), target.suffix),
    ):
        _save(file, frames, writer)


def encode_image(picture: Frames, *, suffix: str, quality: int | None = None) -> bytes:
    """The bytes that ``write_image`` would write to a file of this suffix."""
    writer = writer_of(suffix, quality=quality)
    frames = _fitting_frames("-", suffix, writer, picture)
    content = io.BytesIO()
    with _encoding("-", suffix):
        _save(content, frames, writer)
    return content.getvalue()


def writable_suffixes() -> list[str]:
    """The suffixes that ``write_image`` takes, in lower case."""
    return sorted(WRITERS)


def holds(suffix: str, *, channels: int) -> bool:
    """Whether a format can be written with so many channels."""
    writer = WRITERS.get(suffix.lower())
    if writer is None or channels > writer.most_channels:
        return False
    return channels in (1, 3) or writer.has_alpha


def holds_frames(suffix: str) -> bool:
    """Whether a format can be written with several frames or pages."""
    writer = WRITERS.get(suffix.lower())
    return writer is not None and writer.has_frames


def writer_of(suffix: str, *, quality: int | None = None) -> Writer:
    """How a format is written; ``UsageError`` for one that is not, or a quality out of 1 to 100."""
    if suffix.lower() not in WRITERS:
        raise UsageError(
            f"{suffix or 'no suffix'}: pictures cannot be written in this format. "
            f"Choose from {', '.join(writable_suffixes())}"
        )
    writer = WRITERS[suffix.lower()]
    if quality is None:
        return writer
    if not 1 <= quality <= 100:
        raise UsageError(f"--quality {quality}: not in 1 to 100. Give 95 for hardly any loss")
    return replace(writer, options={**writer.options, **_lossy(writer, quality)})


def _lossy(writer: Writer, quality: int) -> dict[str, Any]:
    return {} if writer.lossy is None else {**writer.lossy, "quality": quality}


def _fitting_frames(name: str, suffix: str, writer: Writer, picture: Frames) -> list[Picture]:
    """The frames as the format can hold them."""
    frames = [picture] if isinstance(picture, Picture) else list(picture)
    if not frames:
        raise ImageError(f"{name}: no frame to write. Give one or more pictures")
    if len(frames) > 1 and not writer.has_frames:
        raise ImageError(
            f"{name}: {suffix} cannot hold {len(frames)} frames. Use .gif, .webp or .tif"
        )
    _refuse_channels(name, suffix, writer, frames)
    _refuse_sizes(name, suffix, writer, frames)
    kept = frames if writer.has_alpha else [over_white(frame) for frame in frames]
    if len(frames) > 1 and writer.file_format != "TIFF":
        return [eight_bits(frame) for frame in kept]
    return [in_depth(frame, writer.depth(frame)) for frame in kept]


def _refuse_sizes(name: str, suffix: str, writer: Writer, frames: Sequence[Picture]) -> None:
    sizes = {frame.pixels.shape[:2] for frame in frames}
    longest = max(max(size) for size in sizes)
    if longest > writer.longest_side:
        raise _unfit(name, suffix, f"a side of {longest:,} px, at most {writer.longest_side:,}")
    if len(sizes) > 1 and writer.file_format != "TIFF":
        raise ImageError(f"{name}: pages of {len(sizes)} sizes cannot be an animation. Use .tif")


def _refuse_channels(name: str, suffix: str, writer: Writer, frames: Sequence[Picture]) -> None:
    channels = max(frame.pixels.shape[2] for frame in frames)
    if not holds(suffix, channels=channels):
        other = ".npy" if channels > 4 else ".png"
        raise ImageError(
            f"{name}: {writer.file_format} cannot hold {channels} channels. Use {other}"
        )


@contextlib.contextmanager
def _encoding(name: str, suffix: str) -> Iterator[None]:
    """Turn what Pillow raises, other than about the disk, into one line about ``name``."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unfit(name, suffix, one_line(error)) from error
    except (ValueError, KeyError, OverflowError, struct.error) as error:
        raise _unfit(name, suffix, one_line(error)) from error


def _unfit(name: str, suffix: str, why: str) -> ImageError:
    return ImageError(f"{name}: cannot be written as {suffix}: {why}. Use --format png")


def _save(file: BinaryIO, frames: Sequence[Picture], writer: Writer) -> None:
    match writer.file_format:
        case "NPY":
            write_array(file, frames[0].pixels)
        case "TIFF":
            write_tiff(file, map(_page, frames))
        case "PNG" if frames[0].pixels.dtype == np.uint16:
            write_png(file, _samples(frames[0]), **_beside(frames[0], writer))
        case _:
            _save_by_pillow(file, frames, writer)


def _page(picture: Picture) -> Page:
    return Page(
        samples=_samples(picture),
        has_alpha=picture.alpha is not None or picture.pixels.shape[2] in (2, 4),
        icc_profile=fitting_profile(picture),
        exif=picture.exif,
        xmp=picture.xmp,
    )


def _samples(picture: Picture) -> AnyPixels:
    """Pixels with alpha as the last channel."""
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[..., None]], axis=2)


def _beside(picture: Picture, writer: Writer) -> dict[str, bytes | None]:
    """What the file says beside the pixels, as far as the format has room for it."""
    exif, xmp = picture.exif, picture.xmp
    return {
        "icc_profile": fitting_profile(picture),
        "exif": exif if exif and len(exif) <= writer.exif_limit else None,
        "xmp": xmp if xmp and len(xmp) <= writer.xmp_limit else None,
    }


def _save_by_pillow(file: BinaryIO, frames: Sequence[Picture], writer: Writer) -> None:
    pictures = [to_pil(frame) for frame in frames]
    options = {**writer.options, **_present(_beside(frames[0], writer))}
    if writer.file_format == "GIF":
        clear = any(image.has_transparency_data for image in pictures)
        pictures = [with_palette(image, clear=clear) for image in pictures]
        options |= {"transparency": CLEAR, "disposal": 2} if clear else {}
    if writer.file_format == "PNG" and "xmp" in options:
        options["pnginfo"] = _png_text(options.pop("xmp"))
    if len(frames) > 1:
        options |= {"append_images": pictures[1:], "save_all": True}
        options |= _animation(frames, once=writer.once)
    pictures[0].save(file, format=writer.file_format, **options)


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _png_text(xmp: bytes) -> PngInfo:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode(errors="replace"))
    return text


def _animation(frames: Sequence[Picture], *, once: int | None) -> dict[str, Any]:
    """How long each frame is shown, in ms, and how often all of them."""
    durations = [round(_FRAME if frame.duration is None else frame.duration) for frame in frames]
    loop = once if frames[0].loop is None else frames[0].loop
    return _present({"duration": durations, "loop": loop})


_FRAME = 100.0  # ms, of a frame whose file does not say, such as a page
