"""The scores of one picture that is translated there and back, or there alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.data.folders import Domain
from imgtranslate.evaluation.cycle_check.degradations import DEGRADATIONS, degrade, seed_of
from imgtranslate.evaluation.cycle_check.schema import Row
from imgtranslate.images import Codes, Pixels, to_network, to_pixels
from imgtranslate.metrics.brightness import brightness_agreement, grid_means
from imgtranslate.metrics.content import Values, content_agreement, edge_directions
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.ssim import ssim
from imgtranslate.settings.config import Direction
from imgtranslate.translation.translator import Translator

_THUMBNAIL = 8  # px, a side


@dataclass(frozen=True, kw_only=True)
class CycleSource:
    """A picture to check, and its relative path in an output folder."""

    path: Path
    relative: Path
    domain: Domain  # defines how the file is read

    @property
    def direction(self) -> Direction:
        """The direction of the first translation."""
        return "ab" if self.domain.letter == "a" else "ba"


@dataclass(frozen=True, kw_only=True, eq=False)
class Thumbnails:
    """Thumbnails (8, 8, c), which show whether different pictures get the same translation."""

    real: Pixels
    fake: Pixels
    recovered: Pixels | None  # None without a way back


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """The directions of the edges of a picture and of its translation; None if one is flat."""

    real: Values | None
    fake: Values | None


@dataclass(frozen=True, kw_only=True)
class CycleScore:
    """The numbers of one picture, or the error that prevented them."""

    row: Row
    thumbnails: tuple[Thumbnails, ...] = ()  # and of the negative upside down
    edges: Edges | None = None  # without a way back


@dataclass(frozen=True, kw_only=True, eq=False)
class CycleResult:
    """A score and the pictures on which it was measured."""

    score: CycleScore
    real: Pixels
    fake: Pixels
    recovered: Pixels | None  # None without a way back
    recovered_after: Mapping[str, Pixels]  # jpeg, noise, blur


def check_picture(
    path: Path, domain: Domain, *, forward: Translator, backward: Translator, turned: bool = False
) -> CycleResult:
    """Translate one picture there and back and measure |F(G(x)) - x|.

    All numbers are measured on pictures as saved: the fake is rounded to 8 bits before it is
    translated back, and the recovered picture before it is compared. The two models must be a pair.

    ``turned``: also translate the negative upside down, which shows even for a single or flat
    picture whether all inputs get the same translation. Raises ``ImgTranslateError``.
    """
    # There and back
    real = domain.read(path, channels=forward.header.in_channels)
    values = forward.translate_values(to_network(real), z=_code(forward, real))
    fake = to_pixels(values)
    z = _code(backward, fake)
    recovered = backward.translate_pixels(fake, z=z)

    # Back from each degraded fake
    mae, ratio = mean_absolute_error(recovered, real), psnr(recovered, real)
    rounding = float(np.abs(to_network(fake) - values).mean()) / 2  # the range of values is 2
    seed, errors, own, after = seed_of(real), dict[str, float](), dict[str, float](), {}
    for kind in DEGRADATIONS:
        harmed = degrade(fake, kind, seed=seed)
        after[kind] = backward.translate_pixels(harmed, z=z)
        errors[kind] = mean_absolute_error(after[kind], real)
        harm_to_real = mean_absolute_error(degrade(real, kind, seed=seed), real)
        own[kind] = max(mean_absolute_error(harmed, fake), harm_to_real)
    unrounded = to_pixels(backward.translate_values(values, z=z))

    thumbnails = [_thumbnails(real, fake, recovered)]
    if turned:
        negative = np.ascontiguousarray(255 - real[::-1, ::-1])
        fake_negative = forward.translate_pixels(negative)
        back = backward.translate_pixels(fake_negative)
        thumbnails.append(_thumbnails(negative, fake_negative, back))
    row = Row(
        path=str(path),
        direction=forward.header.direction,
        mae=mae,
        psnr=ratio if math.isfinite(ratio) else None,
        ssim=ssim(recovered, real),
        change=mean_absolute_error(fake, real) if fake.shape == real.shape else None,
        flat=mean_absolute_error(_flat(real), real),
        identity=identity_error(real, backward),
        brightness=brightness_agreement(real, fake),
        mae_float=mean_absolute_error(unrounded, real),
        mae_png=mae,
        mae_jpeg=errors["jpeg"],
        mae_noise=errors["noise"],
        mae_blur=errors["blur"],
        own_png=rounding,
        own_jpeg=own["jpeg"],
        own_noise=own["noise"],
        own_blur=own["blur"],
        error=None,
    )
    return CycleResult(
        score=CycleScore(row=row, thumbnails=tuple(thumbnails)),
        real=real,
        fake=fake,
        recovered=recovered,
        recovered_after=after,
    )


def check_one_way(
    path: Path, domain: Domain, *, forward: Translator, turned: bool = False
) -> CycleResult:
    """Translate one picture with a model that has no way back, and measure what it keeps.

    ``turned``: as in ``check_picture``. Raises ``ImgTranslateError``.
    """
    real = domain.read(path, channels=forward.header.in_channels)
    fake = forward.translate_pixels(real, z=_code(forward, real))
    thumbnails = [_thumbnails(real, fake)]
    if turned:
        negative = np.ascontiguousarray(255 - real[::-1, ::-1])
        thumbnails.append(_thumbnails(negative, forward.translate_pixels(negative)))
    edges = Edges(real=edge_directions(real), fake=edge_directions(fake))
    row = Row(
        path=str(path),
        direction=forward.header.direction,
        change=mean_absolute_error(fake, real) if fake.shape == real.shape else None,
        brightness=brightness_agreement(real, fake),
        content=content_agreement(edges.real, edges.fake),
        error=None,
    )
    score = CycleScore(row=row, thumbnails=tuple(thumbnails), edges=edges)
    return CycleResult(score=score, real=real, fake=fake, recovered=None, recovered_after={})


def identity_error(real: Pixels, translator: Translator) -> float | None:
    """Measure the change to a picture of the target domain; None if the channels differ."""
    if translator.header.in_channels != translator.header.out_channels:
        return None
    return mean_absolute_error(translator.translate_pixels(real), real)


def thumbnail(pixels: Pixels) -> Pixels:
    """Average uint8 (h, w, c) of any size over a grid: (8, 8, c)."""
    planes = [grid_means(pixels[..., i], side=_THUMBNAIL) for i in range(pixels.shape[2])]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def _flat(pixels: Pixels) -> Pixels:
    """Return a flat picture of the mean colour."""
    mean = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8)
    return np.broadcast_to(mean, pixels.shape)


def _code(translator: Translator, pixels: Pixels) -> Codes | None:
    return translator.draw(0, pixels) if translator.latent_dim else None


def _thumbnails(real: Pixels, fake: Pixels, recovered: Pixels | None = None) -> Thumbnails:
    return Thumbnails(
        real=thumbnail(real),
        fake=thumbnail(fake),
        recovered=thumbnail(recovered) if recovered is not None else None,
    )
