"""What kind of export a file is; it stands in the file beside the model's header."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.onnx_metadata import read_onnx_metadata
from imgtranslate.model_files.openvino_folder import is_openvino, read_openvino_metadata
from imgtranslate.model_files.pt2_metadata import is_pt2, read_pt2_metadata
from imgtranslate.settings.config import Section, latent_dim, to_tree

FORM_KEY = "imgtranslate_export"  # in the metadata
IMAGE, CODE, TRANSLATED = "image", "z", "translated"  # names of inputs and outputs
MEAN, LOG_VARIANCE = "z_mean", "z_log_variance"
Format = Literal["onnx", "onnx-fp16", "onnx-int8", "pt2", "openvino", "openvino-int8", "web"]


@dataclass(frozen=True, kw_only=True)
class ExportForm(Section):
    """How numbers are stored, which network it is, and what pixels it takes and gives."""

    format: Format = "onnx"
    what: Literal["generator", "encoder"] = "generator"
    io: Literal["float", "uint8"] = "float"  # (n, c, h, w) in [-1, 1], or (n, h, w, c)

    @property
    def is_int8(self) -> bool:
        """Whether convolutions are in 8 bits."""
        return self.format in ("onnx-int8", "openvino-int8")

    @property
    def is_openvino(self) -> bool:
        """Whether it is a folder for OpenVINO."""
        return self.format in ("openvino", "openvino-int8")


@dataclass(frozen=True, kw_only=True)
class Border:
    """The names of inputs and outputs, each with how many channels or numbers it has."""

    inputs: dict[str, int]
    outputs: dict[str, int]


def border_of(header: ModelHeader, form: ExportForm) -> Border:
    """What the export of a model takes and gives; an encoder takes pictures of the target."""
    numbers = latent_dim(header.generator)
    if form.what == "encoder":
        outputs = {MEAN: numbers, LOG_VARIANCE: numbers}
        return Border(inputs={IMAGE: header.out_channels}, outputs=outputs)
    code = {CODE: numbers} if numbers else {}
    return Border(
        inputs={IMAGE: header.in_channels, **code}, outputs={TRANSLATED: header.out_channels}
    )


def form_json(form: ExportForm) -> str:
    """The JSON that files carry; the same form gives the same bytes."""
    return json.dumps(to_tree(form), sort_keys=True)


def read_export_form(path: Path) -> ExportForm:
    """Read the form of an export whose header is known to be ours.

    Raises ``CheckpointError`` if it is damaged.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(ExportForm).validate_json(_metadata(path).get(FORM_KEY, "{}"))
    except (OSError, ValueError, ValidationError) as error:
        raise CheckpointError(
            f"{path}: what it says of its form is damaged. Use another copy of the file"
        ) from error


def _metadata(path: Path) -> dict[str, str]:
    if is_openvino(path):
        return read_openvino_metadata(path)
    return read_pt2_metadata(path) if is_pt2(path) else read_onnx_metadata(path)
