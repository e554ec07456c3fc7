"""``imgtranslate export``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.terminal import examples, result, say
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.workflows.export import Comparison

EPILOG = examples(
    "imgtranslate export --model ab.safetensors --format onnx -o ab.onnx",
    "imgtranslate export --model runs/horses2zebras -o ab.onnx --overwrite",
    "imgtranslate export --model runs/horses2zebras --format web -o page --runtime package",
)
FORMATS = ("onnx", "onnx-int8", "onnx-fp16", "pt2", "openvino", "web")


def export(
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE|RUN", help="ab.safetensors, or a run: its A to B."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="onnx, web.")] = "onnx",
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of --format web: an unpacked onnxruntime-web."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there already.")
    ] = False,
) -> None:
    """Turn a model into a file that other programs run, and prove it the same.

    The ONNX file takes pictures of any size, and any number of them at once.
    It is run beside the model before it is kept: if any 8-bit value differs by
    more than 1/255, no file is left.
    """
    if _checked_format(file_format) == "web":
        _export_page(*_given(model, output), runtime=runtime, overwrite=overwrite)
    else:
        _export_onnx(*_given(model, output), overwrite=overwrite)


def _export_onnx(source: Path, path: Path, *, overwrite: bool) -> None:
    from imgtranslate.workflows.export import export_onnx, refuse_output, runner

    refuse_output(path, overwrite=overwrite)
    say("exporting, then comparing with the model")
    exported = export_onnx(source, path, overwrite=overwrite)
    result(f"{exported.path}: {_megabytes(exported.size)}, largest difference to the model:")
    for comparison in exported.comparisons:
        result(f"  {_line(comparison)}")
    result("\nTo run it with onnxruntime, numpy and Pillow alone:\n")
    result(runner(exported))


def _export_page(source: Path, folder: Path, *, runtime: Path | None, overwrite: bool) -> None:
    from imgtranslate.workflows.export_web import export_web

    say("exporting, then comparing with the model")
    exported = export_web(source, folder, runtime=runtime, overwrite=overwrite)
    result(f"{folder}: {_megabytes(exported.size)}, largest difference to the model:")
    for model in exported.models:
        for comparison in model.comparisons:
            result(f"  {model.path.name}: {_line(comparison)}")
    result("\nTo open it, here or on any web server:\n")
    result(f"python -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(folder))} 8000")
    result("http://localhost:8000")


def _checked_format(file_format: str) -> str:
    from imgtranslate.errors import nearest

    chosen = nearest(file_format, FORMATS, what="--format")
    if chosen not in ("onnx", "web"):
        raise UsageError(f"--format {file_format}: not there yet. Use --format onnx")
    return chosen


def _given(model: Path | None, output: Path | None) -> tuple[Path, Path]:
    if model is None:
        raise UsageError("--model: not given. Name an ab.safetensors or the folder of a run")
    if output is None:
        raise UsageError("-o: not given. Name the file to write, as in -o ab.onnx")
    return model, output


def _line(comparison: "Comparison") -> str:
    size = f"{comparison.width} x {comparison.height} px"
    count = f", {comparison.batch} at once" if comparison.batch > 1 else ""
    return f"{comparison.largest}/255 at {size}{count}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
