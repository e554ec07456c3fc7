"""The device to compute on. torch is imported only to ask it for a device."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imgtranslate.errors import UsageError, nearest

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
_GPU_FILES = ("nvidiactl", "nvhost-gpu", "nvmap", "kfd", "dxg")  # NVIDIA, Jetson, AMD and WSL


def is_cpu(name: str) -> bool:
    """Return whether a name means the CPU; ``auto`` does if the machine has no GPU for torch.

    torch is asked only if the machine may have one.
    """
    if name != "auto":
        return name == "cpu"
    if sys.platform == "linux" and not any(Path("/dev", file).exists() for file in _GPU_FILES):
        return True
    return choose_device(name).type == "cpu"


def choose_device(name: str) -> "torch.device":
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` into a device of this machine.

    ``auto`` takes the first GPU, else Apple's, else the CPU. Raises ``UsageError`` if the machine
    lacks the requested device.
    """
    import torch

    kind, _, index = name.partition(":")
    if kind == "gpu":
        raise UsageError(f"`device` {name}: no such name. Did you mean cuda?")
    if index and kind != "cuda":
        raise UsageError(f"`device` {name}: only cuda devices have numbers. Use `device` {kind}")
    match nearest(kind, DEVICES, what="`device`"):
        case "auto":
            return torch.device(_best())
        case "cuda":
            return _cuda(index or "0")
        case "mps" if not torch.backends.mps.is_available():
            raise UsageError("`device` mps: torch finds no Apple GPU here. Use `device` cpu")
        case found:
            return torch.device(found)


def _best() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cuda(index: str) -> "torch.device":
    import torch

    name = f"`device` cuda:{index}"
    if not index.isascii() or not index.isdigit():
        raise UsageError(f"{name}: not the number of a GPU. Use `device` cuda:0, or `device` cpu")
    if not torch.cuda.is_available():
        raise UsageError(f"{name}: torch finds no GPU on this machine. Use `device` cpu")
    if int(index) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise UsageError(f"{name}: the GPUs here end at number {last}. Use `device` cuda:{last}")
    return torch.device("cuda", int(index))
