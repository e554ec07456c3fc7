"""Which pictures an export in 8 bits is calibrated on: a folder's, or its run's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imgtranslate.data.folders import Domain
from imgtranslate.errors import ImageError, ImgTranslateError, UsageError
from imgtranslate.exporting.calibration import Calibration
from imgtranslate.images import Pixels, eight_bits, list_images, read_image
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run

MOST, MOST_JUDGED = 16, 8  # pictures; more change nothing and cost time
LARGEST = 256  # px, of what is cut from a picture: all layers' values are held at once
_EACH = 4  # of a folder every fourth is judged by


def calibration_for(
    source: Path,
    *,
    letter: str,
    channels: int,
    folder: Path | None,
    min_psnr: float,
    notice: Callable[[str], None],
) -> Calibration:
    """Read the pictures of a folder, else those that the run of a model file learnt from.

    ``letter``: the domain that the pictures are of. Raises ``UsageError`` about ``--calibrate``.
    """
    found = (
        _of_run(source, letter=letter, channels=channels)
        if folder is None
        else _of_folder(folder, channels=channels)
    )
    return Calibration(
        pictures=tuple(_cut(found.read(path)) for path in _spread(found.files, MOST)),
        judged=tuple(_cut(found.read(path)) for path in _spread(found.judged, MOST_JUDGED)),
        min_psnr=min_psnr,
        notice=notice,
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    files: Sequence[Path]
    judged: Sequence[Path]
    read: Callable[[Path], Pixels]


def _of_folder(folder: Path, *, channels: int) -> _Found:
    try:
        files = list_images(folder, channels=channels)
    except ImgTranslateError as error:
        raise UsageError(f"--calibrate {error}") from error
    if len(files) < 2:
        raise UsageError(
            f"--calibrate {folder}: {len(files)} pictures, and some to calibrate on and others to "
            "judge by are needed. Name a folder of 10 or more like those to translate"
        )
    judged = files[:: max(2, min(_EACH, len(files)))]
    rest = [file for file in files if file not in set(judged)]
    return _Found(files=rest, judged=judged, read=partial(_read, channels=channels))


def _of_run(source: Path, *, letter: str, channels: int) -> _Found:
    for folder in (source.parent, source.parent.parent):
        if Run(folder).config.is_file():
            domain = _domain(folder, letter)
            read = partial(domain.read, channels=channels)
            if domain.held_out and domain.files:
                return _Found(files=domain.files, judged=domain.held_out, read=read)
    raise UsageError(
        f"--calibrate: not given, and {source} lies in no run that held pictures out. "
        "Name a folder of pictures like those to translate"
    )


def _domain(folder: Path, letter: str) -> Domain:
    try:
        domains = domains_of_run(*Run(folder).read_config())
    except ImgTranslateError as error:
        raise UsageError(
            f"--calibrate: not given, and the pictures of {folder} cannot be read: {error}"
        ) from error
    return domains["ab".index(letter)]


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """So many of them, evenly."""
    count = min(most, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def _read(path: Path, *, channels: int) -> Pixels:
    try:
        return eight_bits(read_image(path, channels=channels)).pixels
    except ImageError as error:
        raise UsageError(f"--calibrate {error}") from error


def _cut(pixels: Pixels) -> Pixels:
    """The middle of a picture."""
    height, width = pixels.shape[:2]
    top, left = (max(side - LARGEST, 0) // 2 for side in (height, width))
    return pixels[top : top + LARGEST, left : left + LARGEST]
