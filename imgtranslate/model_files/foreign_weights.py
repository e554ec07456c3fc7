"""Weights saved by other programs, read as tensors only, without running code in the file."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.torch_archive import opened_archive

Tensors = dict[str, Tensor]

_MOST_TENSORS = 10_000


def read_weights(path: Path, *, wanted: str, option: str = "") -> Tensors:
    """Read the state dict of one network that was written by ``torch.save``.

    Raises ``CheckpointError`` for any other file. The message begins with ``option`` and names the
    ``wanted`` file.
    """
    networks = read_networks(path, wanted=wanted, option=option)
    if len(networks) != 1:
        named = f"{option} {path}".lstrip()
        raise CheckpointError(
            f"{named}: contains more than the weights of one network. Give {wanted}"
        )
    return next(iter(networks.values()))


def read_networks(path: Path, *, wanted: str, option: str = "") -> dict[str, Tensors]:
    """Read the state dicts in a file that was written by ``torch.save``, by name.

    They may be in dictionaries of any depth. Raises ``CheckpointError`` for any other file, and for
    tensors that share or repeat their numbers, which would take more memory than the file.
    """
    named = f"{option} {path}".lstrip()
    if not path.is_file():
        raise CheckpointError(f"{named}: no such file. Give {wanted}")
    try:
        if _is_zip(path):
            with opened_archive(path):  # refuses compressed entries, which torch would decompress
                pass
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file may raise any error
        raise CheckpointError(
            f"{named}: not a file of plain weights, as torch.save writes them. Give {wanted}"
        ) from error
    networks = _state_dicts(content)
    tensors = [tensor for state in networks.values() for tensor in state.values()]
    stated = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if len(tensors) > _MOST_TENSORS or stated > path.stat().st_size:
        raise CheckpointError(f"{named}: states more numbers than it has. Give {wanted}")
    return networks


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _state_dicts(content: Any) -> dict[str, Tensors]:
    """Find the state dicts in nested dictionaries, without those of optimizers.

    Where there are weights and their averages, the averages are taken.
    """
    found: dict[str, Tensors] = {}
    pending, seen = [("", content)], {id(content)}
    for name, part in pending:  # grows
        if not isinstance(part, dict):
            continue
        if all(isinstance(value, Tensor) for value in part.values()):
            state = {str(key): tensor for key, tensor in part.items()}
            if part is content or any(key.endswith("weight") for key in state):
                found[name] = state
            continue
        for key, value in part.items():
            if isinstance(value, dict) and id(value) not in seen:
                seen.add(id(value))
                pending.append((str(key), value))
    if found.keys() == {"params", "params_ema"}:
        del found["params"]
    return found
