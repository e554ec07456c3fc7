"""Writing of pictures: the formats and their capabilities, lossless where possible."""

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL.PngImagePlugin import PngInfo

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.files import replacing
from imgtranslate.images.arrays import ARRAY_DEPTHS, ARRAY_SUFFIX
from imgtranslate.images.deep_png import write_deep_png
from imgtranslate.images.opening import one_line
from imgtranslate.images.picture import Picture, in_depth, over_white
from imgtranslate.images.pil import CLEAR, fitting_profile, to_pil, with_palette
from imgtranslate.images.tiff import write_tiff

Frames = Picture | Sequence[Picture]


# Formats


@dataclass(frozen=True, kw_only=True)
class Writer:
    """The capabilities of a format, and the options with which Pillow writes it."""

    file_format: str  # Pillow's name of the format
    has_alpha: bool = False
    has_frames: bool = False
    once: int | None = None  # loop count that plays an animation once
    most_channels: int = 4
    longest_side: int = 2**31 - 1  # px
    depths: tuple[str, ...] = ("uint8",)
    grey_depths: tuple[str, ...] = ("uint8",)  # for grey without alpha
    exif_limit: int = 0  # bytes
    xmp_limit: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    lossy: Mapping[str, Any] | None = None  # more options if a quality is given

    def depth(self, picture: Picture) -> np.dtype[Any]:
        """Return the depth of a picture, or the nearest depth that the format can hold."""
        grey = picture.pixels.shape[2] == 1 and picture.alpha is None
        offered = {*self.depths, *(self.grey_depths if grey else ())}
        wanted = picture.pixels.dtype.name
        nearest = (wanted, *_NEAREST.get(wanted, ()), "uint8")
        return np.dtype(next(name for name in nearest if name in offered))


_NEAREST = {"float16": ("float32", "uint16"), "float32": ("uint16",), "int32": ("uint16",)}

_LARGE = 2**24
_JPEG = Writer(
    file_format="JPEG",
    longest_side=65_500,
    exif_limit=65_533,
    xmp_limit=65_504,  # and its namespace, as much again
    options={"quality": 95, "subsampling": "4:4:4"},
    lossy={},
)
_PNG = Writer(
    file_format="PNG",
    has_alpha=True,
    has_frames=True,
    once=1,
    depths=("uint8", "uint16"),
    exif_limit=_LARGE,
    xmp_limit=_LARGE,
)
_PPM = Writer(file_format="PPM", grey_depths=("uint8", "uint16"))
_TIFF = Writer(
    file_format="TIFF",
    has_alpha=True,
    has_frames=True,
    most_channels=2**16 - 1,
    depths=("uint8", "uint16", "int32", "float16", "float32"),
    exif_limit=_LARGE,
    xmp_limit=_LARGE,
)
_WEBP = Writer(
    file_format="WEBP",
    longest_side=16_383,
    has_alpha=True,
    has_frames=True,
    once=1,
    exif_limit=_LARGE,
    xmp_limit=_LARGE,
    options={"lossless": True, "exact": True},
    lossy={"lossless": False},
)
_AVIF = replace(_WEBP, file_format="AVIF", longest_side=65_535, options=_JPEG.options, lossy={})

WRITERS: Mapping[str, Writer] = {
    **dict.fromkeys((".j2k", ".jp2"), Writer(file_format="JPEG2000", has_alpha=True)),
    **dict.fromkeys((".jfif", ".jpe", ".jpeg", ".jpg"), _JPEG),
    **dict.fromkeys((".pgm", ".pnm", ".ppm"), _PPM),
    **dict.fromkeys((".png", ".apng"), _PNG),
    **dict.fromkeys((".rgb", ".rgba", ".sgi"), Writer(file_format="SGI", has_alpha=True)),
    **dict.fromkeys((".tif", ".tiff"), _TIFF),
    ".avif": _AVIF,
    ".bmp": Writer(file_format="BMP"),
    ".gif": Writer(file_format="GIF", has_alpha=True, has_frames=True, longest_side=65_535),
    ".pcx": Writer(file_format="PCX"),
    ".tga": Writer(file_format="TGA", has_alpha=True),
    ".webp": _WEBP,
    ARRAY_SUFFIX: Writer(
        file_format="NPY", has_alpha=True, most_channels=2**31, depths=ARRAY_DEPTHS
    ),
}


# Writing


def write_image(target: Path, picture: Frames, *, quality: int | None = None) -> None:
    """Write a picture, or frames, in the format of the suffix, atomically.

    Depth, profile, EXIF and XMP are kept if the format supports them; otherwise the nearest depth
    is used, and alpha is composited over white. ``quality``: 1 to 100; the default is 95 for JPEG
    and AVIF, and lossless for WebP. Raises ``UsageError`` for a suffix that cannot be written,
    ``ImgTranslateError`` if writing to the disk fails, ``ImageError`` if the format cannot hold the
    picture (a JPEG of 70,000 px) or several frames.
    """
    save = _prepared(picture, name=str(target), suffix=target.suffix, quality=quality)
    with replacing(target) as temporary, temporary.open("w+b") as file:
        save(file)


def encode_image(picture: Frames, *, suffix: str, quality: int | None = None) -> bytes:
    """Return the bytes that ``write_image`` would write to a file with this suffix."""
    content = io.BytesIO()
    _prepared(picture, name="-", suffix=suffix, quality=quality)(content)
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


def _prepared(
    picture: Frames, *, name: str, suffix: str, quality: int | None
) -> Callable[[BinaryIO], None]:
    """Convert the frames to what a format can hold, and return the function that saves them.

    Raises ``UsageError`` for an unknown suffix or a bad quality, ``ImageError`` if the format
    cannot hold the frames.
    """
    if suffix.lower() not in WRITERS:
        raise UsageError(
            f"{suffix or 'no suffix'}: pictures cannot be written in this format. "
            f"Choose from {', '.join(writable_suffixes())}"
        )
    writer = WRITERS[suffix.lower()]
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"`quality` {quality}: not in 1 to 100. Use 95 for hardly any loss")
    if quality is not None and writer.lossy is not None:
        options = {**writer.options, **writer.lossy, "quality": quality}
        writer = replace(writer, options=options)

    frames = [picture] if isinstance(picture, Picture) else list(picture)
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
    animated = len(frames) > 1 and not pages
    fitting = [in_depth(frame, np.uint8 if animated else writer.depth(frame)) for frame in fitting]

    def save(file: BinaryIO) -> None:
        first = fitting[0]
        try:
            match writer.file_format:
                case "NPY":
                    np.save(file, first.pixels, allow_pickle=False)
                case "TIFF":
                    write_tiff(file, fitting)
                case "PNG" if first.pixels.dtype == np.uint16:
                    write_deep_png(file, first, _metadata(first, writer))
                case _:
                    _save_by_pillow(file, fitting, writer)
        except (OSError, ValueError, KeyError, OverflowError, struct.error) as error:
            if isinstance(error, OSError) and error.errno is not None:  # an error of the disk
                raise
            raise _unfit(name, suffix, one_line(error)) from error

    return save


def _unfit(name: str, suffix: str, why: str) -> ImageError:
    return ImageError(f"{name}: cannot be written as {suffix}: {why}. Use .png")


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
        pictures = [with_palette(image, clear=clear) for image in pictures]
        options |= {"transparency": CLEAR, "disposal": 2} if clear else {}
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
