"""Static quantisation: 8-bit convolutions, except those that lose too much quality.

ONNX Runtime computes a convolution in integers only if its result is in 8 bits too. OpenVINO
continues in float, and therefore loses less.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.int8.graph_rewrites import to_integer_form
from imgtranslate.exporting.int8.qdq import Ranges, convolutions, insert_qdq, measure_ranges
from imgtranslate.exporting.onnx import Feed, RunGraph, load_in_onnx_runtime
from imgtranslate.exporting.openvino import load_in_openvino
from imgtranslate.exporting.pictures import CalibrationPictures
from imgtranslate.exporting.proof import answer_of_model, time_alternately
from imgtranslate.exporting.source_model import SourceModel
from imgtranslate.images import Pixels, to_network, to_pixels
from imgtranslate.metrics.pixels import psnr
from imgtranslate.model_files.export_header import CODE, IMAGE

TAILS = (0.0, 1e-4, 5e-4)  # shares of values outside of a range; the best of them is used
ENOUGH = 40.0  # dB; a higher PSNR costs speed and is not visible
SEARCHED = 4  # pictures by which ranges and float layers are chosen
SECONDS = 120.0  # longest duration of the search
ROUNDS, LONGEST = 9, 10.0  # rounds of the timing, and its longest duration in seconds

Answer = NDArray[np.uint8]  # (n, h, w, c)
Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime that a graph is quantised for."""

    load: Callable[[onnx.ModelProto], RunGraph]
    outputs_in_int8: bool  # whether the results of convolutions are in 8 bits too


ONNX_RUNTIME = Runtime(load=load_in_onnx_runtime, outputs_in_int8=True)
OPENVINO = Runtime(load=load_in_openvino, outputs_in_int8=False)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The ratios of the durations of two functions that were timed alternately."""

    median: float
    smallest: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Int8Result:
    """The loss in quality and the gain in speed of a model in 8 bits."""

    psnr: float  # dB to the model, over pictures outside of the calibration
    pictures: int  # number of these pictures
    layers: int  # number of convolutions
    kept: int  # number of convolutions kept in float
    speed: Ratio  # duration of the float export divided by that of the 8-bit export


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A quantised graph, the choices that it was quantised with, and its PSNR."""

    graph: onnx.ModelProto
    ranges: Ranges
    in_float: frozenset[str]  # names of convolutions
    psnr: float  # dB, over the pictures by which it was chosen


def quantise_model(
    model: SourceModel,
    graph: onnx.ModelProto,
    pictures: CalibrationPictures,
    *,
    min_psnr: float,
    notice: Notice,
) -> tuple[onnx.ModelProto, Int8Result]:
    """Quantise the graph of a model for the runtime of its form, and measure the result.

    Raises ``ImgTranslateError`` if its PSNR to the model is below ``min_psnr`` (dB).
    """
    runtime = OPENVINO if model.form.is_openvino else ONNX_RUNTIME
    quantised = quantise(
        graph,
        [feed_of(model, pixels) for pixels in pictures.calibrated],
        [answer_of_model(model, pixels[None]) for pixels in pictures.calibrated[:SEARCHED]],
        runtime=runtime,
        aim=max(ENOUGH, min_psnr),
        notice=notice,
    )
    feeds = [feed_of(model, pixels) for pixels in pictures.judged]
    answers = [answer_of_model(model, pixels[None]) for pixels in pictures.judged]
    run, run_float = runtime.load(quantised.graph), runtime.load(graph)
    found = psnr_of(run, zip(feeds, answers, strict=True))
    if found < min_psnr:
        raise ImgTranslateError(
            f"`min_psnr` {min_psnr:g}: the PSNR of the 8-bit export is only {found:.1f} dB, so no "
            "file was written. Calibrate on pictures more like those to translate, or use another "
            "`format`"
        )
    result = Int8Result(
        psnr=found,
        pictures=len(feeds),
        layers=len(convolutions(quantised.graph)),
        kept=len(quantised.in_float),
        speed=_speed(lambda: run(feeds[0]), lambda: run_float(feeds[0])),
    )
    return quantised.graph, result


def quantise(
    graph: onnx.ModelProto,
    feeds: Sequence[Feed],
    answers: Sequence[Answer],
    *,
    runtime: Runtime,
    aim: float,
    notice: Notice,
    seconds: float = SECONDS,
) -> Quantised:
    """Search for the ranges and the float convolutions that give a PSNR of ``aim`` (dB).

    Ranges come from all ``feeds``, the PSNR from the first of them, whose results are ``answers``.
    The search ends after ``seconds``, or when half of the convolutions are in float. The best
    result is returned even if its PSNR is lower.
    """
    graph = to_integer_form(graph)
    layers = convolutions(graph)
    judged = list(zip(feeds, answers, strict=False))
    until = time.monotonic() + seconds

    def quantise_with(ranges: Ranges, in_float: frozenset[str]) -> Quantised:
        made = insert_qdq(graph, ranges, in_float=in_float, outputs_in_int8=runtime.outputs_in_int8)
        found = psnr_of(runtime.load(made), judged)
        return Quantised(graph=made, ranges=ranges, in_float=in_float, psnr=found)

    # Choose the best ranges with all convolutions in 8 bits.
    offered = measure_ranges(graph, feeds, tails=TAILS).values()
    best = start = max((quantise_with(ranges, frozenset()) for ranges in offered), key=_psnr)
    if start.psnr >= aim:
        return start

    # Measure the PSNR with each single convolution in float.
    notice(
        f"{start.psnr:.1f} dB with all {len(layers)} layers in 8 bits: searching for those that "
        "lose most"
    )
    alone: dict[str, float] = {}
    for name in layers:
        if time.monotonic() > until:
            notice(f"the time limit ended the search after {len(alone)} of {len(layers)} layers")
            break
        alone[name] = quantise_with(start.ranges, frozenset({name})).psnr

    # Return layers to float, beginning with those that lose most.
    for name in sorted(alone, key=lambda name: -alone[name])[: len(layers) // 2]:
        if best.psnr >= aim or time.monotonic() > until:
            break
        best = max(best, quantise_with(best.ranges, best.in_float | {name}), key=_psnr)
    return best


def psnr_of(run: RunGraph, pictures: Iterable[tuple[Feed, Answer]]) -> float:
    """Compute the PSNR in dB over all pictures together."""
    errors = [10 ** (-psnr(_to_bytes(run(feed)), answer) / 10) for feed, answer in pictures]
    error = sum(errors) / len(errors)
    return -10 * float(np.log10(error)) if error else float("inf")


def feed_of(model: SourceModel, pixels: Pixels) -> Feed:
    """Build the inputs of a graph for one picture (h, w, c) and the latent code of seed 0."""
    image: NDArray[Any] = pixels if model.form.io == "uint8" else to_network(pixels)
    translator = model.translator
    code = {CODE: translator.draw(0, pixels)[None]} if translator.latent_dim else {}
    return {IMAGE: image[None], **code}


def _to_bytes(output: NDArray[Any]) -> Answer:
    """Convert the output images of a graph, float or uint8, to uint8 (n, h, w, c)."""
    if output.dtype == np.uint8:
        return output
    return np.stack([to_pixels(values) for values in output])


def _psnr(quantised: Quantised) -> float:
    return quantised.psnr


def _speed(run: Callable[[], object], run_float: Callable[[], object]) -> Ratio:
    time_alternately(run, run_float, rounds=1, longest=LONGEST)  # to warm up
    seconds = time_alternately(run, run_float, rounds=ROUNDS, longest=LONGEST)
    ratios = [in_float / quantised for quantised, in_float in seconds]
    return Ratio(median=median(ratios), smallest=min(ratios), largest=max(ratios))
