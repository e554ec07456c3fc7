"""Writing of pictures to a file in the format of its suffix, atomically."""

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
from PIL.PngImagePlugin import PngInfo, putchunk

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.files import replacing
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
    """Write a picture, or frames, in the format of the suffix, atomically.

    Depth, profile, EXIF and XMP are kept if the format supports them; otherwise the nearest depth
    is used, and alpha is composited over white. ``quality``: 1 to 100; the default is 95 for JPEG
    and AVIF, and lossless for WebP. Raises ``UsageError`` for a suffix that cannot be written,
    ``ImgTranslateError`` if writing to the disk fails, ``ImageError`` if the format cannot hold the
    picture (a JPEG of 70,000 px) or several frames.
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
    """Return the bytes that ``write_image`` would write to a file with this suffix."""
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
    """Return whether a format can be written with this number of channels."""
    writer = WRITERS.get(suffix.lower())
    if writer is None or channels > writer.most_channels:
        return False
    return channels in (1, 3) or writer.has_alpha


def holds_frames(suffix: str) -> bool:
    """Return whether a format can be written with several frames or pages."""
    writer = WRITERS.get(suffix.lower())
    return writer is not None and writer.has_frames


def _writer_of(suffix: str, *, quality: int | None) -> Writer:
    """Return the writer of a suffix; ``UsageError`` for an unknown suffix or a bad quality."""
    if suffix.lower() not in WRITERS:
        raise UsageError(
            f"{suffix or 'no suffix'}: pictures cannot be written in this format. "
            f"Choose from {', '.join(writable_suffixes())}"
        )
    writer = WRITERS[suffix.lower()]
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"`quality` {quality}: not in 1 to 100. Use 95 for hardly any loss")
    if quality is None or writer.lossy is None:
        return writer
    return replace(writer, options={**writer.options, **writer.lossy, "quality": quality})


def _fitting_frames(name: str, suffix: str, writer: Writer, picture: Frames) -> list[Picture]:
    """Convert the frames to what the format can hold; raise ``ImageError`` if it cannot."""
    frames = [picture] if isinstance(picture, Picture) else list(picture)
    if not frames:
        raise ImageError(f"{name}: no frames to write. Give one or more pictures")
    if len(frames) > 1 and not writer.has_frames:
        raise ImageError(
            f"{name}: {suffix} cannot hold {len(frames)} frames. Use .gif, .webp or .tif"
        )
    channels = max(frame.pixels.shape[2] for frame in frames)
    if not holds(suffix, channels=channels):
        other = ".npy" if channels > 4 else ".png"
        raise ImageError(
            f"{name}: {writer.file_format} cannot hold {channels} channels. Use {other}"
        )
    sizes = {frame.pixels.shape[:2] for frame in frames}
    longest = max(map(max, sizes))
    if longest > writer.longest_side:
        limit = f"the limit is {writer.longest_side:,} px"
        raise _unfit(name, suffix, f"a side has {longest:,} px, but {limit}")
    pages = writer.file_format == "TIFF"
    if len(sizes) > 1 and not pages:
        raise ImageError(
            f"{name}: frames of {len(sizes)} different sizes cannot be an animation. Use .tif"
        )

    fitting = frames if writer.has_alpha else [over_white(frame) for frame in frames]
    if len(frames) > 1 and not pages:
        return [eight_bits(frame) for frame in fitting]
    return [in_depth(frame, writer.depth(frame)) for frame in fitting]


@contextlib.contextmanager
def _encoding(name: str, suffix: str) -> Iterator[None]:
    """Convert errors of encoders, but not of the disk, to one line about ``name``."""
    try:
        yield
    except (OSError, ValueError, KeyError, OverflowError, struct.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # an error of the disk
            raise
        raise _unfit(name, suffix, one_line(error)) from error


def _unfit(name: str, suffix: str, why: str) -> ImageError:
    return ImageError(f"{name}: cannot be written as {suffix}: {why}. Use .png")


def _save(file: BinaryIO, frames: Sequence[Picture], writer: Writer) -> None:
    match writer.file_format:
        case "NPY":
            np.save(file, frames[0].pixels, allow_pickle=False)
        case "TIFF":
            write_tiff(file, frames)
        case "PNG" if frames[0].pixels.dtype == np.uint16:
            _write_deep_png(file, frames[0], _metadata(frames[0], writer))
        case _:
            _save_by_pillow(file, frames, writer)


def _metadata(picture: Picture, writer: Writer) -> dict[str, bytes]:
    """Return the profile, and the metadata that fits into the format."""
    found: dict[str, bytes] = {}
    if profile := fitting_profile(picture):
        found["icc_profile"] = profile
    if picture.exif and len(picture.exif) <= writer.exif_limit:
        found["exif"] = picture.exif
    if picture.xmp and len(picture.xmp) <= writer.xmp_limit:
        found["xmp"] = picture.xmp
    return found


def _save_by_pillow(file: BinaryIO, frames: Sequence[Picture], writer: Writer) -> None:
    pictures = [to_pil(frame) for frame in frames]
    options: dict[str, Any] = {**writer.options, **_metadata(frames[0], writer)}
    if writer.file_format == "GIF":
        clear = any(image.has_transparency_data for image in pictures)
        pictures = [_with_palette(image, clear=clear) for image in pictures]
        options |= {"transparency": _CLEAR, "disposal": 2} if clear else {}
    if writer.file_format == "PNG" and "xmp" in options:
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode(errors="replace"))
        options["pnginfo"] = text
    if len(frames) > 1:
        durations = [_FRAME if frame.duration is None else frame.duration for frame in frames]
        loop = writer.once if frames[0].loop is None else frames[0].loop
        options |= {"append_images": pictures[1:], "save_all": True}
        options |= {"duration": [round(duration) for duration in durations]}
        options |= {} if loop is None else {"loop": loop}
    pictures[0].save(file, format=writer.file_format, **options)


_FRAME = 100.0  # ms, for a frame without a duration, such as a page


# PNG with 16 bits per channel; Pillow writes only grey of 16 bits

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels, including alpha
_PIECE = 2**20  # largest size of an IDAT chunk, in bytes
_SUB = 1  # the filter that stores the difference to the pixel on the left


def _write_deep_png(file: BinaryIO, picture: Picture, metadata: Mapping[str, bytes]) -> None:
    samples = with_alpha_channel(picture)
    height, width, channels = samples.shape
    colour_type = _COLOUR_TYPES[channels]
    file.write(b"\x89PNG\r\n\x1a\n")
    putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if "icc_profile" in metadata:
        putchunk(file, b"iCCP", b"ICC Profile\0\0", zlib.compress(metadata["icc_profile"]))
    if "exif" in metadata:
        putchunk(file, b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0"))
    if "xmp" in metadata:
        putchunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0", metadata["xmp"])
    for piece in _compressed(samples):
        putchunk(file, b"IDAT", piece)
    putchunk(file, b"IEND")


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

_CLEAR = 255  # the transparent entry of the palette
_HALF = 128  # least alpha of an opaque pixel; GIF has no partial transparency


def _with_palette(image: Image.Image, *, clear: bool) -> Image.Image:
    """Convert to mode P: exactly if the picture has few enough colours, else to the nearest ones.

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
