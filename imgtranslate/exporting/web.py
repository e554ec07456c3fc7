"""The web export: a folder with a page that runs a model in the browser, models and runtime."""

import base64
import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imgtranslate.engines.any_size import whole_bytes
from imgtranslate.errors import CheckpointError, ImgTranslateError, UsageError
from imgtranslate.exporting.export import ExportResult, export_model
from imgtranslate.files import explained, remove_leftovers, temporary_beside
from imgtranslate.images import Pixels
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
from imgtranslate.pages.web import INDEX, page_files
from imgtranslate.translation.translator import find_model, load

RUNTIME_VERSION = "1.30.0"  # the version of onnxruntime-web that is tested
RUNTIME_FOLDER = "runtime"
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
MEMORY = 2 * 2**30  # bytes for activations; WebAssembly can address 4 GiB
CHECK_SIDE, CHECK_CODE = 32, 0.5  # side in px, and each number of the latent code


@dataclass(frozen=True, kw_only=True)
class WebExport:
    """A written page and the proofs of its models."""

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
    """Write the page for a model file, or for both models of a run, into the folder ``output``.

    ``runtime``: an unpacked npm package onnxruntime-web. Each model is compared as in
    ``export_model``; ``notice`` receives a line before each. Raises ``UsageError`` before anything
    is written if the runtime is missing, if ``output`` contains other files, or if a browser cannot
    display pictures with these channels. Raises ``ImgTranslateError`` and leaves nothing if an
    export differs from its model.
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
    """Raise ``UsageError`` unless ``folder`` is new, empty, or a page that may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"`output` {folder}: a file. Name a folder for the page")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / INDEX).is_file() or not (folder / RUNTIME_FOLDER).is_dir():
        raise UsageError(f"`output` {folder}: contains other files. Name a new folder for the page")
    if not overwrite:
        raise UsageError(
            f"`output` {folder}: already exists. Use `overwrite`, or choose another name"
        )


def _sources(model: Path | str) -> list[Path]:
    """List the model file, or the models of a run in both directions."""
    path = Path(model)
    sources = [find_model(path)]
    if sources != [path]:  # a run
        with contextlib.suppress(CheckpointError):  # trained in one direction only
            sources.append(find_model(path, direction="ba"))
    return sources


def _runtime_parts(runtime: Path | None) -> list[Path]:
    if runtime is None:
        raise UsageError(
            "`runtime`: not given, but the page needs onnxruntime-web. Run "
            f'"npm pack onnxruntime-web@{RUNTIME_VERSION}" and '
            f'"tar xzf onnxruntime-web-{RUNTIME_VERSION}.tgz", then add `runtime` package'
        )
    for place in (runtime / "dist", runtime / "package" / "dist", runtime):
        if all((place / name).is_file() for name in RUNTIME_FILES):
            return [place / name for name in RUNTIME_FILES]
    raise UsageError(
        f"`runtime` {runtime}: does not contain onnxruntime-web. Name the folder package, unpacked "
        f'from the archive of "npm pack onnxruntime-web@{RUNTIME_VERSION}"'
    )


@contextlib.contextmanager
def _built_beside(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder, whose files move to ``folder`` on success."""
    built = temporary_beside(folder)
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent)
        built.mkdir()
        try:
            yield built
            _move_into_place(built, folder)
        except ImgTranslateError as error:
            if str(built) not in str(error):
                raise
            raise ImgTranslateError(str(error).replace(str(built), str(folder))) from error
        finally:
            shutil.rmtree(built, ignore_errors=True)


def _move_into_place(built: Path, folder: Path) -> None:
    """Rename the folder, or move its files into an existing one, the HTML page last."""
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
    """Export one model into ``folder``, and return its description for the page."""
    header = read_model_header(source)
    translator = load(source, device="cpu", engine="torch")
    path = folder / f"{header.direction}.onnx"
    result = export_model(source, path, proof=proof)
    code = np.full(translator.latent_dim, CHECK_CODE, np.float32) if translator.latent_dim else None
    check = translator.translate_pixels(check_picture(header.in_channels), z=code)
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
        "check": {"side": CHECK_SIDE, "expected": base64.b64encode(check.tobytes()).decode()},
    }


def check_picture(channels: int) -> Pixels:
    """Draw the picture on which the page compares a GPU with the model (``pattern`` in worker.js).

    With one channel the picture is grey, converted from colour in the same way as on the page.
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
                f"{source}: has {channels} channels, but a browser shows 1 or 3. Use `format` onnx"
            )
