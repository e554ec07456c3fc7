"""The proof of an export: it is run beside the model before it is kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtranslate.errors import ImgTranslateError
from imgtranslate.images import Pixels

LARGEST_COMPARED = 512  # px; a header may claim any crop, and a picture may have any size
ROUNDS, LONGEST = 7, 6.0  # of the timing, and its seconds
Answer = NDArray[Any]  # (n, ...): 8-bit pictures, or numbers of a code
Run = Callable[[Pixels], Answer]  # of pictures (n, h, w, c)


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an export may be from the model.

    In levels of 255, or of the numbers of a code as a share: of what is above 1, of themselves.
    """

    largest: float
    mean: float
    of_codes: bool = False

    @property
    def unit(self) -> str:
        """What stands behind a difference."""
        return "" if self.of_codes else "/255"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far the exported file was from the model at one size."""

    batch: int
    height: int  # px
    width: int  # px
    largest: float  # difference of any 8-bit value or number of a code, see ``Tolerance``
    mean: float
    picture: str = "noise"  # or the name of a picture


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds for the last picture compared, on this machine: medians of turns about."""

    model: float
    export: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the model the export is."""
        return self.model / self.export


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was compared, and how fast it was."""

    comparisons: tuple[Comparison, ...]
    speed: Speed
    tolerance: Tolerance

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max(comparison.largest for comparison in self.comparisons)

    @property
    def mean(self) -> float:
        """The mean difference where it is largest."""
        return max(comparison.mean for comparison in self.comparisons)


@dataclass(frozen=True, kw_only=True)
class ProofPicture:
    """A picture to compare with, (h, w, c), and where it came from."""

    pixels: Pixels
    name: str


def prove(
    export: Run, model: Run, *, picture: ProofPicture, crop: int, tolerance: Tolerance
) -> Proof:
    """Run both on noise of three sizes and on a real picture.

    The sizes are below, beside and at what the network was trained on.
    """
    found = (
        _difference(export, model, pictures, name=name, of_codes=tolerance.of_codes)
        for pictures, name in _pictures(picture, crop=crop)
    )
    comparisons = tuple(found)
    real = _centre(picture.pixels)[None]
    speed = measure_speed(lambda: export(real), lambda: model(real))
    return Proof(comparisons=comparisons, speed=speed, tolerance=tolerance)


def refuse_different(path: Path, proof: Proof) -> None:
    """Raise ``ImgTranslateError`` if an export is further from the model than its format may be."""
    limits, worst = proof.tolerance, max(proof.comparisons, key=lambda one: one.largest)
    if proof.largest > limits.largest or proof.mean > limits.mean:
        raise ImgTranslateError(
            f"{path}: not written: its result of {worst.width} x {worst.height} px differs from "
            f"the model's by {worst.largest:.3g}{limits.unit}, or {proof.mean:.3g}{limits.unit} on "
            f"average; {limits.largest:g} and {limits.mean:g} are allowed. Use another --format, "
            "or the model itself"
        )


def measure_speed(export: Callable[[], object], model: Callable[[], object]) -> Speed:
    """Time both in turn, so that what else the machine does is the same for both."""
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    for _ in range(ROUNDS):
        for run, taken in zip((export, model), times, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
        if time.perf_counter() - began > LONGEST:
            break
    return Speed(export=median(times[0]), model=median(times[1]))


def _pictures(picture: ProofPicture, *, crop: int) -> Iterator[tuple[Pixels, str]]:
    rng = np.random.default_rng(0)
    side, channels = min(crop, LARGEST_COMPARED), picture.pixels.shape[2]
    for shape in ((2, 7, 5), (1, 37, 50), (1, side, side)):
        yield rng.integers(0, 256, (*shape, channels), np.uint8), "noise"
    yield _centre(picture.pixels)[None], picture.name


def _difference(
    export: Run, model: Run, pictures: Pixels, *, name: str, of_codes: bool
) -> Comparison:
    batch, height, width, _ = pictures.shape
    found, expected = export(pictures), model(pictures)
    apart = np.full(1, np.inf)
    if found.shape == expected.shape and np.isfinite(found).all():
        apart = np.abs(found.astype(np.float64) - expected)
        apart /= np.maximum(1, np.abs(expected)) if of_codes else 1
    largest, mean = float(apart.max()), float(apart.mean())
    return Comparison(
        batch=batch, height=height, width=width, largest=largest, mean=mean, picture=name
    )


def _centre(pixels: Pixels) -> Pixels:
    """The middle of a picture, up to ``LARGEST_COMPARED`` px."""
    height, width = pixels.shape[:2]
    top, left = (max(side - LARGEST_COMPARED, 0) // 2 for side in (height, width))
    return pixels[top : top + LARGEST_COMPARED, left : left + LARGEST_COMPARED]
