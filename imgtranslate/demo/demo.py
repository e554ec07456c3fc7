"""The demo: a task whose truth is known, so that a translation can be judged and not only seen."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.demo.scenes import DemoData, write_demo_data
from imgtranslate.errors import UsageError
from imgtranslate.images import Picture, Pixels, list_images, read_image, write_image
from imgtranslate.images.figures import comparison
from imgtranslate.metrics.pixels import mean_absolute_error
from imgtranslate.metrics.ssim import ssim
from imgtranslate.translation.translator import load

FOLDER = Path("imgtranslate-demo")  # the demo's own: it may replace it
TRAIN_COUNT, TEST_COUNT, SHOWN = 300, 16, 6
LIMIT_OF_INPUT, LIMIT_OF_MATCH = 0.6, 0.8


@dataclass(frozen=True, kw_only=True)
class DemoScores:
    """Means over the held-out scenes; SSIM against the truth, 1 is equal."""

    scenes: int
    input_ssim: float  # of the untouched painting
    match_ssim: float  # of the painting recoloured as well as any per-channel curve can
    fake_ssim: float  # of the translation
    fake_error: float  # mean absolute error of the translation, a fraction of the full range
    cycle_error: float  # of the recovered painting against the painting, likewise

    @property
    def share_of_input(self) -> float:
        """How much of the untouched input's error, 1 - SSIM, the translation leaves."""
        return (1 - self.fake_ssim) / (1 - self.input_ssim)

    @property
    def share_of_match(self) -> float:
        """How much of the best recolouring's error the translation leaves."""
        return (1 - self.fake_ssim) / (1 - self.match_ssim)

    @property
    def good(self) -> bool:
        """Whether it is a translation, not a recolouring."""
        return (
            self.share_of_input <= LIMIT_OF_INPUT
            and self.share_of_match <= LIMIT_OF_MATCH
            and self.input_ssim < 0.6
        )


def prepare(folder: Path, *, seed: int) -> DemoData:
    """Draw the demo's pictures into ``folder``, replacing what an earlier demo left there."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
        return write_demo_data(folder, seed=seed, train_count=TRAIN_COUNT, test_count=TEST_COUNT)
    except OSError as error:
        why = error.strerror or error
        raise UsageError(
            f"{folder}: cannot be written: {why}. Run the demo in another folder"
        ) from error


def commands(data: DemoData, folder: Path, *, seed: int, steps: int | None) -> list[list[str]]:
    """The commands that the demo runs, as a person would type them."""
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


def judge(data: DemoData, folder: Path) -> DemoScores:
    """Compare the translated held-out scenes with the truth and draw ``demo.png``."""
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
        input_ssim=_mean_ssim(reals, truths),
        match_ssim=max(_mean_ssim(own, truths), _mean_ssim(pooled, truths)),
        fake_ssim=_mean_ssim(fakes, truths),
        fake_error=_mean_error(fakes, truths),
        cycle_error=_mean_error(recovered, reals),
    )


def match_histogram(pixels: Pixels, reference: Pixels) -> Pixels:
    """Map each channel by the monotone curve that gives it the histogram of ``reference`` (n, 3).

    The best that any recolouring channel by channel can do; what a translation must beat.
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


def _mean_ssim(pictures: Sequence[Pixels], truths: Sequence[Pixels]) -> float:
    return float(np.mean([ssim(x, y) for x, y in zip(pictures, truths, strict=True)]))


def _mean_error(pictures: Sequence[Pixels], truths: Sequence[Pixels]) -> float:
    pairs = zip(pictures, truths, strict=True)
    return float(np.mean([mean_absolute_error(x, y) for x, y in pairs]))
