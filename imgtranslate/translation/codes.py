"""Latent codes z for the samples of a picture: random, given, read from a style, or between two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images import Codes, Picture, eight_bits, read_image
from imgtranslate.images.figures import comparison
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.settings.config import latent_dim
from imgtranslate.translation.translator import Translator, to_code

_LARGEST_TEXT = 2**24  # largest size of a file of codes, in bytes
_SMALLEST_CELL, _LARGEST_CELL = 128, 1024  # px, side of a picture in a grid


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The requested samples of each picture; ``codes``, ``style`` and ``path`` are exclusive."""

    options: tuple[str, ...] = ()  # the given options, for error messages
    samples: int = 1
    seed: int = 0  # of the first sample; each further one adds 1
    sync: bool = False  # use the same codes for every picture
    codes: tuple[tuple[float, ...], ...] = ()
    style: Path | None = None  # a picture of the target domain
    path: tuple[Path, Path] | None = None  # interpolate between these two styles
    frames: int = 8

    @property
    def count(self) -> int:
        """The number of outputs for each picture."""
        if self.path is not None:
            return self.frames
        return 1 if self.style else len(self.codes) or self.samples


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model and the latent codes of the requested samples."""

    translator: Translator
    samples: Samples = Samples()
    codes: tuple[Codes, ...] = ()  # empty if codes are drawn for each picture
    name: str | None = None  # set if there are several models

    def code(self, picture: Picture, sample: int) -> Codes:
        """Return the code of one sample of a picture."""
        if self.codes:
            return self.codes[sample]
        pixels = None if self.samples.sync else picture.pixels
        return self.translator.draw(self.samples.seed + sample, pixels)


def with_samples(translator: Translator, samples: Samples, *, name: str | None = None) -> Model:
    """Read styles and check codes. Raises ``UsageError`` before any picture is translated."""
    refuse_unfit(samples, translator.header)
    codes: Sequence[Codes] = ()
    if samples.style is not None:
        codes = [_read_style(samples.style, samples, translator)]
    elif samples.path is not None:
        first, last = (_read_style(path, samples, translator) for path in samples.path)
        codes = [interpolate(first, last, share) for share in np.linspace(0, 1, samples.frames)]
    elif samples.codes:
        where = _named(samples)
        codes = [
            to_code(
                code,
                translator.latent_dim,
                where=f"{where}, code {number}" if len(samples.codes) > 1 else where,
            )
            for number, code in enumerate(samples.codes, 1)
        ]
    return Model(translator=translator, samples=samples, codes=tuple(codes), name=name)


def refuse_unfit(samples: Samples, header: ModelHeader) -> None:
    """Raise ``UsageError`` if the header shows that a model cannot give the samples."""
    if samples != Samples() and not latent_dim(header.generator):
        raise UsageError(
            f"{_named(samples)}: the model has no latent code, so a picture has one translation. "
            "Leave it out"
        )
    if (samples.style or samples.path) and header.encoder is None:
        raise UsageError(
            f"{_named(samples)}: the model has no encoder to read a style. Use `samples`, or an "
            ".onnx model with `encoder`"
        )


def interpolate(first: Codes, last: Codes, share: float) -> Codes:
    """Interpolate from one code (share 0) to another (share 1) along the arc between them.

    Codes with many numbers are near a sphere, which the straight line would leave (arXiv
    1609.04468, section 2.1). If the arc is not defined, the line is used.
    """
    lengths = float(np.linalg.norm(first) * np.linalg.norm(last))
    cosine = float(first @ last) / lengths if lengths else 1.0
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if share in (0.0, 1.0) or math.sin(angle) < 1e-4:
        mixed = first * (1 - share) + last * share
    else:
        mixed = first * math.sin((1 - share) * angle) + last * math.sin(share * angle)
        mixed = mixed / math.sin(angle)
    return mixed.astype(np.float32)


def draw_grid(picture: Picture, model: Model) -> Picture:
    """Draw the picture and its samples in one row, each at its original size up to 1024 px."""
    header, pixels = model.translator.header, eight_bits(picture).pixels
    samples = [
        model.translator.translate_pixels(pixels, z=model.code(picture, number))
        for number in range(model.samples.count)
    ]
    titles = [header.source, *(f"{header.target} {number + 1}" for number in range(len(samples)))]
    side = min(max(*pixels.shape[:2], _SMALLEST_CELL), _LARGEST_CELL)
    return Picture(pixels=comparison([[pixels, *samples]], titles=titles, cell=side))


def parse_codes(text: str) -> tuple[tuple[float, ...], ...]:
    """Read one code, written as numbers separated by commas. Raises ``UsageError``."""
    return (_numbers(text, where=f"`z` {text}"),)


def read_codes(path: Path) -> tuple[tuple[float, ...], ...]:
    """Read codes from the lines of a text file, or the rows of a ``.npy`` array (n, latent_dim).

    Numbers in a line are separated by commas or spaces. Raises ``UsageError`` for other files.
    """
    codes = _read_array(path) if path.suffix.lower() == ".npy" else _read_lines(path)
    if not codes:
        raise UsageError(f"`z_file` {path}: contains no code. Write numbers in each line")
    return codes


def _read_lines(path: Path) -> tuple[tuple[float, ...], ...]:
    try:
        with path.open("rb") as file:  # a device file may be endless
            content = file.read(_LARGEST_TEXT + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "not text") from error
    if len(content) > _LARGEST_TEXT:
        raise _unreadable(path, f"longer than {_LARGEST_TEXT} bytes")
    return tuple(
        _numbers(line, where=f"`z_file` {path}: line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    )


def _read_array(path: Path) -> tuple[tuple[float, ...], ...]:
    """Read an array from a file that has the size given in its header and contains no pickle."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, SyntaxError, OverflowError) as error:
        raise _unreadable(path, "not an array of numbers, or damaged") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise _unreadable(path, "not an array of numbers, one code in each row")
    return tuple(tuple(row) for row in np.atleast_2d(array).tolist())


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"`z_file` {path}: cannot be read: {why}. Write a code in each line, or save a .npy array"
    )


def _numbers(text: str, *, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"{where}: not numbers. Write them like 0.1,-0.4,1") from error


def _named(samples: Samples) -> str:
    return samples.options[0] if samples.options else "samples"


def _read_style(path: Path, samples: Samples, translator: Translator) -> Codes:
    try:
        picture = eight_bits(read_image(path, channels=translator.header.out_channels))
    except ImageError as error:
        raise UsageError(f"{_named(samples)} {error}") from error
    return translator.encode_pixels(picture.pixels)
