"""The weights of a model file, compared with its header before they are used."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtranslate.errors import CheckpointError
from imgtranslate.model_files.checkpoint import (
    Layout,
    ModelHeader,
    load_arrays,
    read_layout,
    read_model_header,
)


def read_runnable_header(path: Path) -> ModelHeader:
    """Read the header of a model file, and refuse models for values outside of [-1, 1]."""
    header = read_model_header(path)
    if header.value_range != (-1.0, 1.0):
        raise CheckpointError(
            f"{path}: made for values in {list(header.value_range)}, not [-1, 1]. "
            "Use a model that `imgtranslate train` made"
        )
    return header


def read_weights(path: Path, *, expected: Layout) -> dict[str, NDArray[Any]]:
    """Read the tensors of a model file, after their names, dtypes and shapes have been compared.

    ``expected``: the layout that its header describes. Raises ``CheckpointError`` if they differ,
    or if a number is not finite.
    """
    found = read_layout(path)
    if expected != found:
        name = min(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise CheckpointError(
            f"{path}: its tensors do not fit its header: {name[:200]!r} is "
            f"{_describe(found.get(name))}, expected {_describe(expected.get(name))}. "
            "Use another copy of the file"
        )
    weights = load_arrays(path)
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise CheckpointError(
                f"{path}: its tensor {name!r} contains NaN or infinite numbers. "
                "Use an earlier checkpoint of the run"
            )
    return weights


def _describe(entry: tuple[str, tuple[int, ...]] | None) -> str:
    return "absent" if entry is None else f"{entry[0]} {list(entry[1])}"
