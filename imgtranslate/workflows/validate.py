"""One number that says how good a run is on pictures it does not learn from."""

import numpy as np
import torch
from torch import Tensor, nn

from imgtranslate.config import Settings, latent_dim
from imgtranslate.data.folders import Domain
from imgtranslate.data.stream import Purpose, random_at
from imgtranslate.losses import l1
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import evaluating, noise
from imgtranslate.workflows.samples import held_out_crops, to_tensor

VALIDATION_PICTURES = 16  # of each side


@torch.inference_mode()
def validate(
    learner: Learner, settings: Settings, domains: tuple[Domain, Domain]
) -> dict[str, float]:
    """The mean absolute error over held-out pictures, a fraction of the full range.

    Of pairs: of the translation against the truth, where there is a code with the encoder's of
    the truth, or a random one. Else: of the cycles, both directions. Nothing without held-out
    pictures. The learner remembers it, for the plateau schedule.
    """
    if not all(domain.held_out for domain in domains):
        return {}
    models = learner.models()
    with evaluating(*(n for pair in models.values() for n in pair if n is not None)):
        crops_a, crops_b = (_crops(domain, settings, learner.device) for domain in domains)
        if "ba" in models:
            errors = _cycle_errors(models["ab"][0], models["ba"][0], crops_a, crops_b)
        else:
            errors = _pair_errors(models["ab"], crops_a, crops_b, settings)
    error = float(np.mean(errors)) / 2  # values span 2
    learner.validations.append(error)
    return {"validation": error}


def _crops(domain: Domain, settings: Settings, device: torch.device) -> list[Tensor]:
    crops = held_out_crops(domain, settings, count=VALIDATION_PICTURES)
    return [to_tensor(pixels, device) for pixels in crops]


def _cycle_errors(
    ab: nn.Module, ba: nn.Module, crops_a: list[Tensor], crops_b: list[Tensor]
) -> list[float]:
    there = [float(l1(ba(ab(real)), real)) for real in crops_a]
    return there + [float(l1(ab(ba(real)), real)) for real in crops_b]


def _pair_errors(
    model: tuple[nn.Module, nn.Module | None],
    crops_a: list[Tensor],
    crops_b: list[Tensor],
    settings: Settings,
) -> list[float]:
    generator, encoder = model
    numbers = latent_dim(settings.generator)
    rng = random_at(settings.train.seed, Purpose.SAMPLES, 0)
    errors = []
    for real, truth in zip(crops_a, crops_b, strict=True):
        z = [encoder(truth)[0]] if encoder is not None else []
        if numbers and encoder is None:
            z = [noise(rng, 1, numbers, like=real)]
        errors.append(float(l1(generator(real, *z), truth)))
    return errors
