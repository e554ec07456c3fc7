"""The held-out pictures of a report, each translated anew, with its numbers."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain, Domains, evenly_spaced
from imgtranslate.errors import ImgTranslateError
from imgtranslate.images import Pixels
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.ssim import ssim
from imgtranslate.pages import number, shown
from imgtranslate.pages.embed import embed
from imgtranslate.settings.config import Settings, is_paired
from imgtranslate.translation.translator import Translator, load

SHORTEST_SIDE = 286  # px: pictures up to this are translated as they are
PICTURE_SIDE = 360  # px, on the page
LONGEST_NAME = 64  # characters, of a file

Made = tuple[Pixels, Pixels, Pixels]  # real, fake, and recovered or the truth


def count_pictures(settings: Settings, domains: Domains, *, count: int) -> int:
    """Count the rows that ``picture_rows`` yields."""
    sides = domains[:1] if is_paired(settings.method) else domains
    return sum(min(count, len(domain.held_out)) for domain in sides)


def picture_rows(
    run: Path, settings: Settings, domains: Domains, *, count: int, device: str, most_bytes: int
) -> Iterator[dict[str, Any]]:
    """Translate up to ``count`` held-out pictures of each side, evenly spaced; a row of each.

    A picture of more px than 4:3 at the training's size, or at 286 px, is shrunk before.
    ``most_bytes``: of each picture on the page. Raises ``ImgTranslateError`` without a model.
    """
    limit = most_pixels(settings)
    ab, (a, b) = load(run, device=device), domains
    if is_paired(settings.method):
        for x, y in evenly_spaced(list(zip(a.held_out, b.held_out, strict=False)), count):
            make = partial(_with_truth, ab, domains, x, y, limit)
            yield _row(x, "ab", make, paired=True, most_bytes=most_bytes)
        return
    ba = load(run, device=device, direction="ba")
    for there, back, domain in ((ab, ba, a), (ba, ab, b)):
        for path in evenly_spaced(domain.held_out, count):
            make = partial(_cycle, there, back, domain, path, limit)
            yield _row(path, there.header.direction, make, paired=False, most_bytes=most_bytes)


def most_pixels(settings: Settings) -> int:
    """Return the number of px from which a picture is shrunk before it is translated."""
    return round(max(settings.data.load_size, SHORTEST_SIDE) ** 2 * 4 / 3)


def shrunk(pixels: Pixels, *, limit: int) -> Pixels:
    """Shrink a colour or grey picture to at most ``limit`` px, keeping its aspect."""
    height, width, channels = pixels.shape
    scale = math.sqrt(limit / (height * width))
    if scale >= 1 or channels not in (1, 3):
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    resized = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(resized).reshape(size[1], size[0], channels)


def _with_truth(ab: Translator, domains: Domains, x: Path, y: Path, limit: int) -> Made:
    a, b = domains
    real = shrunk(a.read(x, channels=ab.header.in_channels), limit=limit)
    truth = shrunk(b.read(y, channels=ab.header.out_channels), limit=limit)
    return real, ab.translate_pixels(real), truth


def _cycle(there: Translator, back: Translator, domain: Domain, path: Path, limit: int) -> Made:
    real = shrunk(domain.read(path, channels=there.header.in_channels), limit=limit)
    fake = there.translate_pixels(real)
    return real, fake, back.translate_pixels(fake)


def _row(
    path: Path, direction: str, make: Callable[[], Made], *, paired: bool, most_bytes: int
) -> dict[str, Any]:
    row = {"name": shown(path.name, limit=LONGEST_NAME), "direction": direction}
    try:
        real, fake, other = make()
    except ImgTranslateError as error:
        return {**row, "fault": shown(str(error).removeprefix(f"{path}: "))}
    got, wanted = (fake, other) if paired else (other, real)
    alike = got.shape == wanted.shape
    return {
        **row,
        "error": number(mean_absolute_error(got, wanted)) if alike else None,
        "psnr": number(psnr(got, wanted)) if alike else None,
        "ssim": number(ssim(got, wanted)) if alike else None,
        "change": number(mean_absolute_error(fake, real)) if fake.shape == real.shape else None,
        "size": [real.shape[1], real.shape[0]],
        "pictures": [
            embed(p, side=PICTURE_SIDE, most_bytes=most_bytes) for p in (real, fake, other)
        ],
    }
