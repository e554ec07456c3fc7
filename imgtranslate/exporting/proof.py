"""The proof of an export: its results compared with those of the model, and the speed of both."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.pictures import ProofPicture, centre
from imgtranslate.exporting.source_model import SourceModel
from imgtranslate.images import Codes, Pixels, Values, pad_to, to_network, to_pixels

LARGEST_COMPARED = 512  # px; headers may name any crop size, and pictures may have any size
ROUNDS, LONGEST = 7, 6.0  # rounds of the timing, and its longest duration in seconds
Answer = NDArray[Any]  # (n, ...): 8-bit pictures, or mean and log variance of a latent code


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The largest and the mean difference allowed between an export and its model.

    The unit is a level of 255. Latent codes have no unit: the difference is absolute for numbers up
    to 1, and relative for larger ones.
    """

    largest: float
    mean: float
    of_codes: bool = False

    @property
    def unit(self) -> str:
        """The printed unit of a difference."""
        return "" if self.of_codes else "/255"


EXACT = Tolerance(largest=1, mean=0.1)
INT8 = Tolerance(largest=255, mean=32)  # loose: noise differs much from calibration pictures
TOLERANCES = {
    "onnx": EXACT,
    "onnx-fp16": Tolerance(largest=8, mean=0.5),
    "onnx-int8": INT8,
    "openvino": EXACT,
    "openvino-int8": INT8,
    "pt2": EXACT,
}
EXACT_CODE = Tolerance(largest=1e-3, mean=1e-4, of_codes=True)
ENCODER_TOLERANCES = {
    "onnx": EXACT_CODE,
    "onnx-fp16": Tolerance(largest=0.05, mean=0.01, of_codes=True),
    "openvino": EXACT_CODE,
    "pt2": EXACT_CODE,
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference between an export and its model on images of one size."""

    batch: int
    height: int  # px
    width: int  # px
    largest: float  # over all 8-bit values or numbers of a code, see ``Tolerance``
    mean: float
    picture: str = "noise"  # "noise" or the name of a picture


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The median durations in seconds for the last compared picture, on this machine."""

    model: float
    export: float

    @property
    def ratio(self) -> float:
        """The speed of the export relative to the model."""
        return self.model / self.export


@dataclass(frozen=True, kw_only=True)
class Proof:
    """All comparisons of an export with its model, and the speed of both."""

    comparisons: tuple[Comparison, ...]
    speed: Speed
    tolerance: Tolerance

    @property
    def largest(self) -> float:
        """The largest difference of all comparisons."""
        return max(comparison.largest for comparison in self.comparisons)

    @property
    def mean(self) -> float:
        """The largest of the mean differences."""
        return max(comparison.mean for comparison in self.comparisons)


class Exported(Protocol):
    """An export in its runtime: a generator has ``run``, an encoder ``encode_distribution``."""

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w)."""
        ...

    def encode_distribution(self, values: Values) -> tuple[Codes, Codes]:
        """Map images of the target domain to mean and log variance, (n, latent_dim) each."""
        ...


def prove(exported: Exported, model: SourceModel, picture: ProofPicture) -> Proof:
    """Compare export and model on noise of three sizes and on a picture.

    The sizes are a small one, one that is not a multiple, and the crop size of the training.
    """
    form = model.form
    tolerances = ENCODER_TOLERANCES if form.what == "encoder" else TOLERANCES
    tolerance = tolerances[form.format]
    comparisons = tuple(
        _compare(
            answer_of_export(exported, model, pictures),
            answer_of_model(model, pictures),
            pictures=pictures,
            name=name,
            of_codes=tolerance.of_codes,
        )
        for pictures, name in _pictures(picture, crop=model.header.crop_size)
    )
    last = centre(picture.pixels, LARGEST_COMPARED)[None]
    seconds = time_alternately(
        lambda: answer_of_export(exported, model, last),
        lambda: answer_of_model(model, last),
        rounds=ROUNDS,
        longest=LONGEST,
    )
    of_export, of_model = zip(*seconds, strict=True)
    speed = Speed(export=median(of_export), model=median(of_model))
    return Proof(comparisons=comparisons, speed=speed, tolerance=tolerance)


def refuse_different(path: Path, proof: Proof) -> None:
    """Raise ``ImgTranslateError`` if an export differs by more than its tolerance."""
    limits, worst = proof.tolerance, max(proof.comparisons, key=lambda one: one.largest)
    if proof.largest > limits.largest or proof.mean > limits.mean:
        raise ImgTranslateError(
            f"{path}: not written: at {worst.width} x {worst.height} px its result differs from "
            f"the model's by {worst.largest:.3g}{limits.unit}, or {proof.mean:.3g}{limits.unit} on "
            f"average; at most {limits.largest:g} and {limits.mean:g} are allowed. Use another "
            "`format`, or the model itself"
        )


def answer_of_model(model: SourceModel, pictures: Pixels) -> Answer:
    """Run the model on pictures (n, h, w, c) with the latent codes of seed 0."""
    if model.form.what == "generator":
        return np.stack([model.translator.translate_pixels(picture) for picture in pictures])
    multiple, least = model.sides
    padded = (pad_to(to_network(picture), multiple=multiple, least=least) for picture in pictures)
    codes = [model.engine.encode_distribution(values[None]) for values in padded]
    return np.stack([np.concatenate(code) for code in codes])


def answer_of_export(exported: Exported, model: SourceModel, pictures: Pixels) -> Answer:
    """Run the export on the same pictures with the same latent codes."""
    values = np.stack([to_network(picture) for picture in pictures])
    if model.form.what == "encoder":
        return np.stack(exported.encode_distribution(values), axis=1)
    translator = model.translator
    codes = np.stack([translator.draw(0, picture) for picture in pictures])
    output = exported.run(values, codes if translator.latent_dim else None)
    return np.stack([to_pixels(picture) for picture in output])


def time_alternately(
    first: Callable[[], object], second: Callable[[], object], *, rounds: int, longest: float
) -> list[tuple[float, float]]:
    """Time two functions in turn, so that other load on the machine affects both equally.

    Returns the seconds of at least one round; no further round begins after ``longest`` seconds.
    """
    seconds: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(seconds) < rounds and (not seconds or time.perf_counter() - began <= longest):
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        seconds.append((middle - start, time.perf_counter() - middle))
    return seconds


def _pictures(picture: ProofPicture, *, crop: int) -> Iterator[tuple[Pixels, str]]:
    rng = np.random.default_rng(0)
    side, channels = min(crop, LARGEST_COMPARED), picture.pixels.shape[2]
    for shape in ((2, 7, 5), (1, 37, 50), (1, side, side)):
        yield rng.integers(0, 256, (*shape, channels), np.uint8), "noise"
    yield centre(picture.pixels, LARGEST_COMPARED)[None], picture.name


def _compare(
    found: Answer, expected: Answer, *, pictures: Pixels, name: str, of_codes: bool
) -> Comparison:
    batch, height, width, _ = pictures.shape
    difference = np.full(1, np.inf)
    if found.shape == expected.shape and np.isfinite(found).all():
        difference = np.abs(found.astype(np.float64) - expected)
        difference /= np.maximum(1, np.abs(expected)) if of_codes else 1
    largest, mean = float(difference.max()), float(difference.mean())
    return Comparison(
        batch=batch, height=height, width=width, largest=largest, mean=mean, picture=name
    )
