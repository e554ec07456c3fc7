"""Static quantisation: convolutions in 8-bit integers, but for those that it hurts.

A runtime that computes convolutions of integers alone, as ONNX Runtime does, needs their results
in 8 bits as well; one that goes on in float, as OpenVINO does, loses less without.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantType  # type: ignore[import-untyped]
from onnxruntime.quantization.calibrate import TensorsData  # type: ignore[import-untyped]
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer  # type: ignore[import-untyped]

from imgtranslate.exporting.int8.graph_rewrites import to_integer_form, without_first_values
from imgtranslate.exporting.int8.qdq import Feed, Ranges, measure_ranges
from imgtranslate.metrics.pixels import psnr

TAILS = (0.0, 1e-4, 5e-4)  # shares of the values that may be cut off; the best is measured
ENOUGH = 40.0  # dB; what is beyond costs speed, and nobody sees it
SECONDS = 120.0  # for the search

Answer = NDArray[np.uint8]  # (n, h, w, c)
Run = Callable[[Feed], Answer]
Notice = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A graph in 8 bits, and how near it is."""

    model: onnx.ModelProto
    layers: int  # convolutions in all
    kept: tuple[str, ...]  # those in float
    psnr: float  # dB, on the pictures that it was chosen by


@dataclass(frozen=True, kw_only=True)
class Target:
    """What runs the result: how it is loaded, and whether results are to be in 8 bits too."""

    load: Callable[[onnx.ModelProto], Run]
    results_in_bytes: bool


def quantise(
    model: onnx.ModelProto,
    pictures: Sequence[Feed],
    answers: Sequence[Answer],
    *,
    target: Target,
    aim: float,
    notice: Notice,
    seconds: float = SECONDS,
) -> Quantised:
    """Quantise by what is measured on pictures; to the first of them ``answers`` are given.

    By these is chosen how far ranges reach, and which layers stay in float: those that gain most,
    until the PSNR is ``aim`` (dB), half of them are kept or ``seconds`` are over. Nothing is
    refused here.
    """
    search = _Search(
        model=to_integer_form(model),
        judged=list(zip(pictures, answers, strict=False)),
        target=target,
        notice=notice,
        until=time.monotonic() + seconds,
    )
    best = search.best_ranges(measure_ranges(search.model, pictures, tails=TAILS).values())
    return search.keep_in_float(best, aim=aim)


def psnr_of(run: Run, pictures: Iterable[tuple[Feed, Answer]]) -> float:
    """The PSNR in dB over all pictures together."""
    errors = [10 ** (-psnr(run(feed), answer) / 10) for feed, answer in pictures]
    error = sum(errors) / len(errors)
    return -10 * float(np.log10(error)) if error else float("inf")


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What stays the same while layers are tried."""

    model: onnx.ModelProto  # in integer form
    judged: Sequence[tuple[Feed, Answer]]
    target: Target
    notice: Notice
    until: float  # on the monotonic clock

    def best_ranges(self, offered: Iterable[Ranges]) -> "_Tried":
        """All layers in 8 bits, with the ranges that give the best PSNR."""
        return max((self._tried(ranges, frozenset()) for ranges in offered), key=_psnr)

    def keep_in_float(self, start: "_Tried", *, aim: float) -> Quantised:
        """Bring back into float what hurts, the worst first."""
        layers = convolutions(self.model)
        best = start
        ranked = self._ranked(start, layers) if start.psnr < aim else []
        for name in ranked[: len(layers) // 2]:
            if best.psnr >= aim or time.monotonic() > self.until:
                break
            best = max(best, self._tried(best.ranges, best.kept | {name}), key=_psnr)
        kept = tuple(name for name in layers if name in best.kept)
        return Quantised(model=best.model, layers=len(layers), kept=kept, psnr=best.psnr)

    def _ranked(self, start: "_Tried", layers: Sequence[str]) -> list[str]:
        """The layers by what each alone gains in float, without those there was no time for."""
        found: dict[str, float] = {}
        self.notice(f"{start.psnr:.1f} dB in 8 bits: trying which of {len(layers)} layers hurt")
        for name in layers:
            if time.monotonic() > self.until:
                self.notice(f"the time is over after {len(found)} of {len(layers)} layers")
                break
            found[name] = self._tried(start.ranges, frozenset({name})).psnr
        return sorted(found, key=lambda name: -found[name])

    def _tried(self, ranges: Ranges, kept: frozenset[str]) -> "_Tried":
        quantised = in_integers(
            self.model, ranges, kept=kept, results_in_bytes=self.target.results_in_bytes
        )
        found = psnr_of(self.target.load(quantised), self.judged)
        return _Tried(model=quantised, ranges=ranges, kept=kept, psnr=found)


@dataclass(frozen=True, kw_only=True)
class _Tried:
    model: onnx.ModelProto
    ranges: Ranges
    kept: frozenset[str]
    psnr: float


def _psnr(tried: _Tried) -> float:
    return tried.psnr


def convolutions(model: onnx.ModelProto) -> list[str]:
    """The names of the convolutions, in the order of the graph."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def in_integers(
    model: onnx.ModelProto, ranges: Ranges, *, kept: frozenset[str], results_in_bytes: bool
) -> onnx.ModelProto:
    """Put ``QuantizeLinear`` and ``DequantizeLinear`` around all convolutions but the kept ones.

    Weights are int8 with a scale for each channel, activations uint8 with one for each tensor.
    """
    quantizer = QDQQuantizer(
        without_first_values(model, kept=kept),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, dict(ranges)),
        nodes_to_quantize=_with_paddings(model, kept=kept),
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv", "Pad"],
        extra_options={"OpTypesToExcludeOutputQuantization": [] if results_in_bytes else ["Conv"]},
    )
    quantizer.quantize_model()
    made: onnx.ModelProto = quantizer.model.model
    return made


def _with_paddings(model: onnx.ModelProto, *, kept: frozenset[str]) -> list[str]:
    """The convolutions to quantise, and the paddings before them."""
    makers = {output: node for node in model.graph.node for output in node.output}
    chosen = []
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name not in kept:
            before = makers.get(node.input[0])
            padding = [before.name] if before is not None and before.op_type == "Pad" else []
            chosen += [*padding, node.name]
    return chosen
