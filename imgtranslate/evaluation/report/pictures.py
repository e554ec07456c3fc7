"""The held-out pictures of a report, translated anew, and their numbers."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imgtranslate.data.folders import Domain, Domains
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImgTranslateError
from imgtranslate.evaluation.report.pair_verdict import PairScore, score_pair
from imgtranslate.images import Pixels
from imgtranslate.metrics.content import content_agreement, edge_directions
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.ssim import ssim
from imgtranslate.pages import number, shown
from imgtranslate.pages.embed import embed
from imgtranslate.settings.config import Settings, is_paired, learns_both_ways
from imgtranslate.translation.translator import Translator, load, size_notice

SHORTEST_SIDE = 286  # px: smaller pictures are not shrunk
PICTURE_SIDE, SAMPLE_SIDE = 360, 180  # px, on the page
CODES = 6  # samples of a picture, of models with a latent code
LONGEST_NAME = 64  # characters, of a file

PICTURES_BYTES, SAMPLES_BYTES = 2_600_000, 1_200_000  # of all together, before base64
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class ShownPicture:
    """A held-out picture as the page shows it."""

    row: dict[str, Any]  # plain values
    score: PairScore | None = None  # of pairs, unless it failed


def translate_held_out(
    run: Path,
    settings: Settings,
    domains: Domains,
    *,
    count: int,
    device: str,
    progress: Progress | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Iterator[ShownPicture]:
    """Translate up to ``count`` held-out pictures of each side, evenly spaced.

    A picture of more px than 4:3 at the training's size, or at 286 px, is shrunk first. The third
    picture of a row is the truth for pairs, or the recovered picture; a model that learnt one
    direction without pairs has none. With a latent code there
    are ``CODES`` samples, of the seeds from 0 on. ``notice`` is called once if pictures are much
    larger than those of the training. Raises ``ImgTranslateError`` without a model.
    """
    paired, limit = is_paired(settings.method), most_pixels(settings)
    both = learns_both_ways(settings.method)
    sides = ((domains[0], domains[1]), (domains[1], domains[0]))[: 2 if both else 1]
    places = [evenly_spaced(range(len(source.held_out)), count) for source, _ in sides]
    total = sum(map(len, places))
    if not total:
        return
    ab = load(run, device=device)
    ba = load(run, device=device, direction="ba") if both else ab

    def read(domain: Domain, place: int, channels: int) -> Pixels:
        return shrunk(domain.read(domain.held_out[place], channels=channels), limit=limit)

    done, noticed = 0, False
    for (source, target), chosen in zip(sides, places, strict=True):
        there, back = (ab, ba) if source.letter == "a" else (ba, ab)
        header = there.header
        for place in chosen:
            path = source.held_out[place]
            row = {"name": shown(path.name, limit=LONGEST_NAME), "direction": header.direction}
            try:
                real = read(source, place, header.in_channels)
                if not noticed and (line := size_notice(path, real, header)):
                    noticed = True
                    notice(f"{line}. Judge smaller pictures as well")
                fakes = _samples(there, real)
                third = None
                if paired:
                    third = read(target, place, header.out_channels)
                elif both:
                    third = back.translate_pixels(fakes[0])
            except ImgTranslateError as error:
                yield ShownPicture(
                    row={**row, "fault": shown(str(error).removeprefix(f"{path}: "))}
                )
            else:
                score = score_pair(real, fakes, third) if paired and third is not None else None
                numbers = _numbers(real, fakes[0], third, paired=paired)
                if score is not None:
                    numbers |= {
                        "untouched": number(score.untouched),
                        "diversity": number(score.diversity),
                    }
                pictures = _embedded(real, fakes, third, share=total)
                yield ShownPicture(row={**row, **numbers, **pictures}, score=score)
            done += 1
            if progress is not None:
                progress(done, total)


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


def _samples(translator: Translator, real: Pixels) -> list[Pixels]:
    """Translate a picture, with a latent code ``CODES`` times."""
    if not translator.latent_dim:
        return [translator.translate_pixels(real)]
    codes = [translator.draw(seed, real) for seed in range(CODES)]
    return [translator.translate_pixels(real, z=z) for z in codes]


def _numbers(real: Pixels, fake: Pixels, third: Pixels | None, *, paired: bool) -> dict[str, Any]:
    change = number(mean_absolute_error(fake, real)) if fake.shape == real.shape else None
    if third is None:
        kept = content_agreement(edge_directions(real), edge_directions(fake))
        return {"content": number(kept), "change": change}
    got, wanted = (fake, third) if paired else (third, real)
    alike = got.shape == wanted.shape
    return {
        "error": number(mean_absolute_error(got, wanted)) if alike else None,
        "psnr": number(psnr(got, wanted)) if alike else None,
        "ssim": number(ssim(got, wanted)) if alike else None,
        "change": change,
    }


def _embedded(
    real: Pixels, fakes: Sequence[Pixels], third: Pixels | None, *, share: int
) -> dict[str, list[str]]:
    """Encode one of ``share`` rows of pictures, within the bytes of the page."""
    most_bytes = PICTURES_BYTES // (3 * share)
    for_samples = SAMPLES_BYTES // ((CODES - 1) * share)
    return {
        "pictures": [
            embed(pixels, side=PICTURE_SIDE, most_bytes=most_bytes)
            for pixels in (real, fakes[0], third)
            if pixels is not None
        ],
        "samples": [embed(p, side=SAMPLE_SIDE, most_bytes=for_samples) for p in fakes[1:]],
    }
