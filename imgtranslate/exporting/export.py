"""Export: a model as a file that other programs run, proven before it is kept."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from imgtranslate.engines.openvino_runtime import import_openvino
from imgtranslate.errors import UsageError
from imgtranslate.exporting import standalone_code
from imgtranslate.exporting.calibration import Calibration, Precision, write_int8
from imgtranslate.exporting.fp16 import in_half
from imgtranslate.exporting.onnx import write_onnx
from imgtranslate.exporting.openvino import write_openvino, write_openvino_int8
from imgtranslate.exporting.original import Original, load_original
from imgtranslate.exporting.pictures import calibration_for
from imgtranslate.exporting.proof import Proof, ProofPicture, Tolerance, prove, refuse_different
from imgtranslate.exporting.proof_pictures import picture_for
from imgtranslate.exporting.pt2 import write_pt2
from imgtranslate.exporting.runs import Exported, run_of_export, run_of_model
from imgtranslate.files import explained, replacing, replacing_folder
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_files import is_export, is_openvino
from imgtranslate.model_files.export_header import IMAGE, ExportForm, border_of
from imgtranslate.settings.config import to_tree
from imgtranslate.translation.translator import find_model

EXACT = Tolerance(largest=1, mean=0.1)
INT8 = Tolerance(largest=255, mean=32)  # noise is far from what it is calibrated on
LEVELS = {
    "onnx": EXACT,
    "onnx-fp16": Tolerance(largest=8, mean=0.5),
    "onnx-int8": INT8,
    "openvino": EXACT,
    "openvino-int8": INT8,
    "pt2": EXACT,
}
EXACT_CODE = Tolerance(largest=1e-3, mean=1e-4, of_codes=True)
CODES = {
    "onnx": EXACT_CODE,
    "onnx-fp16": Tolerance(largest=0.05, mean=0.01, of_codes=True),
    "openvino": EXACT_CODE,
    "pt2": EXACT_CODE,
}
SUFFIXES = {"onnx": ".onnx", "onnx-fp16": ".onnx", "onnx-int8": ".onnx", "pt2": ".pt2"}
LARGEST_FILE = 2**31 - 1  # bytes, protobuf's limit
FLOAT = ExportForm()
MIN_PSNR = 30.0  # dB


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported file and the proof that it does what the model does."""

    path: Path
    size: int  # bytes
    header: ModelHeader
    form: ExportForm
    proof: Proof
    precision: Precision | None = None  # of 8 bits

    @property
    def lines(self) -> str:
        """The lines of Python that run the file without imgtranslate."""
        return standalone_code.lines(self.path, self.header, self.form)


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
    """Write a model file, or a run's A to B, for other programs; run both before it is kept.

    Batch, height and width are free: the mirroring to what the network takes and the cut are
    inside. A model with a code takes it as a second input, ``z`` (n, latent_dim). The model's
    header travels in the file. ``proof``: a picture to compare on, beside noise.
    In 8 bits it is calibrated on the pictures of the folder ``calibrate``, else on the run's own;
    ``notice`` is told how far that is.

    Raises ``UsageError`` if ``output`` cannot be taken, and ``ImgTranslateError``, leaving no
    file, if the result differs by more than the format may, or by a PSNR below ``min_psnr`` (dB).
    """
    path, source = Path(output), find_model(model)
    refuse_output(path, form=form, overwrite=overwrite)
    if is_export(source):
        raise UsageError(f"--model {source}: an export already. Name the .safetensors model")
    if form.is_int8 and form.what == "encoder":
        raise UsageError("--what encoder: int8 is for generators. Use --format onnx")
    original = load_original(source, form)
    _refuse_too_large(source)
    picture = picture_for(
        source,
        letter=_letter(original),
        channels=border_of(original.header, form).inputs[IMAGE],
        given=proof,
    )
    calibration = _calibration(original, calibrate, min_psnr=min_psnr, notice=notice)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(path) if form.is_openvino else replacing(path) as temporary:
        exported, precision = _write(original, temporary, calibration)
        found = _prove(exported, original, picture)
        refuse_different(path, found)
    return ExportResult(
        path=path,
        size=sum(file.stat().st_size for file in (path, *path.glob("*")) if file.is_file()),
        header=original.header,
        form=form,
        proof=found,
        precision=precision,
    )


def refuse_output(path: Path, *, form: ExportForm = FLOAT, overwrite: bool) -> None:
    """Raise ``UsageError`` if an export cannot go to ``path``."""
    if form.is_openvino:
        _refuse_folder(path, overwrite=overwrite)
        return
    suffix = SUFFIXES[form.format]
    if path.is_dir():
        raise UsageError(f"-o {path}: a folder. Name a file, as in -o {path / f'ab{suffix}'}")
    if path.suffix.lower() != suffix:
        kind = "an ONNX" if suffix == ".onnx" else f"a {suffix}"
        raise UsageError(f"-o {path}: not {kind} name. Use -o {path.with_suffix(suffix)}")
    if path.exists() and not overwrite:
        raise UsageError(f"-o {path}: exists already. Use --overwrite, or choose another name")


def _refuse_folder(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not is_openvino(path):
        raise UsageError(f"-o {path}: there is something else. Choose another name for a folder")
    if path.exists() and not overwrite:
        raise UsageError(f"-o {path}: exists already. Use --overwrite, or choose another name")
    import_openvino()


def report_of(result: ExportResult) -> dict[str, Any]:
    """What was exported and how it was proven, with plain values."""
    return {
        "path": str(result.path),
        "bytes": result.size,
        **to_tree(result.form),
        "proof": asdict(result.proof),
        "speed_ratio": result.proof.speed.ratio,
        "precision": None if result.precision is None else asdict(result.precision),
        "header": to_tree(result.header),
    }


def _calibration(
    original: Original,
    folder: Path | None,
    *,
    min_psnr: float,
    notice: Callable[[str], None],
) -> Calibration | None:
    """Pictures for a format in 8 bits, nothing for another."""
    if not original.form.is_int8:
        return None
    return calibration_for(
        original.source,
        letter=_letter(original),
        channels=border_of(original.header, original.form).inputs[IMAGE],
        folder=folder,
        min_psnr=min_psnr,
        notice=notice,
    )


def _write(
    original: Original, path: Path, calibration: Calibration | None
) -> tuple[Exported, Precision | None]:
    match original.form.format:
        case "onnx":
            return write_onnx(original, path), None
        case "onnx-fp16":
            return write_onnx(replace(original, bare=in_half(original.bare)), path), None
        case "onnx-int8" if calibration:
            return write_int8(original, path, calibration)
        case "openvino":
            return write_openvino(original, path), None
        case "openvino-int8" if calibration:
            return write_openvino_int8(original, path, calibration)
        case "pt2":
            return write_pt2(original, path), None
        case other:
            raise ValueError(f"an export as {other} that nothing was measured for")


def _prove(exported: Exported, original: Original, picture: ProofPicture) -> Proof:
    form = original.form
    return prove(
        run_of_export(exported, original),
        run_of_model(original),
        picture=picture,
        crop=original.header.crop_size,
        tolerance=CODES[form.format] if form.what == "encoder" else LEVELS[form.format],
    )


def _letter(original: Original) -> str:
    """The domain whose pictures the network takes."""
    return original.header.direction[original.form.what == "encoder"]


def _refuse_too_large(source: Path) -> None:
    if source.stat().st_size > LARGEST_FILE:
        raise UsageError(
            f"{source}: more than 2 GB, which one ONNX file cannot hold. "
            "Train with a smaller --base-channels"
        )
