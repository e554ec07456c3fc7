"""Which measure applies to which pictures, and each of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from imgtranslate.data.gallery import Gallery
from imgtranslate.evaluation.evaluate.label_sides import LabelSides, find_sides
from imgtranslate.images import Pixels
from imgtranslate.metrics.estimate import Estimate, mean_of
from imgtranslate.metrics.inception import WANTED as INCEPTION_WANTED
from imgtranslate.metrics.inception import inception_distances, inception_features
from imgtranslate.metrics.lpips import SMALLEST as SMALLEST_LOOK
from imgtranslate.metrics.lpips import WANTED as LPIPS_WANTED
from imgtranslate.metrics.lpips import lpips
from imgtranslate.metrics.palette import Palette
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.segmentation import confusion, segmentation_scores
from imgtranslate.metrics.segmenter import Segmenter
from imgtranslate.metrics.sliced_wasserstein import SMALLEST, sliced_wasserstein
from imgtranslate.metrics.ssim import ssim
from imgtranslate.metrics.two_sample import LEAST_PICTURES, two_sample_test
from imgtranslate.translation.translator import Translator

LEAST_FEATURES = 4  # pictures of either kind, for FID and KID
Found = dict[str, Estimate] | str  # figures, or why there are none and what to do


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may choose."""

    limit: int = 500  # pictures of either side
    samples: int = 5  # looks of a picture, of models with a code
    seed: int = 0
    palette: Path | None = None
    segmenter: Segmenter | None = None
    inception: nn.Module | None = None
    lpips: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class Shots:
    """The pictures of one evaluation; sources and fakes belong together."""

    translator: Translator
    sources: Gallery
    fakes: Gallery
    targets: Gallery | None  # real ones; partners too, where ``paired``
    paired: bool
    learnt: tuple[Gallery, Gallery] | None
    sizes: tuple[tuple[int, int], ...]  # width, height of what is compared

    @property
    def common(self) -> int:
        """How many fakes can be held against as many real ones."""
        return min(len(self.fakes), len(self.targets or ()))

    @property
    def shortest(self) -> int:
        """px, the shortest side of any picture."""
        return min(min(size) for size in self.sizes)


def measure(
    shots: Shots, options: Options, *, tell: Callable[[str], None]
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Take every measure; what does not apply, or lacks something, says so."""
    figures: dict[str, Estimate] = {}
    left_out: dict[str, str] = {}
    for name, found in _each(shots, options, tell=tell):
        if isinstance(found, str):
            left_out[name] = found
        else:
            figures |= found
    return figures, left_out


def _each(
    shots: Shots, options: Options, *, tell: Callable[[str], None]
) -> Iterator[tuple[str, Found]]:
    yield "L1, PSNR, SSIM", _pair_errors(shots)
    sides = find_sides(shots.sources, shots.targets, shots.learnt, options.palette)
    yield "FCN score", _fcn_score(shots, sides, options)
    yield "label colours", _label_colours(shots, sides)
    tell("sliced Wasserstein distance")
    yield "sliced Wasserstein distance", _wasserstein(shots, options)
    tell("two-sample test")
    yield "two-sample test", _two_sample(shots, options)
    yield "diversity", _diversity(shots, options)
    yield "FID, KID", _inception(shots, options)
    yield "LPIPS", _lpips(shots, options)
    yield "diversity, LPIPS", _lpips_diversity(shots, options)


def _pair_errors(shots: Shots) -> Found:
    if shots.targets is None or not shots.paired:
        return "the pictures are not paired. Give --pairs, or --paired with --a and --b"
    pairs = list(zip(shots.fakes.pictures(), shots.targets.pictures(), strict=True))
    ratios = [ratio for x, y in pairs if np.isfinite(ratio := psnr(x, y))]
    found = {
        "l1": mean_of([mean_absolute_error(x, y) for x, y in pairs], better="lower"),
        "ssim": mean_of([ssim(x, y) for x, y in pairs], better="higher"),
    }
    return found | ({"psnr": mean_of(ratios, better="higher")} if ratios else {})


def _fcn_score(shots: Shots, sides: LabelSides, options: Options) -> Found:
    """Of translated photos, and of the real ones, which no generator can hope to pass."""
    if sides.source is None:
        return f"the translated pictures are not label pictures: {sides.why}"
    if shots.fakes.channels != 3:
        return f"a segmenter reads 3 channels, not {shots.fakes.channels}"
    if options.segmenter is None:
        return (
            "no segmenter. Train one with imgtranslate evaluate RUN --train-segmenter FILE, "
            "then give --segmenter FILE"
        )
    segmenter, palette = options.segmenter, options.segmenter.palette
    if len(palette.colours[0]) != shots.sources.channels:
        return "the segmenter's classes have colours of other channels. Train another"
    found = _read_by(segmenter, palette, shots.fakes, shots.sources, prefix="fcn_")
    if shots.targets is not None and shots.paired:
        found |= _read_by(segmenter, palette, shots.targets, shots.sources, prefix="fcn_real_")
    return found


def _read_by(
    segmenter: Segmenter, palette: Palette, photos: Gallery, labels: Gallery, *, prefix: str
) -> dict[str, Estimate]:
    confusions = []
    full = replace(labels, side=0)  # the published way: found classes are brought to this size
    for photo, label in zip(photos.pictures(), full.pictures(), strict=True):
        truth = palette.classes(label)
        found = segmenter.classes(photo, size=(truth.shape[0], truth.shape[1]))
        confusions.append(confusion(truth, found, classes=len(palette)))
    return _named(segmentation_scores(confusions), prefix)


def _label_colours(shots: Shots, sides: LabelSides) -> Found:
    """Photo to labels: classes by the nearest label colour, here and in the true labels."""
    if sides.target is None:
        return f"the results are not label pictures: {sides.why}"
    if shots.targets is None or not shots.paired:
        return "the labels are not paired with the pictures. Give --pairs"
    palette = sides.target
    labels = replace(shots.targets, resample="nearest")
    confusions = [
        confusion(palette.classes(truth), palette.classes(fake), classes=len(palette))
        for fake, truth in zip(shots.fakes.pictures(), labels.pictures(), strict=True)
    ]
    return _named(segmentation_scores(confusions), "label_")


def _named(scores: dict[str, Estimate], prefix: str) -> dict[str, Estimate]:
    return {prefix + name.lower().replace(" ", "_"): score for name, score in scores.items()}


def _wasserstein(shots: Shots, options: Options) -> Found:
    if shots.targets is None:
        return "no real pictures of the target. Give both --a and --b"
    if shots.common < 2 or shots.shortest < SMALLEST:
        return (
            f"{shots.common} picture(s) of {shots.shortest} px at least. "
            f"It takes 2 of {SMALLEST} px"
        )
    found = sliced_wasserstein(
        shots.targets.read,
        shots.fakes.read,
        count=shots.common,
        shortest=shots.shortest,
        seed=options.seed,
    )
    mean = found.pop("mean")
    return {"swd": mean, **{f"swd_{level}": estimate for level, estimate in found.items()}}


def _two_sample(shots: Shots, options: Options) -> Found:
    if shots.targets is None:
        return "no real pictures of the target. Give both --a and --b"
    if shots.common < LEAST_PICTURES:
        return f"{shots.common} picture(s) of either kind. It takes {LEAST_PICTURES}"
    estimate = two_sample_test(
        shots.targets.read,
        shots.fakes.read,
        count=shots.common,
        channels=shots.fakes.channels,
        seed=options.seed,
    )
    return {"two_sample_accuracy": estimate}


def _diversity(shots: Shots, options: Options) -> Found:
    """The mean L1 between all pairs of looks of a picture, a fraction of the full range."""
    if not shots.translator.latent_dim:
        return "the model has no code, so a picture has one look"
    if options.samples < 2:
        return "one look of each picture. Give --samples 2 or more"
    return {"diversity_l1": _mean_apart(shots, options, mean_absolute_error)}


def _mean_apart(
    shots: Shots, options: Options, distance: Callable[[Pixels, Pixels], float]
) -> Estimate:
    """The mean distance between all pairs of looks of a picture."""
    means = []
    for real in shots.sources.pictures():
        looks = [
            shots.translator.translate_pixels(real, z=shots.translator.draw(seed, real))
            for seed in range(options.seed, options.seed + options.samples)
        ]
        pairs = [(x, y) for n, x in enumerate(looks) for y in looks[:n]]
        means.append(float(np.mean([distance(x, y) for x, y in pairs])))
    return mean_of(means, better="higher")


def _inception(shots: Shots, options: Options) -> Found:
    if options.inception is None:
        return f"no weights. Give --inception FILE, {INCEPTION_WANTED}"
    if shots.targets is None or shots.common < LEAST_FEATURES:
        return f"{shots.common} picture(s) of either kind. It takes {LEAST_FEATURES}"
    if shots.fakes.channels != 3:
        return f"it reads 3 channels, not {shots.fakes.channels}"
    real, fake = (
        inception_features(options.inception, gallery.read, shots.common)
        for gallery in (shots.targets, shots.fakes)
    )
    return inception_distances(real, fake, seed=options.seed)


def _lpips(shots: Shots, options: Options) -> Found:
    network = _lpips_network(shots, options)
    if isinstance(network, str):
        return network
    if shots.targets is None or not shots.paired:
        return "the pictures are not paired. Give --pairs, or --paired with --a and --b"
    pairs = zip(shots.fakes.pictures(), shots.targets.pictures(), strict=True)
    return {"lpips": mean_of([lpips(network, x, y) for x, y in pairs], better="lower")}


def _lpips_diversity(shots: Shots, options: Options) -> Found:
    network = _lpips_network(shots, options)
    if isinstance(network, str):
        return network
    if not shots.translator.latent_dim or options.samples < 2:
        return "it takes a model with a code, and --samples 2 or more"
    apart = _mean_apart(shots, options, lambda x, y: lpips(network, x, y))
    return {"diversity_lpips": apart}


def _lpips_network(shots: Shots, options: Options) -> nn.Module | str:
    """The network, or why it cannot be used."""
    if options.lpips is None:
        return f"no weights. Give --lpips FILE, {LPIPS_WANTED}"
    if shots.fakes.channels != 3 or shots.shortest < SMALLEST_LOOK:
        return f"it reads pictures of 3 channels and {SMALLEST_LOOK} px or more"
    return options.lpips
