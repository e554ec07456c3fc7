"""Weights that other programs saved, read as tensors alone: no code in a file runs."""

from pathlib import Path

import torch
from torch import Tensor

from imgtranslate.errors import CheckpointError


def read_weights(path: Path, *, wanted: str, option: str = "") -> dict[str, Tensor]:
    """Read a state dict that ``torch.save`` wrote.

    Raises ``CheckpointError`` for any other file. Its line begins with ``option`` and names the
    ``wanted`` file.
    """
    named = f"{option} {path}".lstrip()
    if not path.is_file():
        raise CheckpointError(f"{named}: no such file. Give {wanted}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # foreign bytes may raise any error
        raise CheckpointError(
            f"{named}: not a file of weights alone, as torch.save writes them. Give {wanted}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(f"{named}: more than the weights of one network. Give {wanted}")
    return {str(name): tensor for name, tensor in state.items()}
