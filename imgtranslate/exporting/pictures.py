"""The pictures on which an export is compared, calibrated to 8 bits, and measured.

They come from the user, or by default from the run that contains the model file.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImageError, ImgTranslateError, UsageError, counted
from imgtranslate.exporting.source_model import SourceModel
from imgtranslate.images import Pixels, eight_bits, list_images, read_image
from imgtranslate.runs.data import domains_of_run, held_out_of_run, run_of_model

PAINTED = "a painted picture"
MOST, MOST_JUDGED = 16, 8  # pictures; more take time and do not improve the result
LARGEST = 256  # px, side of a calibration picture: all activations are in memory at once
_EVERY = 4  # every fourth picture of a folder measures the result
_SIDE, _COARSEST = 256, 4  # px, side and coarsest grain of the painted picture


@dataclass(frozen=True, kw_only=True)
class ProofPicture:
    """A picture (h, w, c) on which an export is compared, and its name in the report."""

    pixels: Pixels
    name: str


@dataclass(frozen=True, kw_only=True)
class CalibrationPictures:
    """Pictures (h, w, c) for the calibration, and others that measure the result."""

    calibrated: tuple[Pixels, ...]
    judged: tuple[Pixels, ...]


def proof_picture(model: SourceModel, given: Path | None) -> ProofPicture:
    """Read the given picture, else the first held-out picture of the run, else paint one.

    Raises ``UsageError`` if the given picture cannot be read. Missing pictures of a run are not an
    error.
    """
    if given is not None:
        return ProofPicture(pixels=_read(given, model, "proof"), name=given.name)
    run = run_of_model(model.path)
    with contextlib.suppress(ImgTranslateError):
        if run is not None:
            domain = held_out_of_run(*run.read_config())["ab".index(model.letter)]
            for file in domain.held_out[:1]:
                pixels = domain.read(file, channels=model.in_channels)
                return ProofPicture(pixels=pixels, name=file.name)
    return ProofPicture(pixels=paint(model.in_channels), name=PAINTED)


def paint(channels: int) -> Pixels:
    """Paint a picture (256, 256, channels) whose details are fainter the finer, as in photos."""
    rng, levels = np.random.default_rng(0), np.zeros((_SIDE, _SIDE, channels))
    for power in range(_COARSEST.bit_length() - 1, _SIDE.bit_length()):
        side = 2**power
        for channel in range(channels):
            grain = Image.fromarray(rng.standard_normal((side, side)).astype(np.float32))
            levels[..., channel] += np.asarray(grain.resize((_SIDE, _SIDE))) * 64 / power**2 * 4
    return np.clip(np.rint(levels + 127.5), 0, 255).astype(np.uint8)


def calibration_pictures(model: SourceModel, folder: Path | None) -> CalibrationPictures:
    """Read pictures from a folder, by default training and held-out pictures of the run.

    Raises ``UsageError`` if the folder, or without one the run, has too few pictures.
    """
    if folder is None:
        domain = _calibration_domain(model)
        return _read_spread(
            domain.files,
            domain.held_out,
            read=lambda file: domain.read(file, channels=model.in_channels),
        )
    try:
        files = list_images(folder, channels=model.in_channels)
    except ImgTranslateError as error:
        raise UsageError(f"`calibrate` {error}") from error
    if len(files) < 2:
        raise UsageError(
            f"`calibrate` {folder}: only {counted(len(files), 'picture')}, but some must calibrate "
            "and others measure the result. Name a folder of 10 or more pictures like those to "
            "translate"
        )
    judged = files[:: min(_EVERY, len(files))]
    rest = [file for file in files if file not in set(judged)]
    return _read_spread(rest, judged, read=lambda file: _read(file, model, "calibrate"))


def centre(pixels: Pixels, side: int) -> Pixels:
    """Crop the middle of a picture, at most ``side`` px high and wide."""
    top, left = (max(length - side, 0) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _read_spread(
    calibrated: Sequence[Path], judged: Sequence[Path], *, read: Callable[[Path], Pixels]
) -> CalibrationPictures:
    return CalibrationPictures(
        calibrated=tuple(centre(read(f), LARGEST) for f in evenly_spaced(calibrated, MOST)),
        judged=tuple(centre(read(f), LARGEST) for f in evenly_spaced(judged, MOST_JUDGED)),
    )


def _read(path: Path, model: SourceModel, parameter: str) -> Pixels:
    try:
        return eight_bits(read_image(path, channels=model.in_channels)).pixels
    except ImageError as error:
        raise UsageError(f"`{parameter}` {error}") from error


def _calibration_domain(model: SourceModel) -> Domain:
    run = run_of_model(model.path)
    if run is not None:
        try:
            domain = domains_of_run(*run.read_config())["ab".index(model.letter)]
        except ImgTranslateError as error:
            raise UsageError(
                f"`calibrate`: not given, and the pictures of {run.folder} cannot be read: {error}"
            ) from error
        if domain.files and domain.held_out:
            return domain
    raise UsageError(
        f"`calibrate`: not given, and {model.path} is not in a run with held-out pictures. "
        "Name a folder of pictures like those to translate"
    )
