"""Decoding by Pillow in the depth of the file, and conversion between PIL images and pictures."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PsdImagePlugin import PsdImageFile
from PIL.TiffImagePlugin import TiffImageFile

from imgtranslate.errors import ImageError
from imgtranslate.images.colour import cmyk_to_srgb, srgb_profile
from imgtranslate.images.deep_png import read_deep_png
from imgtranslate.images.jpeg_2000 import is_wrong_in_pillow, read_jpeg_2000
from imgtranslate.images.metadata import clean_xmp, exif_block, exif_of, orientation_of, upright
from imgtranslate.images.opening import DECODER_ERRORS, fault_of, refuse_bomb
from imgtranslate.images.picture import AnyPixels, Picture, Pixels, eight_bits, in_depth, white_of
from imgtranslate.images.repair import repaired

# Formats whose further images are frames or pages; in others they are layers, sizes or depth maps
_FRAMED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_OTHER_SPACES = ("LAB", "HSV", "YCbCr")  # converted by Pillow without the profile
_DEEP_PNG = ("RGB;16B", "RGBA;16B", "LA;16B")  # raw modes that Pillow reduces to 8 bits
_BITS, _PHOTOMETRIC = 258, 262  # TIFF tags
_OLD_PILLOW = int(PIL.__version__.partition(".")[0]) < 13
_HEAD = 2**16  # bytes with the header of a file


def open_image(file: BinaryIO, *, allow_huge: bool) -> ImageFile:
    """Open a picture of any format without reading its pixels; refuse unsafe formats and sizes."""
    head = file.read(64)
    file.seek(0)
    brands = head[8 : min(int.from_bytes(head[:4]), 64)]  # in the first box of a HEIF file
    if head[4:8] == b"ftyp" and brands[:4] in _HEIF_BRANDS and b"avif" not in brands:
        try:
            import pillow_heif  # an optional dependency, imported for HEIC only
        except ImportError as error:
            raise ImageError(
                "HEIC needs pillow-heif. Run pip install 'imgtranslate[heif]'"
            ) from error
        pillow_heif.register_heif_opener(thumbnails=False)
    try:
        image = Image.open(file)
    except UnidentifiedImageError:
        _raise_fault_of(file, head)
        raise
    if image.format in ("EPS", "IPTC", "WMF"):  # Pillow may start Ghostscript for them
        raise ImageError(f"{image.format} is not supported. Convert it to PNG first")
    refuse_bomb(image.size, allow_huge=allow_huge)
    return image


def _raise_fault_of(file: BinaryIO, head: bytes) -> None:
    """Raise the error, which Pillow hides, of the plugin whose format begins with these bytes."""
    for name in Image.ID:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(head[:16]) in (False, None):
            continue
        file.seek(0)
        try:
            factory(file, "").close()
        except DECODER_ERRORS as error:
            raise OSError(f"{name}: {fault_of(error)}") from error


def read_by_pillow(file: BinaryIO, *, allow_huge: bool) -> Iterator[Picture]:
    """Read all frames, or the single picture, upright and in their own colour space.

    A file whose pixels are whole is repaired, with a warning.
    """
    done = 0
    try:
        for picture in _frames(file, allow_huge=allow_huge):
            yield picture
            done += 1
        return
    except ImageError:
        raise
    except DECODER_ERRORS:
        found = repaired(file)
        if found is None:
            raise
    copy, warning = found
    for picture in itertools.islice(_frames(copy, allow_huge=allow_huge), done, None):
        yield replace(picture, warning=warning)


def _frames(file: BinaryIO, *, allow_huge: bool) -> Iterator[Picture]:
    with open_image(file, allow_huge=allow_huge) as image:
        if not has_frames(image):
            yield picture_of(image, file)
            return
        # An APNG may begin with a picture outside of its animation.
        for place in itertools.count(1 if image.info.get("default_image") else 0):
            try:
                image.seek(place)
            except EOFError:
                return
            refuse_bomb(image.size, allow_huge=allow_huge)
            # Pillow draws a frame onto the previous one, which the disposal of the next needs.
            before = image._prev_im if isinstance(image, PngImageFile) else None
            before = None if before is None else before.copy()
            picture = picture_of(image)
            if isinstance(image, PngImageFile):
                image._prev_im = before
            yield picture


@runtime_checkable
class _Animated(Protocol):
    is_animated: bool


def has_frames(image: Image.Image) -> bool:
    """Return whether more frames or pages follow the first."""
    return image.format in _FRAMED and isinstance(image, _Animated) and image.is_animated


def picture_of(image: Image.Image, file: BinaryIO | None = None) -> Picture:
    """Decode an image of any mode, upright, in its own colour space and depth.

    ``file``: the source of 16-bit colours, which Pillow reduces to 8 bits.
    """
    if image.format == "FITS" and image.mode != "L" and _OLD_PILLOW:  # in the wrong byte order
        raise ImageError(
            f"FITS of more than 8 bits is not read correctly by Pillow {PIL.__version__}. Install "
            "Pillow 13 or later, or convert it to TIFF first"
        )
    # Loading discards the raw mode, so this comes first.
    deep = isinstance(image, PngImageFile) and any(tile.args in _DEEP_PNG for tile in image.tile)
    if file is not None and isinstance(image, PsdImageFile):
        _mend_psd(image, file)
    head = _head(file) if file is not None and image.format == "JPEG2000" else b""
    _load(image)
    profile = image.info.get("icc_profile")
    profile, plain = profile if isinstance(profile, bytes) else None, image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        picture = _deep_grey(image)
    elif file is not None and deep:
        picture = read_deep_png(file, image.size)
    elif file is not None and is_wrong_in_pillow(image, head):
        picture = read_jpeg_2000(file, head)
    else:
        if image.mode in _OTHER_SPACES:
            profile = None
        elif image.mode == "CMYK":
            plain, profile = cmyk_to_srgb(image, profile)
        picture = _eight_bits(plain)
    exif, moving = exif_of(image), has_frames(image)
    picture = replace(
        picture,
        icc_profile=profile,
        exif=exif_block(exif, of_tiff=isinstance(image, TiffImageFile)),
        xmp=clean_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")),
        duration=_duration(image) if moving and image.format != "TIFF" else None,
        loop=_loop(image) if moving else None,
        file_format=image.format,
    )
    return upright(picture, orientation_of(exif))


def to_pil(picture: Picture) -> Image.Image:
    """Convert to mode L, LA, RGB or RGBA, with the profile in ``info``.

    Grey of more than 8 bits without alpha becomes I;16, I or F. Deeper colours are rounded to 8
    bits, because PIL has no mode for them.
    """
    if picture.pixels.shape[2] == 1 and picture.alpha is None:
        plain = in_depth(picture, np.float32) if picture.pixels.dtype == np.float16 else picture
    else:
        plain = eight_bits(picture)
    pixels = plain.pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if plain.alpha is not None:
        image.putalpha(Image.fromarray(plain.alpha))
    profile = fitting_profile(picture)
    if profile is not None:
        image.info["icc_profile"] = profile
    return image


def fitting_profile(picture: Picture) -> bytes | None:
    """Return an sRGB profile for the channels of the picture, if its file had a profile.

    Grey gets none: grey without a profile is read as sRGB.
    """
    profile = picture.icc_profile
    if profile is None:
        return None
    space = b"GRAY" if picture.pixels.shape[2] <= 2 else b"RGB "
    if profile[16:20] == space:
        return profile
    return srgb_profile() if space == b"RGB " else None


def _load(image: Image.Image) -> None:
    """Decode without mapping the file into memory.

    Pillow 13 swaps the sides of a mapped TIFF that is stored rotated, and a mapped file that is
    truncated meanwhile ends the process.
    """
    if not isinstance(image, ImageFile):
        image.load()
        return
    name, image.filename = image.filename, ""
    try:
        image.load()
    finally:
        image.filename = name


def _head(file: BinaryIO) -> bytes:
    """Read the first bytes of a file, and return to the place before."""
    place = file.tell()
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(place)
    return head


def _mend_psd(image: PsdImageFile, file: BinaryIO) -> None:
    """Correct the places of compressed channels if there are more than Pillow reads.

    The lengths of the rows of all channels precede the channels.
    """
    more = int.from_bytes(_head(file)[12:14]) - len(image.tile)
    if more > 0 and image.tile[0].codec_name == "packbits":
        skipped = 2 * more * image.height
        image.tile = [tile._replace(offset=tile.offset + skipped) for tile in image.tile]


def _eight_bits(image: Image.Image) -> Picture:
    plain = _in_mode(image, "RGBA") if image.has_transparency_data else image
    grey = image.mode in ("1", "L", "LA", "La")
    pixels = np.array(_in_mode(plain, "L" if grey else "RGB"))
    if image.mode == "1" and image.format in ("PSD", "XBM"):  # 1 is black, in Pillow white
        pixels = 255 - pixels
    return Picture(
        pixels=pixels[..., None] if grey else pixels,
        alpha=np.array(plain.getchannel("A")) if plain.mode == "RGBA" else None,
    )


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert to a mode; return the image itself if it has that mode."""
    return image if image.mode == mode else image.convert(mode)


def _deep_grey(image: Image.Image) -> Picture:
    """Read grey of 16 bits, integers or floats; one value may be marked as transparent."""
    values: AnyPixels = np.array(image)
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if values.dtype.kind == "i" and image.format not in ("TIFF", None):
        white_of(values)  # refuses more than 16 bits, which only TIFF stores
        values = values.astype(np.uint16)
    if image.format == "FITS" and values.dtype.kind == "u" and values.max() >= 2**15:
        # Pillow reads signed values as unsigned.
        raise ImageError(
            "FITS with negative values or an offset is not supported. Convert it to TIFF first"
        )
    if tags.get(_BITS) == (12,):
        values = np.rint(values * (65_535 / 4_095)).astype(np.uint16)
    if values.dtype.kind != "f" and tags.get(_PHOTOMETRIC) == 0:
        # 0 is white, and Pillow inverts this for 8 bits only.
        values = (65_535 - values.astype(np.int32)).astype(values.dtype)
    values = values.astype(values.dtype.newbyteorder("="))
    white, key = white_of(values), image.info.get("transparency")
    alpha = None
    if isinstance(key, int):
        alpha = np.where(values != key, white, 0).astype(values.dtype)
    return Picture(pixels=values[..., None], white=white, alpha=alpha)


def _duration(image: Image.Image) -> float:
    found = image.info.get("duration", 0)
    return float(found) if isinstance(found, int | float) and 0 <= found < 2**31 else 0.0


def _loop(image: Image.Image) -> int | None:
    found = image.info.get("loop")
    return found if isinstance(found, int) and 0 <= found < 2**16 else None


# GIF: a palette of 256 colours

CLEAR = 255  # the transparent entry of the palette
_HALF = 128  # least alpha of an opaque pixel; GIF has no partial transparency


def with_palette(image: Image.Image, *, clear: bool) -> Image.Image:
    """Convert to mode P: exactly if the picture has few enough colours, else to the nearest ones.

    ``clear``: reserve entry ``CLEAR`` for transparent pixels.
    """
    plain = image.convert("RGB")
    most = CLEAR if clear else CLEAR + 1
    exact = plain.getcolors(most) is not None
    indexed = _indexed(np.asarray(plain)) if exact else plain.quantize(most)
    if not clear:
        return indexed
    palette = (indexed.getpalette() or []) + [0] * 768
    shown = np.asarray(image.convert("RGBA").getchannel("A")) >= _HALF
    cut = Image.fromarray(np.where(shown, np.asarray(indexed), CLEAR).astype(np.uint8))
    cut.putpalette([*palette[: 3 * CLEAR], 0, 0, 0])
    cut.info["transparency"] = CLEAR
    return cut


def _indexed(colours: Pixels) -> Image.Image:
    numbers = colours.astype(np.uint32) @ np.array([65_536, 256, 1], np.uint32)
    found, places = np.unique(numbers, return_inverse=True)
    indexed = Image.fromarray(places.reshape(numbers.shape).astype(np.uint8))
    palette = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    indexed.putpalette(palette.tobytes())
    return indexed
