"""What an optimizer remembers of its steps, as tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


def moments(optimizer: torch.optim.Optimizer) -> Tensors:
    """The step count and the moments of every parameter, by its place in the optimizer."""
    return {
        f"{index}/{key}": tensor
        for index, entry in optimizer.state_dict()["state"].items()
        for key, tensor in entry.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer, kept: Tensors) -> None:
    """Put moments back; a parameter that has not learnt yet has none."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    entries: dict[int, Tensors] = {}
    for name, tensor in kept.items():
        index, _, key = name.partition("/")
        _refuse_unfit_moment(name, tensor, () if key == "step" else parameters[int(index)].shape)
        if key != "step":  # fused kernels walk weights and moments in one order: lay them out alike
            tensor = torch.empty_like(parameters[int(index)]).copy_(tensor)
        entries.setdefault(int(index), {})[key] = tensor
    for place, entry in entries.items():
        if entry.keys() != _MOMENTS[type(optimizer)]:
            raise ValueError(f"the moments of parameter {place} are {sorted(entry)}")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})


_MOMENTS = {  # what each optimizer keeps of a parameter
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.RMSprop: {"step", "square_avg"},
}


def _refuse_unfit_moment(name: str, moment: Tensor, shape: Sequence[int]) -> None:
    if tuple(moment.shape) != tuple(shape):
        raise ValueError(f"{name} is {list(moment.shape)}, not {list(shape)}")
