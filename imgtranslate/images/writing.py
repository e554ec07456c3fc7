"""From pictures to a file: in the format of its suffix, whole or not at all."""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.files import replacing
from imgtranslate.images.arrays import write_array
from imgtranslate.images.formats import WRITERS, Writer
from imgtranslate.images.opening import one_line
from imgtranslate.images.picture import (
    Picture,
    Pixels,
    eight_bits,
    in_depth,
    over_white,
    with_alpha_channel,
)
from imgtranslate.images.pil import fitting_profile, to_pil
from imgtranslate.images.tiff import write_tiff

Frames = Picture | Sequence[Picture]


def write_image(target: Path, picture: Frames, *, quality: int | None = None) -> None:
    """Write a picture, or frames, in the format of the suffix, whole or not at all.

    Depth, profile, EXIF and XMP are kept where the format has them; else the nearest that it has,
    and alpha is laid over white. ``quality``: 1 to 100 for JPEG and AVIF (95 unless given), JPEG
    2000 and WebP (without loss unless given). Raises ``UsageError`` for a suffix that cannot be
    written, ``ImgTranslateError`` if the disk refuses, ``ImageError`` if the format cannot hold
    such a picture (a JPEG of 70,000 px) or several.
    """
    writer = _writer_of(target.suffix, quality=quality)
    frames = _fitting_frames(str(target), target.suffix, writer, picture)
    with (
        replacing(target) as temporary,
        temporary.open("w+b") as file,
        _encoding(str(target), target.suffix),
    ):
        _save(file, frames, writer)


def encode_image(picture: Frames, *, suffix: str, quality: int | None = None) -> bytes:
    """Return the bytes that ``write_image`` would write to a file of this suffix."""
    writer = _writer_of(suffix, quality=quality)
    frames = _fitting_frames("-", suffix, writer, picture)
    content = io.BytesIO()
    with _encoding("-", suffix):
        _save(content, frames, writer)
    return content.getvalue()


def writable_suffixes() -> list[str]:
    """List the suffixes that ``write_image`` takes, in lower case."""
    return sorted(WRITERS)


def holds(suffix: str, *, channels: int) -> bool:
    """Tell whether a format can be written with so many channels."""
    writer = WRITERS.get(suffix.lower())
    if writer is None or channels > writer.most_channels:
        return False
    return channels in (1, 3) or writer.has_alpha


def holds_frames(suffix: str) -> bool:
    """Tell whether a format can be written with several frames or pages."""
    writer = WRITERS.get(suffix.lower())
    return writer is not None and writer.has_frames


def _writer_of(suffix: str, *, quality: int | None) -> Writer:
    """Return the options of a format; raise ``UsageError`` for an unknown one or a bad quality."""
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
    if writer.lossy is None:
        return writer
    return replace(writer, options={**writer.options, **writer.lossy, "quality": quality})


def _fitting_frames(name: str, suffix: str, writer: Writer, picture: Frames) -> list[Picture]:
    """Convert the frames to what the format can hold."""
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
    """Turn what encoders raise, other than about the disk, into one line about ``name``."""
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
            write_tiff(file, frames)
        case "PNG" if frames[0].pixels.dtype == np.uint16:
            _write_deep_png(file, frames[0], **_metadata(frames[0], writer))
        case _:
            _save_by_pillow(file, frames, writer)


def _metadata(picture: Picture, writer: Writer) -> dict[str, bytes | None]:
    """Return the metadata for which the format has room."""
    exif, xmp = picture.exif, picture.xmp
    return {
        "icc_profile": fitting_profile(picture),
        "exif": exif if exif and len(exif) <= writer.exif_limit else None,
        "xmp": xmp if xmp and len(xmp) <= writer.xmp_limit else None,
    }


def _save_by_pillow(file: BinaryIO, frames: Sequence[Picture], writer: Writer) -> None:
    pictures = [to_pil(frame) for frame in frames]
    options = {**writer.options, **_present(_metadata(frames[0], writer))}
    if writer.file_format == "GIF":
        clear = any(image.has_transparency_data for image in pictures)
        pictures = [_with_palette(image, clear=clear) for image in pictures]
        options |= {"transparency": _CLEAR, "disposal": 2} if clear else {}
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
    """Return the duration of each frame in ms, and how often all are shown."""
    durations = [round(_FRAME if frame.duration is None else frame.duration) for frame in frames]
    loop = once if frames[0].loop is None else frames[0].loop
    return _present({"duration": durations, "loop": loop})


_FRAME = 100.0  # ms, of a frame whose file does not say, such as a page


# PNG with 16 bits in each channel, of which Pillow writes grey alone

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels, alpha among them
_PIECE = 2**20  # bytes of an IDAT chunk, at most
_SUB = 1  # the filter: each byte less that of the pixel to the left


def _write_deep_png(
    file: BinaryIO,
    picture: Picture,
    *,
    icc_profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
) -> None:
    samples = with_alpha_channel(picture)
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", header)
    if icc_profile:
        _write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if exif:
        _write_chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if xmp:
        _write_chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    for piece in _compressed(samples):
        _write_chunk(file, b"IDAT", piece)
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + name + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


def _compressed(samples: NDArray[np.uint16]) -> Iterator[bytes]:
    packer = zlib.compressobj()
    waiting = bytearray()
    for row in samples:
        stored = row.astype(">u2").view(np.uint8).reshape(len(row), -1)
        less = stored.copy()
        less[1:] -= stored[:-1]
        waiting += packer.compress(bytes([_SUB]) + less.tobytes())
        while len(waiting) >= _PIECE:
            yield bytes(waiting[:_PIECE])
            del waiting[:_PIECE]
    yield bytes(waiting) + packer.flush()


# GIF: a palette of 256 colours

_CLEAR = 255  # the palette's transparent entry
_HALF = 128  # alpha from which a pixel is opaque; GIF has nothing between


def _with_palette(image: Image.Image, *, clear: bool) -> Image.Image:
    """Convert to mode P: exactly if the colours are few enough, else to the nearest of 255.

    ``clear``: reserve entry ``_CLEAR`` for transparent pixels.
    """
    plain = image.convert("RGB")
    most = _CLEAR if clear else _CLEAR + 1
    exact = plain.getcolors(most) is not None
    indexed = _indexed(np.asarray(plain)) if exact else plain.quantize(most)
    if not clear:
        return indexed
    palette = (indexed.getpalette() or []) + [0] * 768
    shown = np.asarray(image.convert("RGBA").getchannel("A")) >= _HALF
    cut = Image.fromarray(np.where(shown, np.asarray(indexed), _CLEAR).astype(np.uint8))
    cut.putpalette([*palette[: 3 * _CLEAR], 0, 0, 0])
    cut.info["transparency"] = _CLEAR
    return cut


def _indexed(colours: Pixels) -> Image.Image:
    numbers = colours.astype(np.uint32) @ np.array([65_536, 256, 1], np.uint32)
    found, places = np.unique(numbers, return_inverse=True)
    indexed = Image.fromarray(places.reshape(numbers.shape).astype(np.uint8))
    palette = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    indexed.putpalette(palette.tobytes())
    return indexed
