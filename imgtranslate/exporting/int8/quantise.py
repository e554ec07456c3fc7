"""Static quantisation: convolutions in 8-bit integers, except those that it hurts.

ONNX Runtime computes a convolution in integers only if its result is in 8 bits too; OpenVINO goes
on in float, and so loses less.
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
from imgtranslate.exporting.network import SourceModel
from imgtranslate.exporting.onnx import Feed, RunGraph, load_in_onnx_runtime
from imgtranslate.exporting.openvino import load_in_openvino
from imgtranslate.exporting.pictures import CalibrationPictures
from imgtranslate.exporting.proof import answer_of_model, time_alternately
from imgtranslate.images import Pixels, to_network, to_pixels
from imgtranslate.metrics.pixels import psnr
from imgtranslate.model_files.export_header import CODE, IMAGE

TAILS = (0.0, 1e-4, 5e-4)  # shares of the values that a range may cut off; the best is taken
ENOUGH = 40.0  # dB; a higher PSNR costs speed, and nobody sees it
SEARCHED = 4  # pictures that ranges and layers are chosen by
SECONDS = 120.0  # of the search
ROUNDS, LONGEST = 9, 10.0  # of the timing, and its seconds

Answer = NDArray[np.uint8]  # (n, h, w, c)
Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime to quantise for."""

    load: Callable[[onnx.ModelProto], RunGraph]
    outputs_in_int8: bool  # results of convolutions are in 8 bits too


ONNX_RUNTIME = Runtime(load=load_in_onnx_runtime, outputs_in_int8=True)
OPENVINO = Runtime(load=load_in_openvino, outputs_in_int8=False)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Ratios of the seconds of two functions that were timed alternately."""

    median: float
    smallest: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Int8Result:
    """The PSNR and the speed of a model in 8 bits, and what stayed in float."""

    psnr: float  # dB to the model, over pictures that were not calibrated on
    pictures: int  # number of those
    layers: int  # number of convolutions
    kept: int  # number of convolutions in float
    speed: Ratio  # of the same export in float to this one


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A quantised graph, how it was quantised, and its PSNR."""

    graph: onnx.ModelProto
    ranges: Ranges
    in_float: frozenset[str]  # names of convolutions
    psnr: float  # dB, on the pictures that it was chosen by


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
            f"`min_psnr` {min_psnr:g}: the PSNR in 8 bits is {found:.1f} dB, so no "
            "file is left. Calibrate on pictures that are more like those to translate, or use "
            "another `format`"
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
    """Search the ranges and the convolutions in float that give a PSNR of ``aim`` (dB).

    Ranges come from all ``feeds``; PSNRs from the first of them, to which ``answers`` belong. The
    search ends after ``seconds``, or with half of the convolutions in float. The best result is
    returned whatever its PSNR.
    """
    graph = to_integer_form(graph)
    layers = convolutions(graph)
    judged = list(zip(feeds, answers, strict=False))
    until = time.monotonic() + seconds

    def quantise_with(ranges: Ranges, in_float: frozenset[str]) -> Quantised:
        made = insert_qdq(graph, ranges, in_float=in_float, outputs_in_int8=runtime.outputs_in_int8)
        found = psnr_of(runtime.load(made), judged)
        return Quantised(graph=made, ranges=ranges, in_float=in_float, psnr=found)

    # The ranges that are best for all convolutions in 8 bits.
    offered = measure_ranges(graph, feeds, tails=TAILS).values()
    best = start = max((quantise_with(ranges, frozenset()) for ranges in offered), key=_psnr)
    if start.psnr >= aim:
        return start

    # The PSNR with each convolution by itself in float.
    notice(f"{start.psnr:.1f} dB in 8 bits: trying which of {len(layers)} layers hurt")
    alone: dict[str, float] = {}
    for name in layers:
        if time.monotonic() > until:
            notice(f"the time is over after {len(alone)} of {len(layers)} layers")
            break
        alone[name] = quantise_with(start.ranges, frozenset({name})).psnr

    # Back into float, those first that hurt most.
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
    """Build the inputs of a graph for one picture (h, w, c), with the latent code of seed 0."""
    image: NDArray[Any] = pixels if model.form.io == "uint8" else to_network(pixels)
    translator = model.translator
    code = {CODE: translator.draw(0, pixels)[None]} if translator.latent_dim else {}
    return {IMAGE: image[None], **code}


def _to_bytes(output: NDArray[Any]) -> Answer:
    """Convert the images that a graph gave, float or uint8, to uint8 (n, h, w, c)."""
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
