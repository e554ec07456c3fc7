"""How files hold their pictures, read from their headers."""

from dataclasses import dataclass
from pathlib import Path

from imgtranslate.errors import ImageError
from imgtranslate.images.formats import WRITERS
from imgtranslate.images.metadata import orientation_of
from imgtranslate.images.opening import decoding, opened
from imgtranslate.images.profiles import is_foreign


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What reading undoes: a person who looks at the file elsewhere may see something else."""

    misnamed: str = ""  # the format, where the suffix says another
    cmyk: bool = False
    turned: bool = False  # by EXIF
    foreign: bool = False  # of a profile that is not sRGB


def read_stored(path: Path) -> Stored:
    """Read the header; nothing is told of a file that Pillow does not know."""
    try:
        with decoding(path), opened(path, allow_huge=True) as image:
            return Stored(
                misnamed=_misnamed(path, image.format or ""),
                cmyk=image.mode == "CMYK",
                turned=orientation_of(image) != 1,
                foreign=is_foreign(image.info.get("icc_profile")),
            )
    except ImageError:
        return Stored()


def _misnamed(path: Path, found: str) -> str:
    writer = WRITERS.get(path.suffix.lower())
    if writer is None or found == writer.file_format:
        return ""
    return "" if (writer.file_format, found) == ("JPEG", "MPO") else found  # of phones
