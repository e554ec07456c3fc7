"""Exports in ONNX Runtime or OpenVINO: a generator, optionally with an encoder, without torch."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from imgtranslate.engines.engine import Ports, explained_shortage
from imgtranslate.errors import CheckpointError, UsageError, one_line
from imgtranslate.images import Codes, Values, to_network, to_pixels
from imgtranslate.model_files.checkpoint import ModelHeader, read_model_header
from imgtranslate.model_files.export_files import is_onnx, refuse_foreign_graph
from imgtranslate.model_files.export_header import (
    CODE,
    IMAGE,
    LOG_VARIANCE,
    MEAN,
    TRANSLATED,
    ExportForm,
    border_of,
    read_export_form,
)
from imgtranslate.settings.config import latent_dim

if TYPE_CHECKING:
    from imgtranslate.engines.onnx_runtime import OnnxRuntime
    from imgtranslate.engines.openvino_runtime import OpenvinoRuntime


@final
class ExportEngine:
    """A generator or an encoder that ``imgtranslate export`` wrote."""

    def __init__(
        self,
        runtime: "OnnxRuntime | OpenvinoRuntime",
        *,
        header: ModelHeader,
        form: ExportForm,
        path: Path,
    ) -> None:
        self.header = header
        self.device = runtime.device
        self.runtime = runtime.name
        self._runtime = runtime
        self._form = form
        self._path = path
        self._encoder: ExportEngine | None = None

    @classmethod
    def load(cls, path: Path, *, device: str = "auto", openvino: bool = False) -> "ExportEngine":
        """Load one export. ``openvino``: run an .onnx file in OpenVINO.

        Raises ``CheckpointError``, and ``UsageError`` for the device or without OpenVINO.
        """
        header, form = read_model_header(path), read_export_form(path)
        if form.what == "generator":
            header = replace(header, encoder=None)  # the export of a generator contains none
        try:
            refuse_foreign_graph(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path}: not what `imgtranslate export` writes: {error}. "
                "Use another copy of the file"
            ) from error
        loaded = _load_runtime(path, device=device, openvino=openvino)
        if _described(loaded.ports, form) != _expected(header, form):
            raise CheckpointError(
                f"{path}: its graph does not fit its header. Use another copy of the file"
            )
        return cls(loaded, header=header, form=form, path=path)

    @classmethod
    def load_generator(
        cls,
        path: Path,
        *,
        device: str = "auto",
        openvino: bool = False,
        encoder: Path | None = None,
    ) -> "ExportEngine":
        """Load a generator, and an ``encoder`` from another .onnx file if given.

        Raises ``UsageError`` if the two do not belong to the same model.
        """
        if encoder is None:
            generator = cls.load(path, device=device, openvino=openvino)
            if generator._form.what == "encoder":
                raise CheckpointError(
                    f"{path}: an encoder, which reads codes but does not translate. Name the "
                    "export of a generator"
                )
            return generator
        if openvino or not is_onnx(path):
            raise UsageError(
                f"`encoder` {encoder}: works in ONNX Runtime only. Use an .onnx model and `engine` "
                "onnx"
            )
        if not is_onnx(encoder):
            raise UsageError(
                f"`encoder` {encoder}: not an .onnx file. Export it with `format` onnx"
            )
        generator, reader = cls.load(path, device=device), cls.load(encoder, device=device)
        if (generator._form.what, reader._form.what) != ("generator", "encoder"):
            raise UsageError(
                f"`encoder` {encoder}: needs a generator as `model` and an encoder as `encoder`. "
                "Export an encoder with `what` encoder"
            )
        if _code_and_target(generator.header) != _code_and_target(reader.header):
            raise UsageError(
                f"`encoder` {encoder}: its codes or pictures differ from those of {path}. "
                "Export both from the same model"
            )
        generator.header = replace(generator.header, encoder=reader.header.encoder)
        generator._encoder = reader
        return generator

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] to (n, out, h, w). ``z``: (n, latent_dim).

        An export with uint8 pixels rounds all values to 8 bits.
        """
        output: Values = self._answer(values, {} if z is None else {CODE: z})[TRANSLATED]
        if self._form.io == "uint8":
            output = np.stack([to_network(picture) for picture in output])
        if output.shape != (len(values), self.header.out_channels, *values.shape[-2:]):
            raise self._failed("its graph returns pictures of another size")
        return output

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise."""
        return (self._encoder or self).encode_distribution(values)[0]

    def encode_distribution(self, values: Values) -> tuple[Codes, Codes]:
        """Read mean and log variance of the codes, (n, latent_dim) each.

        Raises ``CheckpointError`` if this is a generator.
        """
        if self._form.what == "generator":
            raise CheckpointError(
                "style: needs an encoder, which this export lacks. Use the .safetensors model"
            )
        answer = self._answer(values, {})
        mean, log_variance = answer[MEAN], answer[LOG_VARIANCE]
        if not mean.shape == log_variance.shape == (len(values), latent_dim(self.header.generator)):
            raise self._failed("its graph returns codes of another length")
        return mean, log_variance

    def _answer(self, values: Values, code: dict[str, Codes]) -> dict[str, Any]:
        image = values
        if self._form.io == "uint8":
            image = np.stack([to_pixels(picture) for picture in values])  # (n, h, w, c)
        try:
            with explained_shortage(values.shape[-2:]):
                return self._runtime.run({IMAGE: image, **code})
        except RuntimeError as error:
            raise self._failed(f"its graph fails: {error}") from error

    def _failed(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self._path}: {one_line(why, most=200)}. Export it again")


def _code_and_target(header: ModelHeader) -> tuple[int, int]:
    return latent_dim(header.generator), header.out_channels


def _load_runtime(path: Path, *, device: str, openvino: bool) -> "OnnxRuntime | OpenvinoRuntime":
    if openvino or not is_onnx(path):
        from imgtranslate.engines.openvino_runtime import OpenvinoRuntime

        return OpenvinoRuntime(path, device=device)
    from imgtranslate.engines.onnx_runtime import OnnxRuntime

    return OnnxRuntime(path, device=device)


Described = dict[str, tuple[Any, int, str]]  # by name: channels or length of a code, rank and dtype


def _described(ports: Ports, form: ExportForm) -> Described:
    found: Described = {}
    for name, (shape, dtype) in ports.items():
        last = form.io == "uint8" and len(shape) == 4
        channels = shape[-1 if last else 1] if len(shape) > 1 else None
        found[name] = (channels, len(shape), dtype)
    return found


def _expected(header: ModelHeader, form: ExportForm) -> Described:
    border = border_of(header, form)
    pixels = "uint8" if form.io == "uint8" else "float32"
    return {
        name: (count, 4, pixels) if name in (IMAGE, TRANSLATED) else (count, 2, "float32")
        for name, count in {**border.inputs, **border.outputs}.items()
    }
