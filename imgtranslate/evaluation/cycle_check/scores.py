"""The numbers of one picture that was translated there and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.data.folders import Domain
from imgtranslate.errors import ImgTranslateError
from imgtranslate.evaluation.cycle_check.degradations import DEGRADATIONS, degrade, seed_of
from imgtranslate.images import Codes, Pixels, to_network, to_pixels
from imgtranslate.metrics.brightness import brightness_agreement, grid_means
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.ssim import ssim
from imgtranslate.model_files.checkpoint import Direction
from imgtranslate.translation.translator import Translator

_THUMBNAIL = 8  # px, a side


@dataclass(frozen=True, kw_only=True)
class Harm:
    """The cycle again, with a fake that was slightly harmed on its way."""

    mae: float  # of the recovered picture, as a fraction of the full range
    own: float  # how much it changes the real picture or the fake themselves, the larger


@dataclass(frozen=True, kw_only=True, eq=False)
class Thumbnails:
    """Thumbnails (8, 8, c), which tell whether different pictures are translated alike."""

    real: Pixels
    fake: Pixels
    recovered: Pixels


@dataclass(frozen=True, kw_only=True)
class CycleScore:
    """The numbers of one picture. Errors are means of |x - y| as fractions of the full range."""

    path: Path
    direction: Direction  # of the first translation
    mae: float  # of the recovered picture
    psnr: float  # of the recovered picture, dB; infinite where nothing differs
    ssim: float  # of the recovered picture
    change: float | None  # of the fake from the picture; None where the channels differ
    identity: float | None  # of F(x) from x, F the way back; None where the channels differ
    brightness: float | None  # of fake and picture, from -1, inverted, to 1; None where flat
    mae_float: float  # with a fake that is not rounded to 8 bits
    harms: Mapping[str, Harm]  # png (the rounding alone, so its mae is ``mae``), jpeg, noise, blur
    thumbnails: tuple[Thumbnails, ...] = ()  # of the picture; of the first one also turned

    @property
    def numbers(self) -> dict[str, float | None]:
        """All numbers by name; None for one that is unknown, and for an infinite PSNR."""
        return {
            "mae": self.mae,
            "psnr": self.psnr if math.isfinite(self.psnr) else None,
            "ssim": self.ssim,
            "change": self.change,
            "identity": self.identity,
            "brightness": self.brightness,
            "mae_float": self.mae_float,
            **{f"mae_{kind}": harm.mae for kind, harm in self.harms.items()},
            **{f"own_{kind}": harm.own for kind, harm in self.harms.items()},
        }


@dataclass(frozen=True, kw_only=True)
class CycleFailure:
    """A picture that could not be checked."""

    path: Path
    direction: Direction
    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class CycleResult:
    """A score and the pictures that it was measured on."""

    score: CycleScore
    real: Pixels
    fake: Pixels
    recovered: Pixels
    recovered_after: Mapping[str, Pixels]  # jpeg, noise, blur


def check_picture(
    path: Path, domain: Domain, *, forward: Translator, backward: Translator, turned: bool = False
) -> CycleResult | CycleFailure:
    """Translate one picture of a domain there and back and measure |F(G(x)) - x|.

    Everything is measured on pictures as saved: the fake is rounded to 8 bits before it goes
    back, the recovered one before it is compared. The two models must be known to be a pair.

    ``turned``: also translate its negative upside down, so that even a single picture, and a flat
    one, can tell whether everything is translated alike.
    """
    try:
        real = domain.read(path, channels=forward.header.in_channels)
        return _measure(path, real, forward=forward, backward=backward, turned=turned)
    except ImgTranslateError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return CycleFailure(path=path, direction=forward.header.direction, reason=reason)


def identity_error(real: Pixels, translator: Translator) -> float | None:
    """Measure how much a picture of the target is changed; None where the channels differ."""
    if translator.header.in_channels != translator.header.out_channels:
        return None
    return mean_absolute_error(translator.translate_pixels(real), real)


def thumbnail(pixels: Pixels) -> Pixels:
    """Average uint8 (h, w, c) over a grid, whatever its sides: (8, 8, c)."""
    planes = [grid_means(pixels[..., i], side=_THUMBNAIL) for i in range(pixels.shape[2])]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def mean_of(scores: Sequence[CycleScore], name: str) -> float | None:
    """Average one number over the pictures that have it."""
    values = [number for score in scores if (number := score.numbers[name]) is not None]
    return float(np.mean(values)) if values else None


def _measure(
    path: Path, real: Pixels, *, forward: Translator, backward: Translator, turned: bool
) -> CycleResult:
    # There and back
    values = forward.translate_values(to_network(real), z=_code(forward, real))
    fake = to_pixels(values)
    z = _code(backward, fake)
    recovered = backward.translate_pixels(fake, z=z)

    # Back again, after each harm
    mae = mean_absolute_error(recovered, real)
    rounding = float(np.abs(to_network(fake) - values).mean()) / 2  # values span 2
    harms, after = {"png": Harm(mae=mae, own=rounding)}, {}
    for kind in DEGRADATIONS:
        harmed = degrade(fake, kind, seed=seed_of(real))
        after[kind] = backward.translate_pixels(harmed, z=z)
        own = max(
            mean_absolute_error(harmed, fake),
            mean_absolute_error(degrade(real, kind, seed=seed_of(real)), real),
        )
        harms[kind] = Harm(mae=mean_absolute_error(after[kind], real), own=own)
    unrounded = to_pixels(backward.translate_values(values, z=z))

    thumbnails = [_thumbnails(real, fake, recovered)]
    if turned:
        negative = np.ascontiguousarray(255 - real[::-1, ::-1])
        fake_negative = forward.translate_pixels(negative)
        back = backward.translate_pixels(fake_negative)
        thumbnails.append(_thumbnails(negative, fake_negative, back))
    score = CycleScore(
        path=path,
        direction=forward.header.direction,
        mae=mae,
        psnr=psnr(recovered, real),
        ssim=ssim(recovered, real),
        change=mean_absolute_error(fake, real) if fake.shape == real.shape else None,
        identity=identity_error(real, backward),
        brightness=brightness_agreement(real, fake),
        mae_float=mean_absolute_error(unrounded, real),
        harms=harms,
        thumbnails=tuple(thumbnails),
    )
    return CycleResult(
        score=score, real=real, fake=fake, recovered=recovered, recovered_after=after
    )


def _code(translator: Translator, pixels: Pixels) -> Codes | None:
    return translator.draw(0, pixels) if translator.latent_dim else None


def _thumbnails(real: Pixels, fake: Pixels, recovered: Pixels) -> Thumbnails:
    return Thumbnails(real=thumbnail(real), fake=thumbnail(fake), recovered=thumbnail(recovered))
