"""The export of a model to a file that other programs run, compared with the model first."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from imgtranslate.engines.openvino_runtime import import_openvino
from imgtranslate.errors import UsageError, checks_arguments, nearest
from imgtranslate.exporting.int8.quantise import Int8Result, quantise_model
from imgtranslate.exporting.onnx import to_onnx, with_metadata, write_onnx
from imgtranslate.exporting.openvino import write_openvino
from imgtranslate.exporting.pictures import (
    CalibrationPictures,
    calibration_pictures,
    proof_picture,
)
from imgtranslate.exporting.proof import Exported, Proof, prove, refuse_different
from imgtranslate.exporting.pt2 import write_pt2
from imgtranslate.exporting.source_model import SourceModel, load_source_model
from imgtranslate.exporting.standalone_code import standalone_code
from imgtranslate.files import explained, replacing, replacing_folder
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_files import is_export, is_openvino
from imgtranslate.model_files.export_header import ExportForm, Format
from imgtranslate.settings.config import to_tree
from imgtranslate.translation.translator import find_model

SUFFIXES = {"onnx": ".onnx", "onnx-fp16": ".onnx", "onnx-int8": ".onnx", "pt2": ".pt2"}
LARGEST_FILE = 2**31 - 1  # bytes, protobuf's limit
FLOAT = ExportForm()
MIN_PSNR = 30.0  # dB


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported file and its proof."""

    path: Path
    size: int  # bytes
    header: ModelHeader
    form: ExportForm
    proof: Proof
    int8: Int8Result | None = None  # of a model in 8 bits

    @property
    def lines(self) -> str:
        """The Python code that runs the file without imgtranslate."""
        return standalone_code(self.path, self.header, self.form)


@checks_arguments
def export(
    model: Path | str,
    output: Path | str,
    *,
    file_format: str = "onnx",
    overwrite: bool = False,
) -> ExportResult:
    """Export a model, or the A to B model of a run, and compare the export with the model.

    ``file_format``: ``onnx``, ``onnx-fp16``, ``onnx-int8``, ``openvino``, ``openvino-int8`` or
    ``pt2``. Batch, height and width are dynamic. The result has the ``path``, the ``size`` in
    bytes, the ``proof`` of the comparison, and ``lines``: the Python code that runs the file
    without imgtranslate. Raises ``UsageError`` if ``output`` cannot be written, and
    ``ImgTranslateError`` if the export differs too much from the model.
    """
    formats = [each for each in get_args(Format) if each != "web"]  # a page, not one model
    form = ExportForm(format=nearest(file_format, formats, what="`file_format`"))
    return export_model(model, output, form=form, overwrite=overwrite)


def export_model(
    model: Path | str,
    output: Path | str,
    *,
    form: ExportForm = FLOAT,
    proof: Path | None = None,
    calibrate: Path | None = None,
    min_psnr: float = MIN_PSNR,
    notice: Callable[[str], None] = lambda _: None,
    overwrite: bool = False,
) -> ExportResult:
    """Export a model, or the A to B model of a run, and compare the export with the model.

    Batch, height and width are dynamic: padding and crop are part of the graph. A model with a
    latent code takes it as a second input, ``z`` (n, latent_dim). The export contains the header of
    the model. ``proof``: a picture to compare on, besides noise; by default a held-out picture of
    the run. ``calibrate``: a folder of pictures for the 8-bit calibration; by default pictures of
    the run. ``notice`` receives lines about the progress of the quantisation.

    Raises ``UsageError`` if ``output`` cannot be written. Raises ``ImgTranslateError`` and leaves
    no file if the difference exceeds the tolerance of the format, or if the PSNR of an 8-bit export
    is below ``min_psnr`` (dB).
    """
    path, source_path = Path(output), find_model(model)
    refuse_output(path, form=form, overwrite=overwrite)
    source = _load(source_path, form)
    picture = proof_picture(source, proof)
    calibration = calibration_pictures(source, calibrate) if form.is_int8 else None
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(path) if form.is_openvino else replacing(path) as temporary:
        exported, int8 = _write(source, temporary, calibration, min_psnr=min_psnr, notice=notice)
        found = prove(exported, source, picture)
        refuse_different(path, found)
    return ExportResult(
        path=path,
        size=sum(file.stat().st_size for file in (path, *path.glob("*")) if file.is_file()),
        header=source.header,
        form=form,
        proof=found,
        int8=int8,
    )


def refuse_output(path: Path, *, form: ExportForm = FLOAT, overwrite: bool) -> None:
    """Raise ``UsageError`` if an export cannot be written to ``path``."""
    if form.is_openvino:
        if path.exists() and not is_openvino(path):
            raise UsageError(
                f"`output` {path}: exists and is not an OpenVINO export. Choose another name"
            )
    else:
        suffix = SUFFIXES[form.format]
        if path.is_dir():
            raise UsageError(
                f"`output` {path}: a folder. Name a file, such as `output` {path / f'ab{suffix}'}"
            )
        if path.suffix.lower() != suffix:
            raise UsageError(
                f"`output` {path}: does not end in {suffix}. "
                f"Use `output` {path.with_suffix(suffix)}"
            )
    if path.exists() and not overwrite:
        raise UsageError(
            f"`output` {path}: already exists. Use `overwrite`, or choose another name"
        )
    if form.is_openvino:
        import_openvino()


def report_of(result: ExportResult) -> dict[str, Any]:
    """Convert a result to the JSON values of an export report."""
    return {
        "path": str(result.path),
        "bytes": result.size,
        **to_tree(result.form),
        "proof": asdict(result.proof),
        "speed_ratio": result.proof.speed.ratio,
        "precision": None if result.int8 is None else asdict(result.int8),
        "header": to_tree(result.header),
    }


def _load(path: Path, form: ExportForm) -> SourceModel:
    if is_export(path):
        raise UsageError(f"`model` {path}: already an export. Name the .safetensors model")
    if form.is_int8 and form.what == "encoder":
        raise UsageError("`what` encoder: only generators are exported to int8. Use `format` onnx")
    source = load_source_model(path, form)
    if path.stat().st_size > LARGEST_FILE:
        raise UsageError(
            f"{path}: larger than 2 GB, the limit of an ONNX file. "
            "Train with a smaller generator.base_channels"
        )
    return source


def _write(
    source: SourceModel,
    path: Path,
    calibration: CalibrationPictures | None,
    *,
    min_psnr: float,
    notice: Callable[[str], None],
) -> tuple[Exported, Int8Result | None]:
    """Write an export, and load it in the runtime that it is made for."""
    if source.form.format == "pt2":
        return write_pt2(source, path), None
    graph, int8 = to_onnx(source), None
    if calibration is not None:
        quantised, int8 = quantise_model(
            source, graph, calibration, min_psnr=min_psnr, notice=notice
        )
        graph = with_metadata(quantised, source.header, source.form)
    if source.form.is_openvino:
        return write_openvino(graph, source, path), int8
    return write_onnx(graph, path), int8
