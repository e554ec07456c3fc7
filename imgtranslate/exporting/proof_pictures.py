"""The real picture that an export is proven on."""

from pathlib import Path

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain
from imgtranslate.errors import ImageError, ImgTranslateError, UsageError
from imgtranslate.exporting.proof import ProofPicture
from imgtranslate.images import Pixels, eight_bits, read_image
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run

PAINTED = "a painted picture"
_SIDE, _COARSEST = 256, 4  # px


def picture_for(source: Path, *, letter: str, channels: int, given: Path | None) -> ProofPicture:
    """The picture given, else one that the run of the model file held out, else a painted one.

    ``letter``: the domain that the pictures are of. Raises ``UsageError`` about ``given``.
    """
    if given is not None:
        try:
            pixels = eight_bits(read_image(given, channels=channels)).pixels
        except ImageError as error:
            raise UsageError(f"--proof {error}") from error
        return ProofPicture(pixels=pixels, name=given.name)
    for folder in (source.parent, source.parent.parent):
        if Run(folder).config.is_file():
            return _held_out(folder, letter=letter, channels=channels)
    return ProofPicture(pixels=paint(channels), name=PAINTED)


def paint(channels: int) -> Pixels:
    """Soft shapes with ever finer and fainter grain, as photographs have: (256, 256, channels)."""
    rng, levels = np.random.default_rng(0), np.zeros((_SIDE, _SIDE, channels))
    for power in range(_COARSEST.bit_length() - 1, _SIDE.bit_length()):
        side = 2**power
        for channel in range(channels):
            grain = Image.fromarray(rng.standard_normal((side, side)).astype(np.float32))
            levels[..., channel] += np.asarray(grain.resize((_SIDE, _SIDE))) * 64 / power**2 * 4
    return np.clip(np.rint(levels + 127.5), 0, 255).astype(np.uint8)


def _held_out(folder: Path, *, letter: str, channels: int) -> ProofPicture:
    """The first picture held out; pictures that are gone are no fault of the export."""
    try:
        domains = domains_of_run(*Run(folder).read_config())
        domain: Domain = domains["ab".index(letter)]
        if domain.held_out:
            file = domain.held_out[0]
            return ProofPicture(pixels=domain.read(file, channels=channels), name=file.name)
    except ImgTranslateError:
        pass
    return ProofPicture(pixels=paint(channels), name=PAINTED)
