"""Learners that divide batches: as one process, or as one of several ranks if run as a script."""

import functools
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup
from imgtranslate.settings.parsing import build_settings, merge, nested
from imgtranslate.training.processes import joined, launch_of

STEPS, BATCH = 20, 4
SMALL: dict[str, Any] = {
    "data.a": "a",
    "data.b": "b",
    "data.crop_size": 16,
    "generator.base_channels": 2,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "train.batch_size": BATCH,
    "train.ema_decay": 0.9,
}
RESNET = {"generator.num_blocks": 1, "method.pool_size": 5}
UNET = {"data.crop_size": 32, "generator.kind": "unet", "generator.depth": 5}
CONTRAST = {"generator.num_blocks": 1, "method.nce_patches": 9}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cyclegan": ("cyclegan", RESNET),
    "alternating": ("cyclegan", {**RESNET, "method.update": "alternating", "method.d_ratio": 2}),
    "dropout": ("cyclegan", {**RESNET, "generator.dropout": True}),
    "penalty": ("cyclegan", {**RESNET, "method.gan_mode": "wgangp"}),
    "clipped": ("cyclegan", {**RESNET, "optimizer.max_grad_norm": 0.01}),
    "pix2pix": ("pix2pix", {**UNET, "generator.dropout": True, "method.pool_size": 5}),
    "bicyclegan": ("bicyclegan", {**UNET, "encoder.base_channels": 2}),
    "cut": ("cut", CONTRAST),
    "fastcut": ("fastcut", {**CONTRAST, "generator.dropout": True}),
}
TWO_RANKS = [*((case, 1) for case in CASES), ("cyclegan", 2)]  # with how many micro-batches


def random_batch(step: int, side: int) -> Batch:
    rng = np.random.default_rng(step)
    a, b = (torch.from_numpy(rng.uniform(-1, 1, (BATCH, 3, side, side))) for _ in range(2))
    return Batch(a, b)


def own(batch: Batch, split: BatchSplit) -> Batch:
    (rows,) = split.positions(0, 1)
    return Batch(batch.real_a[rows], batch.real_b[rows])


@functools.cache
def learn(
    case: str, *, group: ProcessGroup = SINGLE_PROCESS, accumulate: int = 1
) -> dict[str, Tensor]:
    """Everything that a learner holds after some steps in double precision, and what it logged."""
    method, changes = CASES[case]
    layers = merge(nested(SMALL), nested(changes), nested({"train.accumulate": accumulate}))
    settings = build_settings(method=method, preset="tiny", layers=[layers])
    learner = Learner(settings, torch.device("cpu"), group=group)
    for network in (*learner.networks.values(), *learner.averages.values()):
        network.double()
    for step in range(STEPS):
        batch = own(random_batch(step, settings.data.crop_size), learner.split)
        learner.step(batch, learning_rate=1e-3)
    means = {**learner.take_mean_losses(), **learner.measures(batch)}
    logged = {f"logged/{name}": torch.tensor(v, dtype=torch.float64) for name, v in means.items()}
    return {**learner.state_tensors(), **logged}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(launch_of(os.environ), device="cpu") as found:
        for case, accumulate in TWO_RANKS:
            name = f"{case}-{accumulate}-{found.rank}.safetensors"
            save_file(learn(case, group=found, accumulate=accumulate), Path(sys.argv[1]) / name)
