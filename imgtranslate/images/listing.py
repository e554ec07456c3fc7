"""The pictures of a folder, found by their suffixes, and names in other Unicode forms."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from imgtranslate.errors import DataError
from imgtranslate.images.arrays import ARRAY_SUFFIX

# The formats that Pillow decodes itself, or with the extra [heif]. The list is fixed, so that a
# folder has the same pictures on every machine and no plugin is imported; a test compares it with
# Pillow's registry. It omits formats that Pillow passes to other programs (.eps, .ps, .wmf) or
# only identifies (.hdf, .grib).
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
    """List the pictures in ``folder`` and its sub-folders by suffix, sorted by name.

    For more than 4 channels the list includes arrays (``.npy``). Hidden files and folders are
    skipped; links are followed, but not in circles. Raises ``DataError`` if the folder or a
    sub-folder cannot be listed.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder. Name a folder of pictures")
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, not a folder. Name a folder of pictures")
    suffixes = IMAGE_SUFFIXES if channels <= 4 else {*IMAGE_SUFFIXES, ARRAY_SUFFIX}
    found = (path for path in _walk(folder) if path.suffix.lower() in suffixes)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def same_text(name: str) -> str:
    """Return the Unicode form NFC: macOS writes ``é`` as two characters, other systems as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def file_key(path: str) -> str:
    """Return a text that is equal for paths that some file systems take for one file.

    They ignore case, the Unicode form, or both.
    """
    return same_text(same_text(path).casefold())


def as_stored(path: Path) -> Path:
    """Return the path under which a file exists: as given, or with names in another Unicode form.

    Returns the path as given if there is no such file.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.relative_to(found).parts:
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        found /= next((form for form in forms if os.path.lexists(found / form)), part)
    return found if os.path.lexists(found) else path


def _walk(folder: Path) -> Iterator[Path]:
    """List the files that are not hidden; a link back to a parent folder is not followed."""
    stack = [(folder, frozenset({folder.resolve()}))]
    while stack:
        current, above = stack.pop()
        try:
            with os.scandir(current) as found:
                entries = list(found)
        except OSError as error:
            raise DataError(
                f"{current}: cannot be listed: {error.strerror}. "
                "Correct its permissions, or move it away"
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
    """Return whether an entry is a folder; False for a circular link."""
    try:
        return entry.is_dir()
    except OSError:
        return False
