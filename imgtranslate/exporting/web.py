"""A folder with a page that runs a model in the browser: the page, the models, the runtime."""

import base64
import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from imgtranslate.engines.any_size import whole_bytes
from imgtranslate.errors import CheckpointError, ImgTranslateError, UsageError
from imgtranslate.exporting.export import LEVELS, ExportResult, export_model
from imgtranslate.exporting.page_norms import with_norms_by_rows
from imgtranslate.files import TEMPORARY_PREFIX, explained
from imgtranslate.images import Pixels
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
from imgtranslate.pages.web import INDEX, page_files
from imgtranslate.translation.translator import Translator, find_model, load

RUNTIME_VERSION = "1.30.0"  # of onnxruntime-web, which the tests run
RUNTIME_FOLDER = "runtime"
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
MEMORY = 2 * 2**30  # bytes of the 4 GiB that WebAssembly can address; weights and copies beside
CHECK_SIDE, CHECK_CODE = 32, 0.5  # px; every number of the code


@dataclass(frozen=True, kw_only=True)
class WebExport:
    """A folder that shows the page, and the proof of each model in it."""

    folder: Path
    size: int  # bytes
    models: tuple[ExportResult, ...]


def export_web(
    model: Path | str,
    output: Path | str,
    *,
    runtime: Path | None,
    proof: Path | None = None,
    overwrite: bool = False,
    notice: Callable[[str], None] = lambda _: None,
) -> WebExport:
    """Write the page of a model file, or of a run in both directions, into the folder ``output``.

    ``runtime``: an unpacked npm package onnxruntime-web. Each model is proven as ``export_model``
    does; ``notice`` hears of each before. Raises ``UsageError`` before anything is written if the
    runtime is not there, if ``output`` cannot be taken or if the pictures have more channels than
    a browser shows; ``ImgTranslateError``, leaving nothing, if a model fails its proof.
    """
    folder = Path(output)
    sources = _sources(model)
    for source in sources:
        _refuse_channels(source, read_model_header(source))
    refuse_web_output(folder, overwrite=overwrite)
    parts = _runtime_parts(runtime)
    with _built_beside(folder) as built:
        models = []
        for source in sources:
            notice(f"exporting {source}, then comparing with the model")
            models.append(_add_model(source, built, proof=proof))
        entries = [entry for _, entry in models]
        for name, text in page_files("browser", entries).items():
            (built / name).write_text(text, encoding="utf-8")
        (built / RUNTIME_FOLDER).mkdir()
        for part in parts:
            shutil.copyfile(part, built / RUNTIME_FOLDER / part.name)
        size = sum(file.stat().st_size for file in built.rglob("*") if file.is_file())
    results = (replace(result, path=folder / result.path.name) for result, _ in models)
    return WebExport(folder=folder, size=size, models=tuple(results))


def refuse_web_output(folder: Path, *, overwrite: bool) -> None:
    """Raise ``UsageError`` if the page cannot go into ``folder``: only a page is replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {folder}: a file. Name a folder for the page")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / INDEX).is_file() or not (folder / RUNTIME_FOLDER).is_dir():
        raise UsageError(f"-o {folder}: holds other files. Name a new folder for the page")
    if not overwrite:
        raise UsageError(f"-o {folder}: exists already. Use --overwrite, or choose another name")


def _sources(model: Path | str) -> list[Path]:
    """The file, or the models of both directions that a run has."""
    path = Path(model)
    sources = [find_model(path)]
    if sources != [path]:  # a run
        with contextlib.suppress(CheckpointError):  # it learnt one way only
            sources.append(find_model(path, direction="ba"))
    return sources


def _runtime_parts(runtime: Path | None) -> list[Path]:
    if runtime is None:
        raise UsageError(
            "--runtime: the page needs onnxruntime-web beside it. Run "
            f'"npm pack onnxruntime-web@{RUNTIME_VERSION}" and '
            f'"tar xzf onnxruntime-web-{RUNTIME_VERSION}.tgz", then add --runtime package'
        )
    for place in (runtime / "dist", runtime / "package" / "dist", runtime):
        if all((place / name).is_file() for name in RUNTIME_FILES):
            return [place / name for name in RUNTIME_FILES]
    raise UsageError(
        f"--runtime {runtime}: no unpacked onnxruntime-web. Name the folder package that "
        f'"npm pack onnxruntime-web@{RUNTIME_VERSION}" unpacks to'
    )


@contextlib.contextmanager
def _built_beside(folder: Path) -> Iterator[Path]:
    """A folder to build in, which takes the place of ``folder`` at the end, or its files theirs."""
    built = folder.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        built.mkdir()
        try:
            yield built
            _take_place(built, folder)
        except ImgTranslateError as error:
            if str(built) not in str(error):
                raise
            raise ImgTranslateError(str(error).replace(str(built), str(folder))) from error
        finally:
            shutil.rmtree(built, ignore_errors=True)


def _take_place(built: Path, folder: Path) -> None:
    if not folder.exists():
        built.rename(folder)
        return
    files = [file for file in built.rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.name == INDEX):
        target = folder / file.relative_to(built)
        target.parent.mkdir(exist_ok=True)
        file.replace(target)


def _add_model(
    source: Path, folder: Path, *, proof: Path | None
) -> tuple[ExportResult, dict[str, Any]]:
    """Export one model into ``folder``; what the page is told of it."""
    header, translator = read_model_header(source), load(source, device="cpu")
    path = folder / f"{header.direction}.onnx"
    expected = _translated_check(translator)
    result = export_for_page(source, path, expected=expected, proof=proof)
    return result, {
        "name": header.direction,
        "direction": header.direction,
        "source": header.source,
        "target": header.target,
        "file": result.path.name,
        "size": result.size,
        "in_channels": header.in_channels,
        "out_channels": header.out_channels,
        "latent_dim": translator.latent_dim,
        "crop_size": header.crop_size,
        "max_pixels": MEMORY // whole_bytes(header),
        "check": {"side": CHECK_SIDE, "expected": base64.b64encode(expected.tobytes()).decode()},
    }


def export_for_page(
    source: Path, path: Path, *, expected: Pixels, proof: Path | None
) -> ExportResult:
    """Export with norms that WebAssembly computes well, and prove both steps.

    ``expected``: what the model makes of ``check_picture``. Raises ``ImgTranslateError``.
    """
    result = export_model(source, path, proof=proof)
    onnx.save(with_norms_by_rows(onnx.load(path)), path)
    found = _translated_check(load(path, device="cpu"))
    largest = int(np.abs(found.astype(int) - expected).max())
    if largest > LEVELS["onnx"].largest:
        raise ImgTranslateError(
            f"{path}: not written: its norms by rows differ from the model's by {largest}/255. "
            "Use --format onnx"
        )
    return replace(result, size=path.stat().st_size)


def _translated_check(translator: Translator) -> Pixels:
    numbers = translator.latent_dim
    code = np.full(numbers, CHECK_CODE, np.float32) if numbers else None
    return translator.translate_pixels(check_picture(translator.header.in_channels), z=code)


def check_picture(channels: int) -> Pixels:
    """The picture on which the page sees whether a GPU computes as it should: worker.js, pattern.

    Of one channel it is the grey that the page makes of the three.
    """
    y, x, c = np.ogrid[:CHECK_SIDE, :CHECK_SIDE, :3]
    colour = (31 * x + 57 * y + 7 * x * y + 101 * c) % 256
    if channels == 1:
        colour = (colour @ np.array([19595, 38470, 7471]) + 0x8000)[..., None] >> 16
    picture: Pixels = colour.astype(np.uint8)
    return picture


def _refuse_channels(source: Path, header: ModelHeader) -> None:
    for channels in (header.in_channels, header.out_channels):
        if channels not in (1, 3):
            raise UsageError(
                f"{source}: pictures of {channels} channels, which a browser does not show. "
                "Use --format onnx"
            )
