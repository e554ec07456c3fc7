"""The import of published weights as a model file."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from imgtranslate._version import __version__
from imgtranslate.errors import CheckpointError, UsageError, counted, one_line
from imgtranslate.files import explained
from imgtranslate.model_files.checkpoint import (
    ENCODER_PREFIX,
    ModelHeader,
    header_json,
    parse_model_header,
    save,
)
from imgtranslate.model_files.foreign_weights import read_networks, read_weights
from imgtranslate.model_files.published import (
    recognise_encoder,
    recognise_generator,
    with_picture_statistics,
)
from imgtranslate.settings.config import Direction, Padding
from imgtranslate.settings.config import latent_dim as latent_dim_of

Statistics = Literal["training", "picture"]

_BACKWARDS = re.compile(r"G_B$|B2A|BtoA|G_BA")
_MEMBER = re.compile(r"(?!model\.|module\.)([^.]+)\.((?:module\.)?model\..*)")
_WANTED = "the latest_net_G….pth of a reference repository"


def import_weights(
    file: Path | str,
    output: Path | str,
    *,
    encoder: Path | str | None = None,
    network: str | None = None,
    latent_dim: int | None = None,
    padding: Padding | None = None,
    statistics: Statistics = "training",
    direction: Direction | None = None,
    source: str = "a",
    target: str = "b",
    overwrite: bool = False,
) -> ModelHeader:
    """Convert a generator of the reference repositories to a model file.

    ``encoder``: the encoder of BicycleGAN, stored in the same file. ``network``: the name of the
    generator in a file of several networks. ``padding`` of a ResNet that is not laid out as the
    published ones. ``statistics`` of batch norm: those of the training, or those of each picture as
    in the test script of the reference. ``direction``: by default that of the names of the file and
    of the network, where ``net_G_B`` and ``G_B2A`` are B to A. Raises ``UsageError`` or
    ``CheckpointError`` before anything is written.
    """
    path, place = Path(file), Path(output)
    _refuse_output(place, overwrite=overwrite)
    name, state = _read_generator(path, network)
    backwards = _BACKWARDS.search(path.stem) or _BACKWARDS.search(name)
    with _explained(path):
        published = recognise_generator(state, latent_dim=latent_dim, padding=padding)
        if statistics == "picture":
            published = with_picture_statistics(published)
    header = ModelHeader(
        generator=published.config,
        in_channels=published.in_channels,
        out_channels=published.out_channels,
        direction=direction or ("ba" if backwards else "ab"),
        source=source,
        target=target,
        load_size=286,
        crop_size=256,
        method=published.method,
        step=0,
        versions={"imgtranslate": __version__, "torch": str(torch.__version__)},
        licence="Weights published by others; their licence applies.",
    )
    tensors = published.tensors
    if encoder is not None:
        header, tensors = _with_encoder(header, tensors, Path(encoder))
    _refuse_unusable(header, path)
    with explained(place):
        place.parent.mkdir(parents=True, exist_ok=True)
    save(place, tensors, header)
    return header


def _read_generator(path: Path, network: str | None) -> tuple[str, dict[str, Tensor]]:
    """Read name and state dict of a generator, the only one or the ``network``.

    A state dict of several networks is divided by the prefixes of its names: ``G_A2B.model.0``.
    """
    networks: dict[str, dict[str, Tensor]] = {}
    for name, state in read_networks(path, wanted=_WANTED).items():
        matches = {key: _MEMBER.fullmatch(key) for key in state}
        for key, tensor in state.items():
            match = matches[key] if all(matches.values()) else None
            member, own = match.groups() if match else (name, key)
            networks.setdefault(member, {})[own] = tensor
    names = ", ".join(networks)[:300]
    if not networks:
        raise CheckpointError(f"{path}: contains no weights of a generator. Give {_WANTED}")
    if network is None and len(networks) > 1:
        raise UsageError(
            f"{path}: contains several networks: {names}. Give `network` {next(iter(networks))}"
        )
    if network is not None and network not in networks:
        raise UsageError(f"`network` {network}: not in {path}. Choose from {names or 'none'}")
    name = network or next(iter(networks))
    return name, networks[name]


def _with_encoder(
    header: ModelHeader, tensors: dict[str, Tensor], path: Path
) -> tuple[ModelHeader, dict[str, Tensor]]:
    state = read_weights(path, wanted=_WANTED)
    with _explained(path):
        found = recognise_encoder(state)
    numbers = latent_dim_of(header.generator)
    if (found.latent_dim, found.in_channels) != (numbers, header.out_channels):
        raise CheckpointError(
            f"`encoder` {path}: reads a code of {found.latent_dim} from "
            f"{counted(found.in_channels, 'channel')}, but the generator has a code of {numbers} "
            f"and {counted(header.out_channels, 'channel')}. Give the encoder of this generator"
        )
    own = {f"{ENCODER_PREFIX}{name}": tensor for name, tensor in found.tensors.items()}
    return replace(header, encoder=found.config), tensors | own


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Name the file in errors; other errors come from shapes that no layer has."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {one_line(str(error), most=400)}") from error
    except (IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: not a network of the reference repositories. Give a latest_net_G….pth or "
            "net_E"
        ) from error


def _refuse_unusable(header: ModelHeader, path: Path) -> None:
    """Refuse a header that could not be read: sizes beyond the limits, names not in Unicode."""
    try:
        parse_model_header(json.loads(header_json(header)), path)
    except CheckpointError as error:
        why = str(error).partition("damaged: ")[2].partition(". Use another")[0]
        raise CheckpointError(
            f"{path}: cannot be imported: {why}. Give other weights, or other names"
        ) from error


def _refuse_output(place: Path, *, overwrite: bool) -> None:
    if place.is_dir():
        raise UsageError(
            f"`output` {place}: a folder. Name a file, such as `output` {place / 'ab.safetensors'}"
        )
    if place.suffix != ".safetensors":
        name = place.with_suffix(".safetensors")
        raise UsageError(f"`output` {place}: does not end in .safetensors. Use `output` {name}")
    if place.exists() and not overwrite:
        raise UsageError(
            f"`output` {place}: already exists. Use `overwrite`, or choose another name"
        )
