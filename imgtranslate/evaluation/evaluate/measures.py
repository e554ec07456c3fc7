"""The measures of an evaluation, and the kinds of pictures to which each applies."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from imgtranslate.errors import counted
from imgtranslate.evaluation.evaluate.label_sides import LabelSides, find_sides
from imgtranslate.evaluation.evaluate.subjects import Gallery, Subject
from imgtranslate.images import Pixels
from imgtranslate.metrics import inception, lpips
from imgtranslate.metrics.estimate import Estimate, mean_of
from imgtranslate.metrics.palette import Palette
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.segmentation import confusion, segmentation_scores
from imgtranslate.metrics.segmenter import Segmenter
from imgtranslate.metrics.sliced_wasserstein import SMALLEST, sliced_wasserstein
from imgtranslate.metrics.ssim import ssim
from imgtranslate.metrics.two_sample import LEAST_PICTURES, two_sample_test

NOT_PAIRED = "the pictures are not paired. Give `pairs`, or `paired` with `a` and `b`"
NO_TARGET = "no real pictures of the target. Give both `a` and `b`"
LEAST_FEATURES = 4  # least pictures of each set for FID and KID
Found = dict[str, Estimate] | str  # figures, or the reason why there are none and what to do


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The choices of the user."""

    limit: int = 500  # pictures of either side
    samples: int = 5  # translations of each picture by a model with a code
    seed: int = 0
    palette: Path | None = None
    segmenter: Segmenter | None = None
    inception: nn.Module | None = None
    lpips: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class Translated:
    """The pictures of one evaluation; the n-th fake is the translation of the n-th source."""

    subject: Subject  # with the readable pictures only
    fakes: Gallery
    sizes: tuple[tuple[int, int], ...]  # width and height of the compared pictures

    @property
    def truths(self) -> Gallery | None:
        """The true pictures of the fakes, in the same order; None if there are no pairs."""
        return self.subject.target if self.subject.paired else None

    @property
    def common(self) -> int:
        """The number of fakes that can be compared with as many real pictures."""
        return min(len(self.fakes), len(self.subject.target or ()))

    @property
    def shortest(self) -> int:
        """The shortest side of any picture, in px."""
        return min(min(size) for size in self.sizes)


def measure(
    made: Translated, options: EvaluateOptions, *, tell: Callable[[str], None]
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Take every measure that applies; return the figures, and the reasons for the others."""
    subject = made.subject  # palettes come from the training pictures if these are available
    sides = find_sides(subject.learnt or (subject.source, subject.target), options.palette)
    found = {
        "L1, PSNR, SSIM": _pair_errors(made),
        "FCN score": _fcn_score(made, sides, options),
        "label colours": _label_colours(made, sides),
    }
    tell("sliced Wasserstein distance")
    found["sliced Wasserstein distance"] = _wasserstein(made, options)
    tell("two-sample test")
    found["two-sample test"] = _two_sample(made, options)
    found["diversity"] = _diversity(made, options)
    found["FID, KID"] = _inception(made, options)
    found |= _lpips(made, options)

    figures: dict[str, Estimate] = {}
    left_out: dict[str, str] = {}
    for name, figures_or_why in found.items():
        if isinstance(figures_or_why, str):
            left_out[name] = figures_or_why
        else:
            figures |= figures_or_why
    return figures, left_out


def _pair_errors(made: Translated) -> Found:
    if made.truths is None:
        return NOT_PAIRED
    pairs = list(zip(made.fakes.pictures(), made.truths.pictures(), strict=True))
    ratios = [ratio for x, y in pairs if np.isfinite(ratio := psnr(x, y))]
    found = {
        "l1": mean_of([mean_absolute_error(x, y) for x, y in pairs], better="lower"),
        "ssim": mean_of([ssim(x, y) for x, y in pairs], better="higher"),
    }
    return found | ({"psnr": mean_of(ratios, better="higher")} if ratios else {})


def _fcn_score(made: Translated, sides: LabelSides, options: EvaluateOptions) -> Found:
    """Score translated photos, and the real ones as an upper limit."""
    if sides.source is None:
        return f"the translated pictures are not label pictures: {sides.why}"
    if made.fakes.channels != 3:
        return f"a segmenter reads 3 channels, not {made.fakes.channels}"
    if options.segmenter is None:
        return (
            "no segmenter. Train one on a run with `train_segmenter` FILE, then give "
            "`segmenter` FILE"
        )
    segmenter, palette = options.segmenter, options.segmenter.palette
    if len(palette.colours[0]) != made.subject.source.channels:
        return "the segmenter was trained for label maps with other channels. Train another"
    found = _read_by(segmenter, palette, made.fakes, made.subject.source, prefix="fcn_")
    if made.truths is not None:
        found |= _read_by(segmenter, palette, made.truths, made.subject.source, prefix="fcn_real_")
    return found


def _read_by(
    segmenter: Segmenter, palette: Palette, photos: Gallery, labels: Gallery, *, prefix: str
) -> dict[str, Estimate]:
    confusions = []
    full = replace(labels, side=0)  # as published: classes are resized to the size of the labels
    for photo, label in zip(photos.pictures(), full.pictures(), strict=True):
        truth = palette.classes(label)
        found = segmenter.classes(photo, size=(truth.shape[0], truth.shape[1]))
        confusions.append(confusion(truth, found, classes=len(palette)))
    return segmentation_scores(confusions, prefix=prefix)


def _label_colours(made: Translated, sides: LabelSides) -> Found:
    """Score label maps: each pixel has the class of the nearest colour, as in the true labels."""
    if sides.target is None:
        return f"the results are not label pictures: {sides.why}"
    if made.truths is None:
        return "the labels are not paired with the pictures. Give `pairs`"
    palette = sides.target
    labels = replace(made.truths, resample="nearest")
    confusions = [
        confusion(palette.classes(truth), palette.classes(fake), classes=len(palette))
        for fake, truth in zip(made.fakes.pictures(), labels.pictures(), strict=True)
    ]
    return segmentation_scores(confusions, prefix="label_")


def _wasserstein(made: Translated, options: EvaluateOptions) -> Found:
    if made.subject.target is None:
        return NO_TARGET
    if made.common < 2 or made.shortest < SMALLEST:
        return (
            f"only {counted(made.common, 'picture')}, the shortest side {made.shortest} px. It "
            f"takes 2 pictures of {SMALLEST} px or more"
        )
    found = sliced_wasserstein(
        made.subject.target.read,
        made.fakes.read,
        count=made.common,
        shortest=made.shortest,
        seed=options.seed,
    )
    mean = found.pop("mean")
    return {"swd": mean, **{f"swd_{level}": estimate for level, estimate in found.items()}}


def _two_sample(made: Translated, options: EvaluateOptions) -> Found:
    if made.subject.target is None:
        return NO_TARGET
    if made.common < LEAST_PICTURES:
        return f"only {counted(made.common, 'picture')} in each set. It takes {LEAST_PICTURES}"
    estimate = two_sample_test(
        made.subject.target.read,
        made.fakes.read,
        count=made.common,
        channels=made.fakes.channels,
        seed=options.seed,
    )
    return {"two_sample_accuracy": estimate}


def _diversity(made: Translated, options: EvaluateOptions) -> Found:
    """Measure the mean L1 between translations of a picture, as a fraction of the full range."""
    if not made.subject.translator.latent_dim:
        return "the model has no latent code, so a picture has one translation"
    if options.samples < 2:
        return "only one sample of each picture. Give `samples` 2 or more"
    return {"diversity_l1": _mean_apart(made, options, mean_absolute_error)}


def _mean_apart(
    made: Translated, options: EvaluateOptions, distance: Callable[[Pixels, Pixels], float]
) -> Estimate:
    """Measure the mean distance between all pairs of translations of a picture."""
    translator, means = made.subject.translator, []
    seeds = range(options.seed, options.seed + options.samples)
    for real in made.subject.source.pictures():
        samples = [
            translator.translate_pixels(real, z=translator.draw(seed, real)) for seed in seeds
        ]
        pairs = [(x, y) for n, x in enumerate(samples) for y in samples[:n]]
        means.append(float(np.mean([distance(x, y) for x, y in pairs])))
    return mean_of(means, better="higher")


def _inception(made: Translated, options: EvaluateOptions) -> Found:
    if options.inception is None:
        return f"no weights. Give `inception` FILE, {inception.WANTED}"
    if made.subject.target is None or made.common < LEAST_FEATURES:
        return f"only {counted(made.common, 'picture')} in each set. It takes {LEAST_FEATURES}"
    if made.fakes.channels != 3:
        return f"it takes pictures with 3 channels, not {made.fakes.channels}"
    real, fake = (
        inception.inception_features(options.inception, gallery.read, made.common)
        for gallery in (made.subject.target, made.fakes)
    )
    return inception.inception_distances(real, fake, seed=options.seed)


def _lpips(made: Translated, options: EvaluateOptions) -> dict[str, Found]:
    """Measure LPIPS to the truth, and between translations of a picture."""
    paired: Found = NOT_PAIRED
    diverse: Found = "it takes a model with a latent code, and `samples` 2 or more"
    network = options.lpips
    if network is None:
        paired = diverse = f"no weights. Give `lpips` FILE, {lpips.WANTED}"
    elif made.fakes.channels != 3 or made.shortest < lpips.SMALLEST:
        paired = diverse = f"it takes pictures with 3 channels and {lpips.SMALLEST} px or more"
    else:
        distance = partial(lpips.lpips, network)
        if made.truths is not None:
            pairs = zip(made.fakes.pictures(), made.truths.pictures(), strict=True)
            paired = {"lpips": mean_of([distance(x, y) for x, y in pairs], better="lower")}
        if made.subject.translator.latent_dim and options.samples >= 2:
            diverse = {"diversity_lpips": _mean_apart(made, options, distance)}
    return {"LPIPS": paired, "diversity, LPIPS": diverse}
