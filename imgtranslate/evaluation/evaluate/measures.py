"""The measures of an evaluation, and the kinds of pictures to which each applies."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImgTranslateError, counted
from imgtranslate.evaluation.evaluate.label_sides import LabelSides, find_sides
from imgtranslate.evaluation.evaluate.schema import is_baseline
from imgtranslate.evaluation.evaluate.subjects import Gallery, StoppedError, Subject, never
from imgtranslate.images import Pixels
from imgtranslate.metrics import inception, lpips
from imgtranslate.metrics.estimate import Better, Estimate, mean_of
from imgtranslate.metrics.palette import Palette
from imgtranslate.metrics.pixels import mean_absolute_error, psnr
from imgtranslate.metrics.segmentation import confusion, segmentation_scores
from imgtranslate.metrics.segmenter import Segmenter
from imgtranslate.metrics.sliced_wasserstein import SMALLEST, sliced_wasserstein
from imgtranslate.metrics.ssim import ssim
from imgtranslate.metrics.two_sample import LEAST_PICTURES, two_sample_test

NO_TARGET = "no real pictures of the target, needs both `a` and `b`"
STOPPED = "stopped before"
LEAST_FEATURES = 4  # least pictures of each set for FID and KID
Found = dict[str, Estimate] | str  # figures, empty if the measure does not apply; or what it lacks


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

    def stopped_by(self, stop: Callable[[], bool]) -> "Translated":
        """Return the same pictures, whose reading ``stop`` can end by ``StoppedError``."""
        source, target = self.subject.source, self.subject.target
        subject = replace(
            self.subject,
            source=replace(source, stop=stop),
            target=replace(target, stop=stop) if target is not None else None,
        )
        return replace(self, subject=subject, fakes=replace(self.fakes, stop=stop))

    def baselines(self) -> dict[str, tuple[Gallery, Gallery]]:
        """Return real pictures of the target, and what is compared with them, by baseline.

        That is the inputs, if they have as many channels, and other real pictures: as many training
        pictures, or one half of the real pictures against the other.
        """
        target, source, count = self.subject.target, self.subject.source, self.common
        if target is None:
            return {}
        found = {"_input": (target, source)} if source.channels == target.channels else {}
        halves = target.only(range(0, len(target), 2)), target.only(range(1, len(target), 2))
        if self.subject.held_out and self.subject.learnt is not None:
            learnt = self.subject.learnt[1]
            others = learnt.only(evenly_spaced(range(len(learnt)), count))
            halves = target, replace(others, stop=target.stop)
        if all(len(half) >= 2 for half in halves) and _fits(halves[1], self.shortest):
            found["_real"] = halves
        return found


def measure(
    made: Translated,
    options: EvaluateOptions,
    *,
    tell: Callable[[str], None],
    stop: Callable[[], bool] = never,
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Take every measure that applies; return the figures, and what others lack.

    A figure is followed by its baselines. Once ``stop`` returns True, the current measure and those
    after it are left out. If it does so from the start, the measures that take no network are still
    taken: they are quick.
    """
    subject = made.subject  # palettes come from the training pictures if these are available
    sides = find_sides(subject.learnt or (subject.source, subject.target), options.palette)
    quick, made = made.stopped_by(never if stop() else stop), made.stopped_by(stop)
    measures: dict[str, Callable[[], Found]] = {
        "L1, PSNR, SSIM": lambda: _pair_errors(quick),
        "label colours": lambda: _label_colours(quick, sides),
        "sliced Wasserstein distance": lambda: _wasserstein(quick, options),
        "FCN score": lambda: _fcn_score(made, sides, options),
        "two-sample test": lambda: _two_sample(made, options),
        "diversity": lambda: _diversity(made, options),
        "FID, KID": lambda: _inception(made, options),
        "LPIPS": lambda: _lpips(made, options),
    }

    figures: dict[str, Estimate] = {}
    left_out: dict[str, str] = {}
    tell("measuring")
    for name, take in measures.items():
        try:
            found = take()
        except StoppedError:
            found = STOPPED
        if isinstance(found, str):
            left_out[name] = found
        else:
            figures |= found
    return figures, left_out


def _fits(gallery: Gallery, shortest: int) -> bool:
    """Return whether all pictures can be read and no side is shorter than ``shortest``."""
    try:
        return all(min(pixels.shape[:2]) >= shortest for pixels in gallery.pictures())
    except ImgTranslateError:
        return False


def _pair_errors(made: Translated) -> Found:
    """Compare with the truth: the translations, and the inputs if they have its size."""
    if made.truths is None:
        return {}
    rows: dict[str, list[dict[str, float]]] = {"": [], "_input": []}
    galleries = (made.fakes, made.subject.source, made.truths)
    for fake, real, truth in zip(*(gallery.pictures() for gallery in galleries), strict=True):
        for end, pixels in (("", fake), ("_input", real)):
            if pixels.shape == truth.shape:
                error, likeness = mean_absolute_error(pixels, truth), ssim(pixels, truth)
                rows[end].append({"l1": error, "ssim": likeness, "psnr": psnr(pixels, truth)})
    found: dict[str, Estimate] = {}
    for name in ("l1", "ssim", "psnr"):
        for end, numbers in rows.items():
            finite = [row[name] for row in numbers if np.isfinite(row[name])]
            if finite and len(numbers) == len(made.fakes):
                better: Better = "lower" if name == "l1" else "higher"
                found[f"{name}{end}"] = mean_of(finite, better=better)
    return found


def _ordered(found: dict[str, Estimate]) -> dict[str, Estimate]:
    """Move each baseline behind its figure."""
    figures = [name for name in found if not is_baseline(name)]
    names = [n for figure in figures for n in (figure, f"{figure}_input", f"{figure}_real")]
    return {name: found[name] for name in names if name in found}


def _fcn_score(made: Translated, sides: LabelSides, options: EvaluateOptions) -> Found:
    """Score translated photos, and the real ones as an upper limit."""
    if sides.source is None or made.fakes.channels != 3:
        return {}
    if options.segmenter is None:
        return "needs `segmenter` FILE, which `train_segmenter` FILE trains on a run of pairs"
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
    if sides.target is None or made.truths is None:
        return {}
    palette = sides.target
    labels = replace(made.truths, resample="nearest")
    confusions = [
        confusion(palette.classes(truth), palette.classes(fake), classes=len(palette))
        for fake, truth in zip(made.fakes.pictures(), labels.pictures(), strict=True)
    ]
    return segmentation_scores(confusions, prefix="label_")


def _wasserstein(made: Translated, options: EvaluateOptions) -> Found:
    """Measure the distance to real pictures, that of the inputs, and between real pictures."""
    if made.subject.target is None:
        return NO_TARGET
    if made.common < 2 or made.shortest < SMALLEST:
        return f"needs 2 pictures of {SMALLEST} px or more"

    def distances(real: Gallery, fake: Gallery) -> dict[str, Estimate]:
        count = min(len(real), len(fake))
        return sliced_wasserstein(
            real.read, fake.read, count=count, shortest=made.shortest, seed=options.seed
        )

    levels = distances(made.subject.target, made.fakes)
    found = {"swd": levels.pop("mean")}
    for end, (real, other) in made.baselines().items():
        found[f"swd{end}"] = distances(real, other)["mean"]
    return {**found, **{f"swd_{level}": estimate for level, estimate in levels.items()}}


def _two_sample(made: Translated, options: EvaluateOptions) -> Found:
    if made.subject.target is None:
        return NO_TARGET
    if made.common < LEAST_PICTURES:
        return f"{counted(made.common, 'picture')} of a side, needs {LEAST_PICTURES}"
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
        return {}
    if options.samples < 2:
        return "needs `samples` 2 or more"
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
    if made.fakes.channels != 3:
        return {}
    if made.subject.target is None:
        return NO_TARGET
    network = options.inception
    if network is None:
        return "needs `inception` FILE"
    if made.common < LEAST_FEATURES:
        return f"{counted(made.common, 'picture')} of a side, needs {LEAST_FEATURES}"

    def distances(real: Gallery, fake: Gallery) -> dict[str, Estimate]:
        count = min(len(real), len(fake))
        features = [inception.inception_features(network, g.read, count) for g in (real, fake)]
        return inception.inception_distances(*features, seed=options.seed)

    found = distances(made.subject.target, made.fakes)
    for end, (real, other) in made.baselines().items():
        if min(len(real), len(other)) >= LEAST_FEATURES:
            found |= {f"{name}{end}": one for name, one in distances(real, other).items()}
    return _ordered(found)


def _lpips(made: Translated, options: EvaluateOptions) -> Found:
    """Measure LPIPS to the truth, and between translations of a picture."""
    diverse = bool(made.subject.translator.latent_dim) and options.samples >= 2
    if made.fakes.channels != 3 or not (diverse or made.truths):
        return {}
    network = options.lpips
    if network is None:
        return "needs `lpips` FILE"
    if made.shortest < lpips.SMALLEST:
        return f"needs pictures of {lpips.SMALLEST} px or more"
    distance = partial(lpips.lpips, network)
    found: dict[str, Estimate] = {}
    if made.truths is not None:
        source = made.subject.source
        for end, gallery in (("", made.fakes), ("_input", source)):
            if gallery.channels == 3:
                pairs = zip(gallery.pictures(), made.truths.pictures(), strict=True)
                distances = [distance(x, y) for x, y in pairs if x.shape == y.shape]
                if len(distances) == len(made.fakes):
                    found[f"lpips{end}"] = mean_of(distances, better="lower")
    if diverse:
        found["diversity_lpips"] = _mean_apart(made, options, distance)
    return found
