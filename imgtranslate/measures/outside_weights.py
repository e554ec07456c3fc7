"""Weights that others have learnt: read as tensors alone, never fetched."""

from pathlib import Path

import torch
from torch import Tensor

from imgtranslate.errors import CheckpointError, UsageError


def read_weights(option: str, path: Path) -> dict[str, Tensor]:
    """Read a state dict that ``torch.save`` wrote: names and tensors, nothing that could be run.

    Raises ``CheckpointError``, with ``option`` first, for anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"{option} {path}: no such file. Name a file of weights")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises anything at all on foreign bytes
        raise CheckpointError(
            f"{option} {path}: not a file of weights alone, as torch.save writes them. "
            "Use another copy of the file"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(
            f"{option} {path}: more than the weights of one network. Give its state dict alone"
        )
    return {str(name): tensor for name, tensor in state.items()}


def unfit(option: str, path: Path, *, wanted: str) -> CheckpointError:
    """What to say of weights of another network."""
    return CheckpointError(f"{option} {path}: the weights of another network. Give {wanted}")


def without_extra(option: str) -> UsageError:
    """What to say where the packages are missing."""
    return UsageError(
        f"{option}: needs packages that are not here. Install them with "
        "pip install 'imgtranslate[metrics]'"
    )
