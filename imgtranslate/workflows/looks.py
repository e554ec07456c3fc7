"""Which codes a model with many looks is asked for: by number, by a picture, along a path."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.errors import UsageError
from imgtranslate.images import Codes, Pixels, read_image
from imgtranslate.translator import Translator, to_code


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What was asked for; at most one of ``samples``, ``codes``, ``style``, ``path``."""

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
    codes: tuple[Codes, ...]  # empty where they are drawn

    def of(self, pixels: Pixels, translator: Translator) -> list[Codes | None]:
        """The codes of one picture; None for a model that has no code."""
        if self.codes:
            return list(self.codes)
        if not translator.latent_dim:
            return [None]
        seeds = range(self.looks.seed, self.looks.seed + self.looks.samples)
        return [translator.draw(seed, None if self.looks.sync else pixels) for seed in seeds]


def choose(looks: Looks, translator: Translator) -> Chosen:
    """Read styles and check codes. Raises ``UsageError`` or ``ImageError``, before any work."""
    numbers = translator.latent_dim
    if not numbers:
        if looks != Looks():
            raise UsageError(
                "--model: it has no code z, so it has one look. Leave out --samples, --seed, --z, "
                "--style and the like"
            )
        return Chosen(looks=looks, codes=())
    if looks.style is not None:
        return Chosen(looks=looks, codes=(_style(looks.style, translator),))
    if looks.path is not None:
        first, last = (_style(path, translator) for path in looks.path)
        shares = np.linspace(0, 1, looks.frames)
        return Chosen(looks=looks, codes=tuple(interpolate(first, last, s) for s in shares))
    return Chosen(looks=looks, codes=tuple(to_code(code, numbers) for code in looks.codes))


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


def parse_codes(text: str) -> tuple[tuple[float, ...], ...]:
    """Read one code, numbers between commas. Raises ``UsageError``."""
    return (_numbers(text, where=f"--z {text}"),)


def read_codes(path: Path) -> tuple[tuple[float, ...], ...]:
    """Read a file with one code in each line, numbers between commas or blanks."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--z-file {path}: cannot be read: {error}. Write a code in each line"
        ) from error
    codes = [
        _numbers(line, where=f"--z-file {path}: line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not codes:
        raise UsageError(f"--z-file {path}: no code in it. Write numbers in each line")
    return tuple(codes)


def _numbers(text: str, *, where: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise UsageError(f"{where}: not numbers. Write them as in 0.1,-0.4,1") from error


def _style(path: Path, translator: Translator) -> Codes:

    return translator.encode(read_image(path, channels=translator.header.out_channels).pixels)
