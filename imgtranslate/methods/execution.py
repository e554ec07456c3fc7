"""How a step is computed: in which precision, compiled or not, with what kept for the way back."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._triton import has_triton_package

from imgtranslate.errors import UsageError
from imgtranslate.networks import ResnetGenerator
from imgtranslate.settings.config import TrainSettings

COMPILERS = ("g++", "clang++", "cl")  # one of which torch's compiler needs on a CPU


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What ``auto`` came to on a device."""

    device: torch.device
    bf16: bool
    compiled: bool
    recomputed: bool

    def prepare(self, network: nn.Module) -> None:
        """Let a network run so; its weights and their names stay as they are."""
        if isinstance(network, ResnetGenerator):
            network.recompute = self.recomputed
        if self.compiled:  # CUDA graphs take away what launching kernels costs
            network.compile(mode="reduce-overhead" if self.device.type == "cuda" else "default")

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Around one step; with bf16 the networks compute in it, and answer in float32."""
        with contextlib.ExitStack() as stack:
            if self.device.type == "cuda":
                stack.enter_context(_fastest_convolutions())
            if self.compiled:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            if self.bf16:  # without the cache, which would keep weights from before their update
                kind = self.device.type
                stack.enter_context(torch.autocast(kind, torch.bfloat16, cache_enabled=False))
            yield


def choose_execution(settings: TrainSettings, device: torch.device) -> Execution:
    """Raise ``UsageError`` if what is asked for does not go on ``device``.

    ``auto``: bf16 on the GPUs that are made for it, float32 elsewhere; not compiled, as on a CPU
    it does not pay (docs/performance.md) and no GPU has been measured yet.
    """
    if settings.compile == "on":
        _refuse_without_compiler(device)
    return Execution(
        device=device,
        bf16=_is_bf16(settings, device),
        compiled=settings.compile == "on",
        recomputed=settings.recompute,
    )


def _is_bf16(settings: TrainSettings, device: torch.device) -> bool:
    if settings.precision != "auto":
        return settings.precision == "bf16"
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _refuse_without_compiler(device: torch.device) -> None:
    if device.type == "cuda" and not has_triton_package():
        raise UsageError("--compile on: needs triton on a GPU. Install it, or leave --compile out")
    found = os.environ.get("CXX") or any(shutil.which(name) for name in COMPILERS)
    if device.type != "cuda" and not found:
        raise UsageError("--compile on: no C++ compiler here. Install g++, or leave --compile out")


@contextlib.contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN try its kernels once for each shape, of which a training has few."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=not cudnn.deterministic,
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    ):
        yield
