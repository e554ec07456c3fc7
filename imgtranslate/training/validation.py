"""Validation: one number for the quality of a run on held-out pictures; lower is better."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
from torch import Tensor, nn

from imgtranslate.data.folders import Domain
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.images import to_pixels
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import evaluating, noise
from imgtranslate.metrics import validation_distance
from imgtranslate.metrics.content import Values, content_agreement, edge_directions
from imgtranslate.metrics.ssim import fitting_window, similarity_map
from imgtranslate.settings.config import Settings, is_paired, latent_dim
from imgtranslate.training.samples import held_out_crops, to_tensor

VALIDATION_PICTURES = 16  # of each side
GREY_GRID = 16  # px, side of the thumbnails whose brightness is compared

Numbers = dict[str, float]
Pictures = list[Tensor]  # each (1, c, h, w) in [-1, 1]


@dataclass(kw_only=True)
class Validation:
    """The held-out pictures of a run, which are read once, and the measures on them."""

    settings: Settings
    domains: tuple[Domain, Domain]
    reals: dict[str, Pictures] = field(default_factory=dict)  # by letter
    bands: dict[str, validation_distance.Bands] = field(default_factory=dict)  # likewise

    def read(self, device: torch.device) -> None:
        """Read the pictures, none of which then has to exist any more."""
        for domain in self.domains if all(each.held_out for each in self.domains) else ():
            crops = held_out_crops(domain, self.settings, count=VALIDATION_PICTURES)
            reals = [to_tensor(pixels, device) for pixels in crops]
            self.reals[domain.letter] = reals
            self.bands[domain.letter] = validation_distance.describe(reals)

    @torch.inference_mode()
    def measure(self, learner: Learner) -> Numbers:
        """Measure ``validation`` and its parts; empty without held-out pictures.

        For pairs, it is the mean of ``validation_l1`` and 1 - ``validation_ssim`` between
        translation and truth. Otherwise it is the root of the sum of squares of
        ``validation_distance`` (between translations and real pictures) and ``validation_cycle``
        (error of the recovered pictures), both means of two directions. A method that learns one
        direction has ``validation_content`` (content that the translations lose) in place of the
        cycle. Each is 0 at best and about 1 for constant pictures, so neither generators that
        change nothing nor collapsed ones score well. Pictures are rounded to 8 bits, and averaged
        generators are used if there are any.
        """
        if not all(domain.held_out for domain in self.domains):
            return {}
        if not self.reals:
            self.read(learner.device)
        models = learner.models()
        with evaluating(*(n for pair in models.values() for n in pair if n is not None)):
            if "ba" in models:
                return self._of_cycles(models["ab"][0], models["ba"][0])
            if is_paired(self.settings.method):
                return self._of_pairs(*models["ab"])
            return self._of_one_way(models["ab"][0])

    def _of_cycles(self, ab: nn.Module, ba: nn.Module) -> Numbers:
        numbers: Numbers = {}
        for direction, there, back in (("ab", ab, ba), ("ba", ba, ab)):
            reals, wanted = self.reals[direction[0]], self.bands[direction[1]]
            fakes = [rounded(there(real)) for real in reals]
            recovered = [rounded(back(fake)) for fake in fakes]
            numbers[f"distance_{direction}"] = validation_distance.distance(
                validation_distance.describe(fakes), wanted
            )
            numbers[f"cycle_{direction}"] = _cycle_error(recovered, reals)
            numbers |= self._spread_and_brightness(fakes, direction, reals)
        means = {
            f"validation_{part}": (numbers.pop(f"{part}_ab") + numbers.pop(f"{part}_ba")) / 2
            for part in ("distance", "cycle")
        }
        return {"validation": math.hypot(*means.values()), **means, **numbers}

    def _of_one_way(self, generator: nn.Module) -> Numbers:
        reals = self.reals["a"]
        fakes = [rounded(generator(real)) for real in reals]
        distance = validation_distance.distance(
            validation_distance.describe(fakes), self.bands["b"]
        )
        lost = _lost_content(reals, fakes)
        return {
            "validation": math.hypot(distance, lost),
            "validation_distance": distance,
            "validation_content": lost,
            **self._spread_and_brightness(fakes, "ab", reals),
            **_change(reals, fakes),
        }

    def _of_pairs(self, generator: nn.Module, encoder: nn.Module | None) -> Numbers:
        """Measure pairs; a code is read from the truth by the encoder, or random without one."""
        inputs, truths = self.reals["a"], self.reals["b"]
        numbers = latent_dim(self.settings.generator)
        rng = random_at(self.settings.train.seed, Purpose.SAMPLES, 0)
        fakes = []
        for real, truth in zip(inputs, truths, strict=True):
            if encoder is not None:
                z = [encoder(truth)[0]]
            else:
                z = [noise(rng, 1, numbers, like=real)] if numbers else []
            fakes.append(rounded(generator(real, *z)))
        error = _mean(map(F.l1_loss, fakes, truths)) / 2  # the range of values is 2
        likeness = _mean(map(ssim, fakes, truths))
        return {
            "validation": (error + 1 - likeness) / 2,
            "validation_l1": error,
            "validation_ssim": likeness,
            **self._spread_and_brightness(fakes, "ab", truths),
        }

    def _spread_and_brightness(self, fakes: Pictures, direction: str, like: Pictures) -> Numbers:
        """Measure the spread of fakes, and the agreement of their brightness with ``like``.

        ``spread`` is relative to that of inputs or of real target pictures, whichever is lower.
        ``brightness`` is the mean correlation with ``like``, from -1 to 1.
        """
        needed = min(_spread(self.reals[letter]) for letter in direction)
        spread = _spread(fakes) / needed if needed > validation_distance.LEAST_SPREAD else 1.0
        brightness = _mean(map(_brightness_correlation, fakes, like))
        return {f"spread_{direction}": spread, f"brightness_{direction}": brightness}


def rounded(values: Tensor) -> Tensor:
    """Round values in [-1, 1] as saving with 8 bits does."""
    return ((values.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity of (1, c, h, w) in [-1, 1]."""
    x, y = (x + 1) / 2, (y + 1) / 2
    side = fitting_window(x.shape[-2:])
    similarity = similarity_map(
        x, y, lambda values: F.avg_pool2d(values, side, 1), side=side, data_range=1
    )
    return similarity.mean()


def _cycle_error(recovered: Pictures, reals: Pictures) -> float:
    """Return the mean error of recovered pictures, relative to that of a constant picture."""
    error = _mean(map(F.l1_loss, recovered, reals))
    everything = torch.cat(reals)
    flat = everything.mean(dim=(0, 2, 3), keepdim=True)
    return error / max(float((everything - flat).abs().mean()), validation_distance.LEAST_SPREAD)


def _lost_content(reals: Pictures, fakes: Pictures) -> float:
    """Return 1 - the mean agreement about edges; 0 if all real pictures are flat."""
    pairs = zip(map(_edges, reals), map(_edges, fakes), strict=True)
    kept = [kept for pair in pairs if (kept := content_agreement(*pair)) is not None]
    return 1 - sum(kept) / len(kept) if kept else 0.0


def _change(reals: Pictures, fakes: Pictures) -> Numbers:
    """Return ``change_ab``, as a fraction of the range; nothing if the channels differ."""
    if reals[0].shape != fakes[0].shape:
        return {}
    return {"change_ab": _mean(map(F.l1_loss, fakes, reals)) / 2}  # the range of values is 2


def _edges(picture: Tensor) -> Values | None:
    return edge_directions(to_pixels(picture[0].cpu().numpy()))


def _spread(pictures: Pictures) -> float:
    """Return the mean distance of pictures from their mean picture; 0 if all are equal."""
    stacked = torch.cat(pictures)
    return float((stacked - stacked.mean(dim=0)).abs().mean())


def _brightness_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Return Pearson's correlation of two small grey pictures; 0 if one of them is flat."""
    height, width = (min(GREY_GRID, side) for side in x.shape[-2:])
    x, y = (F.adaptive_avg_pool2d(z.mean(dim=1), (height, width)).flatten() for z in (x, y))
    return F.cosine_similarity(x - x.mean(), y - y.mean(), dim=0)


def _mean(values: Iterable[Tensor]) -> float:
    return float(torch.stack(list(values)).mean())
