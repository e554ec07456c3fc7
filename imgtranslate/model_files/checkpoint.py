"""Checkpoints: safetensors files with a header that describes the network completely.

There are two kinds: a model to use (``ab.safetensors``), and a training state to resume
(``state.safetensors``). The header is JSON under one metadata key, so that it can be read without
tensors and torch. Pickles are neither read nor written.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval
from numpy.typing import NDArray

from imgtranslate.errors import CheckpointError, counted, one_line
from imgtranslate.files import replacing
from imgtranslate.model_files.export_files import (
    is_export,
    is_onnx,
    is_openvino,
    is_pt2,
    read_export_metadata,
)
from imgtranslate.settings.config import (
    Count,
    CountOrZero,
    Direction,
    EncoderConfig,
    GeneratorConfig,
    PictureChannels,
    ResnetConfig,
    Section,
    Side,
    UnetConfig,
    latent_dim,
    to_tree,
)

if TYPE_CHECKING:
    from torch import Tensor

METADATA_KEY = "imgtranslate"
Layout = dict[str, tuple[str, tuple[int, ...]]]  # dtype in the notation of safetensors, and shape
FORMAT_VERSION = 1
ENCODER_PREFIX = "encoder."  # prefix of the tensors of the encoder
LICENCE_NOTE = "Trained on the pictures of its maker, whose licences decide whether you may use it."


@dataclass(frozen=True, kw_only=True)
class ModelHeader(Section):
    """The header of a model file, which is sufficient to build and run its network."""

    kind: Literal["generator"] = "generator"
    format_version: Annotated[int, Interval(ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    generator: GeneratorConfig
    encoder: EncoderConfig | None = None  # its tensors have the prefix ENCODER_PREFIX
    in_channels: PictureChannels
    out_channels: PictureChannels
    direction: Direction
    source: str  # names of the domains
    target: str
    load_size: Side  # px, in the training
    crop_size: Side
    value_range: tuple[float, float] = (-1.0, 1.0)
    method: str
    step: CountOrZero
    versions: dict[str, str] = field(default_factory=dict)
    licence: str = LICENCE_NOTE

    @property
    def architecture(self) -> str:
        """The description of the network in one line."""
        generator = self.generator
        match generator:
            case ResnetConfig():
                kind = f"ResNet, {counted(generator.num_blocks, 'block')}"
                kind += ", antialiased" if generator.antialias else ""
            case UnetConfig():
                kind = f"UNet, depth {generator.depth}"
                if generator.latent_dim:
                    kind += f", code z of {generator.latent_dim} at {generator.z_at}"
        encoder = ", with encoder" if self.encoder else ""
        return (
            f"{kind}, {counted(generator.base_channels, 'channel')} wide, {generator.norm} norm, "
            f"{self.in_channels} to {counted(self.out_channels, 'channel')}{encoder}"
        )


@dataclass(frozen=True, kw_only=True)
class StateHeader(Section):
    """The header of a training state; the settings are in ``config.toml`` of the run."""

    kind: Literal["state"] = "state"
    format_version: Annotated[int, Interval(ge=1, le=FORMAT_VERSION)] = FORMAT_VERSION
    step: CountOrZero
    positions: CountOrZero  # samples seen so far
    parameters: Count


def read_model_header(path: Path) -> ModelHeader:
    """Read the header of a model or an export, without its tensors.

    Raises ``CheckpointError`` if the file is missing, damaged, foreign or of a newer format.
    """
    metadata = _read_metadata(path)
    if metadata.get("kind") == "state":
        raise CheckpointError(
            f"{path}: a training state, not a model. Use ab.safetensors of the same run"
        )
    return parse_model_header(metadata, path)


def parse_model_header(metadata: Mapping[str, Any], path: Path) -> ModelHeader:
    """Validate the JSON of the header in ``path``, a checkpoint or an export."""
    header: ModelHeader = _parse(ModelHeader, metadata, path)
    z_at = header.generator.z_at if isinstance(header.generator, UnetConfig) else "none"
    if (latent_dim(header.generator) == 0) != (z_at == "none"):
        raise _damaged_header(path, "generator: latent_dim and z_at contradict each other")
    if header.encoder is not None and z_at == "none":
        raise _damaged_header(path, "encoder: the generator takes no latent code")
    return header


def read_state_header(path: Path) -> StateHeader:
    """Read the header of a training state, without its tensors."""
    metadata = _read_metadata(path)
    if metadata.get("kind") == "generator":
        raise CheckpointError(f"{path}: a model, not a training state. Use it as `model`")
    header: StateHeader = _parse(StateHeader, metadata, path)
    return header


def header_json(header: Section) -> str:
    """Write the header as JSON; the same header gives the same bytes."""
    return json.dumps(to_tree(header), sort_keys=True)


def save(path: Path, tensors: Mapping[str, "Tensor"], header: Section) -> None:
    """Write a checkpoint atomically.

    Raises ``ImgTranslateError`` if it cannot be written; a file at ``path`` is then unchanged.
    """
    from safetensors.torch import save as serialise

    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content = serialise(tensors, metadata={METADATA_KEY: header_json(header)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_layout(path: Path) -> Layout:
    """Read name, dtype and shape of the tensors of a checkpoint, without loading them."""
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}


def kind_of(path: Path) -> Literal["model", "export", "state"]:
    """Return the kind of a file of imgtranslate. Raises ``CheckpointError`` for other files."""
    if is_export(path):
        return "export"
    return "state" if _read_metadata(path).get("kind") == "state" else "model"


def load_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read all tensors of a checkpoint onto the CPU.

    Raises ``CheckpointError`` if the file is missing, damaged or not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if is_export(path):
        raise CheckpointError(f"{path}: an export, not a checkpoint. Name the .safetensors model")
    _refuse_special(path)
    try:
        return load_file(path)
    except (OSError, SafetensorError, KeyError) as error:  # KeyError: a dtype unknown to torch
        raise _unreadable(path, error) from error


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read all tensors of a checkpoint as arrays, without torch. Raises ``CheckpointError``."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _read_metadata(path: Path) -> dict[str, Any]:
    if is_export(path):
        _refuse_special(path)
        try:
            metadata = read_export_metadata(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
    else:
        with _opened(path) as file:
            metadata = file.metadata() or {}
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path}: not a file of imgtranslate, as it has no header. "
            "Give an ab.safetensors that `imgtranslate train` wrote, or an export of it"
        )
    return _parse_json(metadata[METADATA_KEY], path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file for partial reading."""
    from safetensors import SafetensorError, safe_open

    _refuse_special(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from error


def _parse_json(text: str, path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged_header(path, "not valid JSON") from error
    if not isinstance(metadata, dict):
        raise _damaged_header(path, "not a JSON object")
    return metadata


def _parse(cls: type[Any], metadata: Mapping[str, Any], path: Path) -> Any:
    from pydantic import TypeAdapter, ValidationError

    version = metadata.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: has format {version} of a newer imgtranslate; this version reads up to "
            f"{FORMAT_VERSION}. Upgrade with pip install -U imgtranslate"
        )
    try:
        return TypeAdapter(cls).validate_json(json.dumps(metadata))
    except ValidationError as error:
        faults = error.errors()  # for a union, pydantic also lists faults of the other kinds
        fault = next((f for f in faults if f["loc"][-1:] != ("kind",)), faults[0])
        where = ".".join(str(part) for part in fault["loc"])[:100]
        raise _damaged_header(path, f"{where}: {fault['msg']}".removeprefix(": ")) from error


def _refuse_special(path: Path) -> None:
    """Refuse a pipe, which would block, and a device, which may be endless."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise CheckpointError(f"{path}: a pipe or a device. Name a .safetensors file")


def _damaged_header(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: its header is damaged: {one_line(why)}. Use another copy of the file"
    )


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if not path.exists():
        return CheckpointError(
            f"{path}: no such file. Name a .safetensors file or the folder of a run"
        )
    if path.is_dir() and not is_openvino(path):
        return CheckpointError(f"{path}: a folder, not a file. Name a .safetensors file")
    return CheckpointError(
        f"{path}: not {_kind_of(path)} file, or damaged: {one_line(str(error))}. "
        "Use another copy of the file"
    )


def _kind_of(path: Path) -> str:
    if is_openvino(path):
        return "an OpenVINO"
    return "an ONNX" if is_onnx(path) else "a .pt2" if is_pt2(path) else "a safetensors"
