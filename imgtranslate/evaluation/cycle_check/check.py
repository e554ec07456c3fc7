"""Cycle check: translate there and back, and measure what came back."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from imgtranslate.data.folders import Domain
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.evaluation.cycle_check.degradations import DEGRADATIONS, degrade, seed_of
from imgtranslate.evaluation.cycle_check.scores import (
    CycleFailure,
    CycleResult,
    CycleScore,
    Harm,
    Looks,
)
from imgtranslate.images import Codes, Pixels, Values, to_network, to_pixels
from imgtranslate.metrics.pixels import mean_absolute_error, psnr, ssim
from imgtranslate.metrics.thumbnails import brightness_agreement, thumbnail
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.translation.translator import Translator


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
    """How much a picture of the target domain is changed; None where the channels differ."""
    if translator.header.in_channels != translator.header.out_channels:
        return None
    return mean_absolute_error(translator.translate_pixels(real), real)


def refuse_unless_pair(forward: ModelHeader, backward: ModelHeader) -> None:
    """Raise ``UsageError`` unless ``backward`` undoes the direction of ``forward``."""
    if forward.direction == backward.direction:
        raise UsageError(
            f"--ab, --ba: both models translate {_way(forward)}, so they do not form a pair. "
            "Give ab.safetensors and ba.safetensors of one run"
        )
    if (forward.source, forward.target) != (backward.target, backward.source):
        raise UsageError(
            f"--ab, --ba: one model translates {_way(forward)}, the other {_way(backward)}. "
            "Give ab.safetensors and ba.safetensors of one run"
        )
    if (forward.in_channels, forward.out_channels) != (backward.out_channels, backward.in_channels):
        raise UsageError(
            f"--ab, --ba: one model turns {forward.in_channels} channel(s) into "
            f"{forward.out_channels}, the other {backward.in_channels} into "
            f"{backward.out_channels}. Give ab.safetensors and ba.safetensors of one run"
        )


def _measure(
    path: Path, real: Pixels, *, forward: Translator, backward: Translator, turned: bool
) -> CycleResult:
    values = forward.translate_values(to_network(real), z=_code(forward, real))
    fake = to_pixels(values)
    z = _code(backward, fake)
    recovered = backward.translate_pixels(fake, z=z)
    harmed = {kind: degrade(fake, kind, seed=seed_of(real)) for kind in DEGRADATIONS}
    after = {kind: backward.translate_pixels(pixels, z=z) for kind, pixels in harmed.items()}
    others = [_turned_looks(real, forward=forward, backward=backward)] if turned else []
    rounding = Harm(mae=mean_absolute_error(recovered, real), own=_rounding(values, fake))
    score = CycleScore(
        path=path,
        direction=forward.header.direction,
        mae=rounding.mae,
        psnr=psnr(recovered, real),
        ssim=ssim(recovered, real),
        change=mean_absolute_error(fake, real) if fake.shape == real.shape else None,
        identity=identity_error(real, backward),
        brightness=brightness_agreement(real, fake),
        mae_float=_float_error(real, values, backward=backward, z=z),
        harms={"png": rounding, **_harms(real, fake, harmed=harmed, after=after)},
        looks=(_looks(real, fake, recovered), *others),
    )
    return CycleResult(
        score=score, real=real, fake=fake, recovered=recovered, recovered_after=after
    )


def _harms(
    real: Pixels, fake: Pixels, *, harmed: Mapping[str, Pixels], after: Mapping[str, Pixels]
) -> dict[str, Harm]:
    """What each harm does to the cycle, and to the pictures themselves."""
    harms = {}
    for kind, pixels in harmed.items():
        of_real = mean_absolute_error(degrade(real, kind, seed=seed_of(real)), real)
        own = max(mean_absolute_error(pixels, fake), of_real)
        harms[kind] = Harm(mae=mean_absolute_error(after[kind], real), own=own)
    return harms


def _code(translator: Translator, pixels: Pixels) -> Codes | None:
    return translator.draw(0, pixels) if translator.latent_dim else None


def _float_error(real: Pixels, fake: Values, *, backward: Translator, z: Codes | None) -> float:
    recovered = to_pixels(backward.translate_values(fake, z=z))
    return mean_absolute_error(recovered, real)


def _rounding(values: Values, fake: Pixels) -> float:
    return float(np.abs(to_network(fake) - values).mean()) / 2  # values span 2


def _looks(real: Pixels, fake: Pixels, recovered: Pixels) -> Looks:
    return Looks(real=thumbnail(real), fake=thumbnail(fake), recovered=thumbnail(recovered))


def _turned_looks(real: Pixels, *, forward: Translator, backward: Translator) -> Looks:
    turned = np.ascontiguousarray(255 - real[::-1, ::-1])
    fake = forward.translate_pixels(turned)
    return _looks(turned, fake, backward.translate_pixels(fake))


def _way(header: ModelHeader) -> str:
    return f"{header.source} to {header.target} ({header.direction})"
