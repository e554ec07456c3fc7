"""Precision, compilation and convolution kernels of a training step."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._triton import has_triton_package

from imgtranslate.errors import UsageError
from imgtranslate.settings.config import TrainSettings

COMPILERS = ("g++", "clang++", "cl")  # torch's compiler needs one of them on a CPU


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The settings that ``auto`` stands for on a device."""

    device: torch.device
    bf16: bool
    compiled: bool

    def compile(self, network: nn.Module) -> None:
        """Compile a network if asked to; its weights and their names stay as they are."""
        if self.compiled:  # CUDA graphs save the launching of kernels
            network.compile(mode="reduce-overhead" if self.device.type == "cuda" else "default")

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Surround one step; with bf16 the networks compute in it and return float32."""
        with contextlib.ExitStack() as stack:
            if self.device.type == "cuda":
                cudnn = torch.backends.cudnn
                kernels = cudnn.flags(  # try all kernels once for each shape: training has few
                    enabled=cudnn.enabled,
                    benchmark=not cudnn.deterministic,
                    deterministic=cudnn.deterministic,
                    allow_tf32=cudnn.allow_tf32,
                )
                stack.enter_context(kernels)
            if self.compiled:
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            if self.bf16:  # uncached: the cache would keep weights from before their update
                kind = self.device.type
                stack.enter_context(torch.autocast(kind, torch.bfloat16, cache_enabled=False))
            yield


def choose_execution(settings: TrainSettings, device: torch.device) -> Execution:
    """Resolve ``auto``; raise ``UsageError`` if ``device`` cannot do what is asked.

    ``auto``: bf16 on GPUs of compute capability 8 and higher, float32 elsewhere; not compiled, as
    compiling gains nothing on a CPU (docs/performance.md) and no GPU has been measured yet.
    """
    if settings.compile == "on":
        _check_compiler(device)
    bf16 = settings.precision == "bf16"
    if settings.precision == "auto" and device.type == "cuda":
        bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
    return Execution(device=device, bf16=bf16, compiled=settings.compile == "on")


def _check_compiler(device: torch.device) -> None:
    if device.type == "cuda" and not has_triton_package():
        raise UsageError(
            "train.compile on: needs triton on a GPU. Install it, or leave train.compile out"
        )
    found = os.environ.get("CXX") or any(shutil.which(name) for name in COMPILERS)
    if device.type != "cuda" and not found:
        raise UsageError(
            "train.compile on: no C++ compiler here. Install g++, or leave train.compile out"
        )
