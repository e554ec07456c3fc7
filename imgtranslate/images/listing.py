"""The pictures of a folder, found by their names alone."""

import os
from collections.abc import Iterator
from pathlib import Path

from imgtranslate.errors import DataError
from imgtranslate.images.arrays import ARRAY_SUFFIX

# What Pillow decodes by itself, or with the extra [heif]. A list of our own, so that a folder holds
# the same pictures on every machine and no plugin is imported to read it; a test holds it against
# Pillow's registry. Left out: what Pillow hands to other programs (.eps, .ps, .wmf) or only names
# (.hdf, .grib).
# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".blp", ".bmp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit",
    ".fits", ".flc", ".fli", ".ftc", ".ftu", ".gbr", ".gif", ".heic", ".heif", ".hif", ".icb",
    ".icns", ".ico", ".im", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".mpo", ".msp", ".pbm", ".pcd", ".pcx", ".pfm", ".pgm", ".png", ".pnm", ".ppm",
    ".psd", ".pxr", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".tif", ".tiff", ".vda",
    ".vst", ".webp", ".xbm", ".xpm",
})
# fmt: on


def list_images(folder: Path, *, channels: int = 3) -> list[Path]:
    """List the pictures in ``folder`` and below, by suffix, in the order of their names.

    Arrays (``.npy``) are among them for more than 4 channels. Hidden files and folders are left
    out; links are followed, but not in circles. Raises ``DataError`` if the folder, or one below
    it, cannot be listed.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder. Name a folder of pictures")
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, not a folder. Name a folder of pictures")
    suffixes = IMAGE_SUFFIXES if channels <= 4 else {*IMAGE_SUFFIXES, ARRAY_SUFFIX}
    found = (path for path in _walk(folder) if path.suffix.lower() in suffixes)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: Path) -> Iterator[Path]:
    """List the files below except hidden ones; a link back to a folder above is not followed."""
    stack = [(folder, frozenset({folder.resolve()}))]
    while stack:
        current, above = stack.pop()
        try:
            with os.scandir(current) as found:
                entries = list(found)
        except OSError as error:
            raise DataError(
                f"{current}: cannot be listed: {error.strerror}. "
                "Mend its permissions or leave it out"
            ) from error
        for entry in entries:
            path = current / entry.name
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                yield path
            elif (real := path.resolve()) not in above:
                stack.append((path, above | {real}))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell a folder; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
