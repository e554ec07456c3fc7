"""``imgtranslate export``."""

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from imgtranslate.cli.options import option
from imgtranslate.cli.terminal import examples, result, say, say_notice
from imgtranslate.errors import UsageError, counted, nearest
from imgtranslate.files import write_text

if TYPE_CHECKING:
    from imgtranslate.exporting.export import ExportResult
    from imgtranslate.exporting.int8.quantise import Int8Result
    from imgtranslate.exporting.proof import Comparison, Proof
    from imgtranslate.exporting.web import WebExport
    from imgtranslate.model_files.export_header import ExportForm

EPILOG = examples(
    "imgtranslate export --model ab.safetensors --format onnx -o ab.onnx",
    "imgtranslate export --model runs/horses2zebras -o ab.onnx --io uint8 --overwrite",
    "imgtranslate export --model runs/horses2zebras --format web -o page --runtime package",
)


def export(
    model: Annotated[
        Path | None,
        option(
            "FILE|RUN",
            "Model file (.safetensors) to export, or a run: its A to B model, and with "
            "--format web both models.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        option(
            "FILE|DIR",
            "File to write; a folder for openvino, openvino-int8 and web.",
            "--output",
            "-o",
        ),
    ] = None,
    file_format: Annotated[
        str,
        option(
            "FORMAT",
            "onnx, onnx-fp16, onnx-int8, openvino, openvino-int8, pt2 (torch.export), or "
            "web (a page that runs in the browser).",
            "--format",
        ),
    ] = "onnx",
    what: Annotated[
        str,
        option(
            "NETWORK",
            "Network to export: generator, or the encoder of BicycleGAN, which reads the "
            "latent code of a picture.",
        ),
    ] = "generator",
    io: Annotated[
        str,
        option(
            "PIXELS",
            "Input and output values: float, (n, c, h, w) in [-1, 1], or uint8, (n, h, w, c).",
        ),
    ] = "float",
    proof: Annotated[
        Path | None,
        option(
            "PICTURE",
            "Picture to compare export and model on, besides noise.",
            show_default="a held-out picture of the run",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        option(
            "DIR",
            "Folder of 10 or more pictures to calibrate an int8 format on.",
            show_default="pictures of the run",
        ),
    ] = None,
    min_psnr: Annotated[
        float | None,
        option(
            "DB",
            "Lowest accepted PSNR between an int8 export and the model, in dB.",
            show_default="30",
        ),
    ] = None,
    report: Annotated[
        Path | None, option("FILE.json", "Write the results of the comparison to this file.")
    ] = None,
    runtime: Annotated[
        Path | None,
        option(
            "DIR", "Folder of the unpacked npm package onnxruntime-web, which --format web needs."
        ),
    ] = None,
    overwrite: Annotated[bool, option("", "Replace an existing output.", "--overwrite")] = False,
) -> None:
    """Export a model to a file that other programs run, and compare it with the model.

    The export takes batches of pictures of any size. Before it is kept, it is
    compared with the model on noise of three sizes and on a picture; if the results
    differ by more than the format allows, no file is written.
    """
    if report is not None:
        _refuse_report(report)
    if file_format == "web" and (what, io) != ("generator", "float"):
        raise UsageError("--format web: exports generators only. Leave out --what and --io")
    form = _form(file_format, what, io)
    if not form.is_int8 and (calibrate is not None or min_psnr is not None):
        raise UsageError(
            f"--calibrate, --min-psnr: apply to int8 formats, not to --format {file_format}. "
            "Leave them out"
        )
    if form.format != "web" and runtime is not None:
        raise UsageError(
            f"--runtime {runtime}: applies to --format web, not to --format {file_format}. "
            "Leave it out"
        )
    if min_psnr is not None and not 0 <= min_psnr < math.inf:
        raise UsageError(f"--min-psnr {min_psnr}: not a PSNR in dB. Use 30 or less")
    if model is None:
        raise UsageError("--model: not given. Name a model file or the folder of a run")
    if output is None:
        raise UsageError("-o: not given. Name the file to write, as in -o ab.onnx")
    from imgtranslate.exporting.export import MIN_PSNR, export_model, refuse_output, report_of
    from imgtranslate.exporting.web import export_web

    if form.format == "web":
        page = export_web(
            model, output, runtime=runtime, proof=proof, overwrite=overwrite, notice=say_notice
        )
        _write_report(report, [report_of(each) for each in page.models])
        _show_page(page, output)
        return
    refuse_output(output, form=form, overwrite=overwrite)
    say("exporting, then comparing with the model")
    exported = export_model(
        model,
        output,
        form=form,
        proof=proof,
        calibrate=calibrate,
        min_psnr=MIN_PSNR if min_psnr is None else min_psnr,
        notice=say_notice,
        overwrite=overwrite,
    )
    _write_report(report, report_of(exported))
    _show(exported)


def _refuse_report(path: Path) -> None:
    """Refuse a report that cannot be written, or whose name could be that of a model."""
    if path.suffix.lower() != ".json":
        raise UsageError(f"--report {path}: not a .json file. Use {path.with_suffix('.json')}")
    if path.is_dir():
        raise UsageError(f"--report {path}: a folder. Name a file, such as --report proof.json")
    if not path.parent.is_dir():
        raise UsageError(f"--report {path}: no such folder: {path.parent}. Create it first")


def _form(file_format: str, what: str, io: str) -> "ExportForm":
    from imgtranslate.model_files.export_header import ExportForm, Format, Network, Values

    return ExportForm(
        what=nearest(what, get_args(Network), what="--what"),
        io=nearest(io, get_args(Values), what="--io"),
        format=nearest(file_format, get_args(Format), what="--format"),
    )


def _write_report(path: Path | None, report: object) -> None:
    if path is not None:
        write_text(path, json.dumps(report, indent=2) + "\n")


def _show(exported: "ExportResult") -> None:
    proof = exported.proof
    result(f"{exported.path}: {_megabytes(exported.size)}, largest difference to the model:")
    for comparison in proof.comparisons:
        result(f"  {_line(comparison, proof)}")
    speed = proof.speed
    result(f"{speed.export:.3g} s per picture; the model takes {speed.model:.3g} s on this machine")
    if exported.int8 is not None:
        result(_int8_line(exported.int8))
    result("\nTo run it without imgtranslate:\n")
    result(exported.lines)


def _line(comparison: "Comparison", proof: "Proof") -> str:
    unit = proof.tolerance.unit
    size = f"{comparison.width} x {comparison.height} px"
    count = f", {comparison.batch} at once" if comparison.batch > 1 else ""
    return (
        f"{comparison.largest:.3g}{unit} at {size}{count}, {comparison.picture}; "
        f"{comparison.mean:.2g}{unit} on average"
    )


def _int8_line(int8: "Int8Result") -> str:
    speed = int8.speed
    return (
        f"PSNR to the model {int8.psnr:.1f} dB on {counted(int8.pictures, 'picture')} outside of "
        f"the calibration; {int8.kept} of {int8.layers} convolutions in float; "
        f"{speed.median:.2f} times as fast as the float export on this machine "
        f"({speed.smallest:.2f} to {speed.largest:.2f})"
    )


def _show_page(page: "WebExport", folder: Path) -> None:
    result(f"{folder}: {_megabytes(page.size)}, largest difference to the model:")
    for each in page.models:
        domains = f"{each.header.source} to {each.header.target}"
        result(f"  {each.proof.largest:.3g}{each.proof.tolerance.unit}, {domains}")
    result("\nTo serve it from this machine (any other web server will do):\n")
    result(f"python -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(folder))} 8000")
    result("\nThen open http://127.0.0.1:8000")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
