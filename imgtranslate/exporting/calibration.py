"""What an export in 8 bits is calibrated on and judged by, and how it came out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from imgtranslate.engines.export_engine import ExportEngine
from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.int8.qdq import Feed
from imgtranslate.exporting.int8.quantise import (
    ENOUGH,
    Answer,
    Quantised,
    Run,
    Target,
    psnr_of,
    quantise,
)
from imgtranslate.exporting.onnx import to_onnx, with_metadata
from imgtranslate.exporting.original import Original
from imgtranslate.exporting.runs import run_of_model
from imgtranslate.exporting.timing import Ratio, measure_ratio
from imgtranslate.images import Pixels, to_network, to_pixels
from imgtranslate.model_files.export_header import CODE, IMAGE, TRANSLATED

SEARCHED = 4  # pictures that choices are made by
_ERRORS = 3  # of ONNX Runtime's levels of severity: warnings are about itself


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Pictures (h, w, c), and what is asked of the result."""

    pictures: tuple[Pixels, ...]
    judged: tuple[Pixels, ...]  # not calibrated on
    min_psnr: float  # dB
    notice: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What 8 bits cost and gave."""

    psnr: float  # dB to the model, over the pictures that it was not calibrated on
    pictures: int  # of those
    layers: int  # convolutions
    kept: int  # of them in float
    speed: Ratio  # times as fast as the same export in float


def write_int8(
    original: Original, path: Path, calibration: Calibration
) -> tuple[ExportEngine, Precision]:
    """Write one .onnx file in 8 bits, and load it again."""
    model, precision = in_eight_bits(original, calibration, target=onnx_target())
    onnx.save(model, path)
    return ExportEngine.load(path, device="cpu"), precision


def in_eight_bits(
    original: Original, calibration: Calibration, *, target: Target
) -> tuple[onnx.ModelProto, Precision]:
    """Export a model in 8 bits for a runtime.

    Raises ``ImgTranslateError`` if its pictures are further from the model's than allowed.
    """
    plain = to_onnx(original)
    pictures = [feed_of(original, pixels) for pixels in calibration.pictures]
    made = quantise(
        plain,
        pictures,
        _answers(original, calibration.pictures[:SEARCHED]),
        target=target,
        aim=max(ENOUGH, calibration.min_psnr),
        notice=calibration.notice,
    )
    precision = _judged(made, plain, original, calibration, target=target)
    return with_metadata(made.model, original.header, original.form), precision


def _judged(
    made: Quantised,
    plain: onnx.ModelProto,
    original: Original,
    calibration: Calibration,
    *,
    target: Target,
) -> Precision:
    feeds = [feed_of(original, pixels) for pixels in calibration.judged]
    answers = _answers(original, calibration.judged)
    run, float_run = target.load(made.model), target.load(plain)
    found = psnr_of(run, zip(feeds, answers, strict=True))
    if found < calibration.min_psnr:
        raise ImgTranslateError(
            f"--min-psnr {calibration.min_psnr:g}: the PSNR in 8 bits is {found:.1f} dB, so no "
            "file is left. Calibrate on pictures that are more like those to translate, or use "
            "another --format"
        )
    speed = measure_ratio(lambda: run(feeds[0]), lambda: float_run(feeds[0]))
    return Precision(
        psnr=found, pictures=len(feeds), layers=made.layers, kept=len(made.kept), speed=speed
    )


def feed_of(original: Original, pixels: Pixels) -> Feed:
    """What the graph of a model is given for one picture (h, w, c); its code is that of seed 0."""
    image: NDArray[Any] = pixels if original.form.io == "uint8" else to_network(pixels)
    translator = original.translator
    code = {CODE: translator.draw(0, pixels)[None]} if translator.latent_dim else {}
    return {IMAGE: image[None], **code}


def to_bytes(output: NDArray[Any]) -> Answer:
    """What a graph gave, as uint8 (n, h, w, c)."""
    if output.dtype == np.uint8:
        return output
    return np.stack([to_pixels(values) for values in output])


def onnx_target() -> Target:
    """ONNX Runtime on the CPU."""
    return Target(load=_load, results_in_bytes=True)


def _load(model: onnx.ModelProto) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda feed: to_bytes(session.run([TRANSLATED], dict(feed))[0])


def _answers(original: Original, pictures: Sequence[Pixels]) -> list[Answer]:
    run = run_of_model(original)
    return [run(pixels[None]) for pixels in pictures]
