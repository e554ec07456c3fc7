"""Which codes a model with many looks is asked for: by number, by a picture, along a path."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images import Codes, Picture, Pixels, eight_bits, read_image
from imgtranslate.images.figures import comparison
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.settings.config import latent_dim
from imgtranslate.translation.translator import Translator, to_code

_LARGEST_TEXT = 2**24  # bytes of a file of codes
_SMALLEST_CELL, _LARGEST_CELL = 128, 1024  # px, of a grid


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What was asked for; at most one of ``samples``, ``codes``, ``style``, ``path``."""

    options: tuple[str, ...] = ()  # that asked for it, so that a fault can name them
    samples: int = 1
    seed: int = 0  # of the first sample; each further one has the next
    sync: bool = False  # the same codes for every picture
    codes: tuple[tuple[float, ...], ...] = ()
    style: Path | None = None  # a picture of the target
    path: tuple[Path, Path] | None = None  # from the look of one picture to that of another
    frames: int = 8

    @property
    def count(self) -> int:
        """How many outputs a picture has."""
        if self.path is not None:
            return self.frames
        return 1 if self.style else len(self.codes) or self.samples


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Looks with what the model had to be asked for."""

    looks: Looks
    latent_dim: int  # 0: one look, and no code
    codes: tuple[Codes, ...] = ()  # empty where they are drawn

    def code(self, look: int, pixels: Pixels, translator: Translator) -> Codes | None:
        """One code of a picture; None for a model that has no code."""
        if self.codes:
            return self.codes[look]
        seed = self.seed(look)
        if seed is None:
            return None
        return translator.draw(seed, None if self.looks.sync else pixels)

    def seed(self, look: int) -> int | None:
        """The seed that a code is drawn with; None where none is drawn."""
        return self.looks.seed + look if self.latent_dim and not self.codes else None

    def number(self, look: int) -> int | None:
        """Which sample of its picture a look is, from 1; None where there is no code."""
        return look + 1 if self.latent_dim else None


def choose(looks: Looks, translator: Translator) -> Chosen:
    """Read styles and check codes. Raises ``UsageError``, before any picture is translated."""
    refuse_unfit(looks, translator.header)
    codes: Sequence[Codes] = ()
    if looks.style is not None:
        codes = [_read_style(looks.style, looks, translator)]
    elif looks.path is not None:
        first, last = (_read_style(path, looks, translator) for path in looks.path)
        codes = [interpolate(first, last, share) for share in np.linspace(0, 1, looks.frames)]
    elif looks.codes:
        codes = _fitting(looks, translator.latent_dim)
    return Chosen(looks=looks, latent_dim=translator.latent_dim, codes=tuple(codes))


def refuse_unfit(looks: Looks, header: ModelHeader) -> None:
    """Raise ``UsageError`` if a model cannot give such looks, by its header alone."""
    if looks != Looks() and not latent_dim(header.generator):
        raise UsageError(
            f"{_named(looks)}: the model has no code z, so a picture has one look. Leave it out"
        )
    if (looks.style or looks.path) and header.encoder is None:
        raise UsageError(
            f"{_named(looks)}: the model has no encoder to read a look with. Use --samples, or "
            "--encoder beside an .onnx model"
        )


def interpolate(first: Codes, last: Codes, share: float) -> Codes:
    """Go from one code (share 0) to another (share 1) along the arc between them.

    Codes of many numbers lie near a sphere; the straight line would leave it (arXiv 1609.04468,
    section 2.1). Where there is no such arc, the line is taken.
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


def draw_grid(picture: Picture, codes: Sequence[Codes | None], translator: Translator) -> Picture:
    """Draw the picture and its looks in one row, each at its own size up to 1024 px."""
    picture = eight_bits(picture)
    looks = [translator.translate_pixels(picture.pixels, z=code) for code in codes]
    header = translator.header
    titles = [header.source, *(f"{header.target} {number + 1}" for number in range(len(looks)))]
    side = min(max(*picture.pixels.shape[:2], _SMALLEST_CELL), _LARGEST_CELL)
    return Picture(pixels=comparison([[picture.pixels, *looks]], titles=titles, cell=side))


def parse_codes(text: str) -> tuple[tuple[float, ...], ...]:
    """Read one code, numbers between commas. Raises ``UsageError``."""
    return (_numbers(text, where=f"--z {text}"),)


def read_codes(path: Path) -> tuple[tuple[float, ...], ...]:
    """Read one code of each line of a text, or of each row of a ``.npy`` array (n, latent_dim).

    Between numbers stand commas or blanks. Raises ``UsageError`` if it is anything else.
    """
    codes = _read_array(path) if path.suffix.lower() == ".npy" else _read_lines(path)
    if not codes:
        raise UsageError(f"--z-file {path}: no code in it. Write numbers in each line")
    return codes


def _read_lines(path: Path) -> tuple[tuple[float, ...], ...]:
    try:
        with path.open("rb") as file:  # what is named may have no end
            content = file.read(_LARGEST_TEXT + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "not text") from error
    if len(content) > _LARGEST_TEXT:
        raise _unreadable(path, f"longer than {_LARGEST_TEXT} bytes")
    return tuple(
        _numbers(line, where=f"--z-file {path}: line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    )


def _read_array(path: Path) -> tuple[tuple[float, ...], ...]:
    """Read an array that is as large as its header claims, and holds no pickle."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, SyntaxError, OverflowError) as error:
        raise _unreadable(path, "not an array of numbers, or a damaged one") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise _unreadable(path, "not an array of numbers, one code in each row")
    return tuple(tuple(row) for row in np.atleast_2d(array).tolist())


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"--z-file {path}: cannot be read: {why}. Write a code in each line, or save a .npy array"
    )


def _numbers(text: str, *, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"{where}: not numbers. Write them as in 0.1,-0.4,1") from error


def _fitting(looks: Looks, count: int) -> list[Codes]:
    several = len(looks.codes) > 1
    return [
        to_code(code, count, where=f"{_named(looks)}, code {number}" if several else _named(looks))
        for number, code in enumerate(looks.codes, 1)
    ]


def _named(looks: Looks) -> str:
    return looks.options[0] if looks.options else "looks"


def _read_style(path: Path, looks: Looks, translator: Translator) -> Codes:
    try:
        picture = eight_bits(read_image(path, channels=translator.header.out_channels))
    except ImageError as error:
        raise UsageError(f"{_named(looks)} {error}") from error
    return translator.encode_pixels(picture.pixels)
