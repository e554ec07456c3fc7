"""The demo: its data, its commands, and the scores of its translations.

The scenes are drawn in both styles, so a translation can be compared with its ground truth.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.demo.scenes import DemoData, write_demo_data, writing
from imgtranslate.images import Picture, Pixels, list_images, read_image, write_image
from imgtranslate.images.figures import comparison
from imgtranslate.metrics.pixels import mean_absolute_error
from imgtranslate.metrics.ssim import ssim
from imgtranslate.translation.translator import load

FOLDER = Path("imgtranslate-demo")  # belongs to the demo, which replaces it
SHOWN = 6
MAX_SHARE_OF_INPUT, MAX_SHARE_OF_MATCH, MAX_INPUT_SSIM = 0.6, 0.8, 0.6
Measure = Callable[[Pixels, Pixels], float]


@dataclass(frozen=True, kw_only=True)
class DemoScores:
    """Means over the held-out scenes; SSIM to the ground truth."""

    scenes: int
    input_ssim: float  # of the painting itself
    match_ssim: float  # of the best recolouring of the painting by a curve for each channel
    fake_ssim: float  # of the translation
    fake_error: float  # mean absolute error of the translation, a fraction of the full range
    cycle_error: float  # mean absolute error of the recovered painting, a fraction of the range

    @property
    def share_of_input(self) -> float:
        """The error (1 - SSIM) of the translation as a share of the input's."""
        return (1 - self.fake_ssim) / (1 - self.input_ssim)

    @property
    def share_of_match(self) -> float:
        """The error (1 - SSIM) of the translation as a share of the best recolouring's."""
        return (1 - self.fake_ssim) / (1 - self.match_ssim)

    @property
    def good(self) -> bool:
        """True if the translation beats any recolouring, on inputs unlike their truth."""
        return (
            self.share_of_input <= MAX_SHARE_OF_INPUT
            and self.share_of_match <= MAX_SHARE_OF_MATCH
            and self.input_ssim < MAX_INPUT_SSIM
        )


def prepare(folder: Path, *, seed: int) -> DemoData:
    """Draw the demo's pictures into ``folder``, which is replaced."""
    with writing(folder):
        if folder.exists():
            shutil.rmtree(folder)
    return write_demo_data(folder, seed=seed)


def commands(data: DemoData, folder: Path, *, seed: int, steps: int | None) -> list[list[str]]:
    """List the commands of the demo, each as its arguments."""
    run = str(folder / "run")
    train = ["train", "--a", str(data.paintings), "--b", str(data.stitches), "--preset", "tiny"]
    train += ["--set", "data.load_size=64", "--seed", str(seed), "--out", run]
    held_out = str(data.held_out)
    return [
        train if steps is None else [*train, "--steps", str(steps)],
        ["translate", held_out, "--model", run, "-o", str(folder / "translated")],
        ["cycle-check", held_out, "--run", run, "-o", str(folder / "cycle.png")],
        ["export", "--model", run, "--format", "onnx", "-o", str(folder / "ab.onnx")],
    ]


def score(data: DemoData, folder: Path) -> DemoScores:
    """Compare the translated held-out scenes with their truth, and draw ``demo.png``."""
    reals, fakes, truths = (
        [read_image(path, channels=3).pixels for path in list_images(where)]
        for where in (data.held_out, folder / "translated", data.truth)
    )
    backward = load(folder / "run", direction="ba")
    recovered = [backward.translate_pixels(fake) for fake in fakes]
    rows = list(zip(reals, fakes, truths, recovered, strict=True))[:SHOWN]
    figure = comparison(rows, titles=["Real", "Fake", "Truth", "Recovered"])
    write_image(folder / "demo.png", Picture(pixels=figure))
    stitches = np.concatenate(
        [_flat(read_image(path, channels=3).pixels) for path in list_images(data.stitches)]
    )
    own = [match_histogram(r, _flat(t)) for r, t in zip(reals, truths, strict=True)]
    pooled = [match_histogram(r, stitches) for r in reals]
    return DemoScores(
        scenes=len(reals),
        input_ssim=_mean(ssim, reals, truths),
        match_ssim=max(_mean(ssim, own, truths), _mean(ssim, pooled, truths)),
        fake_ssim=_mean(ssim, fakes, truths),
        fake_error=_mean(mean_absolute_error, fakes, truths),
        cycle_error=_mean(mean_absolute_error, recovered, reals),
    )


def match_histogram(pixels: Pixels, reference: Pixels) -> Pixels:
    """Map each channel by the monotone curve that gives it the histogram of ``reference`` (n, 3).

    No recolouring channel by channel comes closer to the reference.
    """
    matched = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        _, places, counts = np.unique(pixels[..., channel], return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / counts.sum()
        ordered = np.sort(reference[:, channel])
        curve = np.interp(ranks, (np.arange(ordered.size) + 0.5) / ordered.size, ordered)
        matched[..., channel] = np.rint(curve)[places].reshape(pixels.shape[:2])
    return matched


def _flat(pixels: Pixels) -> Pixels:
    return pixels.reshape(-1, pixels.shape[2])


def _mean(measure: Measure, pictures: Sequence[Pixels], truths: Sequence[Pixels]) -> float:
    return float(np.mean([measure(x, y) for x, y in zip(pictures, truths, strict=True)]))
