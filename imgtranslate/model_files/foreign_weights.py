"""Weights saved by other programs, read as tensors only, without running code in the file."""

from pathlib import Path

import torch
from torch import Tensor

from imgtranslate.errors import CheckpointError


def read_weights(path: Path, *, wanted: str, option: str = "") -> dict[str, Tensor]:
    """Read a state dict that was written by ``torch.save``.

    Raises ``CheckpointError`` for any other file. The message begins with ``option`` and names the
    ``wanted`` file.
    """
    named = f"{option} {path}".lstrip()
    if not path.is_file():
        raise CheckpointError(f"{named}: no such file. Give {wanted}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file may raise any error
        raise CheckpointError(
            f"{named}: not a file of plain weights, as torch.save writes them. Give {wanted}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(
            f"{named}: contains more than the weights of one network. Give {wanted}"
        )
    return {str(name): tensor for name, tensor in state.items()}
