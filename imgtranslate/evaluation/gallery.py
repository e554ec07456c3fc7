"""Held-out pictures of a run, translated, and the numbers of each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain, evenly_spaced
from imgtranslate.errors import ImgTranslateError
from imgtranslate.images import Pixels
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.ssim import ssim
from imgtranslate.model_files.checkpoint import Direction
from imgtranslate.settings.config import Settings, is_paired
from imgtranslate.translation.translator import Translator, load

SHORTEST_SIDE = 286  # px: pictures up to this are translated as they are
Domains = tuple[Domain, Domain]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A held-out picture, what was made of it, and what that is held against."""

    path: Path
    direction: Direction
    size: tuple[int, int]  # width and height in px, as translated
    real: Pixels
    fake: Pixels
    other: Pixels  # recovered, or the truth of a pair
    error: float | None  # mean absolute, of ``other``; None where the shapes differ
    psnr: float | None
    ssim: float | None
    change: float | None


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A held-out picture that could not be shown."""

    path: Path
    direction: Direction
    reason: str


def count_shown(settings: Settings, domains: Domains, *, count: int) -> int:
    """How many pictures ``show_held_out`` goes through."""
    sides = domains[:1] if is_paired(settings.method) else domains
    return sum(min(count, len(domain.held_out)) for domain in sides)


def show_held_out(
    run: Path, settings: Settings, domains: Domains, *, count: int, device: str
) -> Iterator[Shown | Missing]:
    """Translate up to ``count`` held-out pictures of each side, evenly spread.

    A picture of more px than 4:3 at the training's size, or at 286 px, is shrunk before.
    """
    limit = most_pixels(settings)
    ab = load(run, device=device)
    a, b = domains
    if is_paired(settings.method):
        for x, y in evenly_spaced(list(zip(a.held_out, b.held_out, strict=False)), count):
            yield _paired(ab, a, b, x, y, limit=limit)
        return
    ba = load(run, device=device, direction="ba")
    for forward, backward, domain in ((ab, ba, a), (ba, ab, b)):
        for path in evenly_spaced(domain.held_out, count):
            yield _cycled(forward, backward, domain, path, limit=limit)


def most_pixels(settings: Settings) -> int:
    """How many px a picture may have before it is shrunk."""
    return round(max(settings.data.load_size, SHORTEST_SIDE) ** 2 * 4 / 3)


def shrunk(pixels: Pixels, *, limit: int) -> Pixels:
    """A picture of at most ``limit`` px, smaller only, with its aspect; for colour and grey."""
    height, width, channels = pixels.shape
    scale = math.sqrt(limit / (height * width))
    if scale >= 1 or channels not in (1, 3):
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    resized = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(size[1], size[0], channels)


def _cycled(
    forward: Translator, backward: Translator, domain: Domain, path: Path, *, limit: int
) -> Shown | Missing:
    direction = forward.header.direction
    try:
        real = shrunk(domain.read(path, channels=forward.header.in_channels), limit=limit)
        fake = forward.translate_pixels(real)
        recovered = backward.translate_pixels(fake)
    except ImgTranslateError as error:
        return _missing(path, direction, error)
    return _measured(path, direction, real=real, fake=fake, got=recovered, wanted=real)


def _paired(
    ab: Translator, a: Domain, b: Domain, x: Path, y: Path, *, limit: int
) -> Shown | Missing:
    try:
        real = shrunk(a.read(x, channels=ab.header.in_channels), limit=limit)
        truth = shrunk(b.read(y, channels=ab.header.out_channels), limit=limit)
        fake = ab.translate_pixels(real)
    except ImgTranslateError as error:
        return _missing(x, "ab", error)
    return _measured(x, "ab", real=real, fake=fake, got=fake, wanted=truth)


def _measured(
    path: Path, direction: Direction, *, real: Pixels, fake: Pixels, got: Pixels, wanted: Pixels
) -> Shown:
    alike = got.shape == wanted.shape
    return Shown(
        path=path,
        direction=direction,
        size=(real.shape[1], real.shape[0]),
        real=real,
        fake=fake,
        other=got if got is not fake else wanted,
        error=mean_absolute_error(got, wanted) if alike else None,
        psnr=psnr(got, wanted) if alike else None,
        ssim=ssim(got, wanted) if alike else None,
        change=mean_absolute_error(fake, real) if fake.shape == real.shape else None,
    )


def _missing(path: Path, direction: Direction, error: ImgTranslateError) -> Missing:
    reason = str(error).removeprefix(f"{path}: ")
    return Missing(path=path, direction=direction, reason=reason)
