"""The form of an export, format, network and pixels, stored beside the header of the model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_files import read_export_metadata
from imgtranslate.settings.config import Section, latent_dim, to_tree

FORM_KEY = "imgtranslate_export"  # key in the metadata
IMAGE, CODE, TRANSLATED = "image", "z", "translated"  # names of inputs and outputs
MEAN, LOG_VARIANCE = "z_mean", "z_log_variance"
Network = Literal["generator", "encoder"]
Values = Literal["float", "uint8"]
Format = Literal["onnx", "onnx-int8", "onnx-fp16", "pt2", "openvino", "openvino-int8", "web"]


@dataclass(frozen=True, kw_only=True)
class ExportForm(Section):
    """The format of an export, its network, and the pixels of its inputs and outputs."""

    format: Format = "onnx"
    what: Network = "generator"
    io: Values = "float"  # (n, c, h, w) in [-1, 1], or (n, h, w, c)

    @property
    def is_int8(self) -> bool:
        """True if convolutions are in 8 bits."""
        return self.format in ("onnx-int8", "openvino-int8")

    @property
    def is_openvino(self) -> bool:
        """True if it is a folder for OpenVINO."""
        return self.format in ("openvino", "openvino-int8")


@dataclass(frozen=True, kw_only=True)
class Border:
    """The inputs and outputs of an export by name, with their channels or code length."""

    inputs: dict[str, int]
    outputs: dict[str, int]


def border_of(header: ModelHeader, form: ExportForm) -> Border:
    """Return the inputs and outputs of an export; an encoder takes pictures of the target."""
    numbers = latent_dim(header.generator)
    if form.what == "encoder":
        outputs = {MEAN: numbers, LOG_VARIANCE: numbers}
        return Border(inputs={IMAGE: header.out_channels}, outputs=outputs)
    code = {CODE: numbers} if numbers else {}
    return Border(
        inputs={IMAGE: header.in_channels, **code}, outputs={TRANSLATED: header.out_channels}
    )


def form_json(form: ExportForm) -> str:
    """Write the form as JSON; the same form gives the same bytes."""
    return json.dumps(to_tree(form), sort_keys=True)


def read_export_form(path: Path) -> ExportForm:
    """Read the form of an export of imgtranslate.

    Raises ``CheckpointError`` if it is damaged.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(ExportForm).validate_json(read_export_metadata(path).get(FORM_KEY, "{}"))
    except (OSError, ValueError, ValidationError) as error:
        raise CheckpointError(
            f"{path}: the form in its metadata is damaged. Use another copy of the file"
        ) from error
