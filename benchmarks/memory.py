"""The peak memory of training steps, each setting in a process of its own.

On a GPU what torch held at most; on a CPU by how much the process grew over what it held with
networks and optimizers built. ``python -m benchmarks.memory --json`` prints one object.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.step import build_batch, settings_of
from imgtranslate.methods.learner import Learner

SETTINGS = {
    "fp32": ["train.precision=fp32"],
    "bf16": ["train.precision=bf16"],
    "bf16_recompute": ["train.precision=bf16", "train.recompute=true"],
    "fp32_recompute": ["train.precision=fp32", "train.recompute=true"],
}
STEPS = 3


def main(
    size: Annotated[int, typer.Option(help="Side of the pictures, px.")] = 128,
    base_channels: int = 32,
    blocks: int = 6,
    batch: int = 1,
    device: str = "cpu",
    only: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the steps of CycleGAN; the sizes are those of the preset fast."""
    sizes = (size, base_channels, blocks, batch)
    if only is not None:
        typer.echo(peak(sizes, SETTINGS[only], torch.device(device)))
        return
    given = [f"--size={size}", f"--base-channels={base_channels}", f"--blocks={blocks}"]
    given += [f"--batch={batch}", f"--device={device}"]
    found = {f"{name}_mib": _alone([*given, f"--only={name}"]) for name in SETTINGS}
    typer.echo(json.dumps(found, indent=None if as_json else 2))


def peak(sizes: tuple[int, int, int, int], layers: list[str], device: torch.device) -> float:
    """MiB, of a few steps."""
    settings = settings_of("cyclegan", *sizes, layers)
    learner = Learner(settings, device)
    before = _resident()
    for seed in range(STEPS):
        batch = build_batch(settings, device, seed=seed)
        learner.step(batch, learning_rate=settings.optimizer.lr)
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return round(largest - before, 1)


def _resident() -> float:
    """MiB that the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _alone(arguments: list[str]) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    typer.run(main)
