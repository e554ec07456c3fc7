"""Models that were never trained, of kinds that a page runs; an onnxruntime-web to run them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from imgtranslate.builders import build_generator
from imgtranslate.exporting.web import RUNTIME_FILES
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.networks import initialise
from imgtranslate.settings.config import ResnetConfig, UnetConfig

RESNET = ModelHeader(
    generator=ResnetConfig(base_channels=4, num_blocks=1),
    in_channels=3,
    out_channels=3,
    direction="ab",
    source="horses",
    target="zebras",
    load_size=73,
    crop_size=64,
    method="cyclegan",
    step=1,
)
UNET = UnetConfig(base_channels=4, depth=5)
GREY = replace(RESNET, generator=UNET, in_channels=1, out_channels=1)
WITH_CODE = replace(RESNET, generator=replace(UNET, latent_dim=8, z_at="all"), method="bicyclegan")
RUNTIME = "ONNXRUNTIME_WEB"  # the folder that `npm pack onnxruntime-web` unpacks to


def save_model(path: Path, header: ModelHeader = RESNET, *, seed: int = 0) -> Path:
    """A model whose results cover the whole range, so that differences show."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network = build_generator(
        header.generator, in_channels=header.in_channels, out_channels=header.out_channels
    )
    initialise(network, init="normal", gain=0.2, generator=torch.Generator().manual_seed(seed))
    checkpoint.save(path, network.state_dict(), header)
    return path


def save_run(folder: Path) -> Path:
    back = replace(RESNET, direction="ba", source="zebras", target="horses")
    save_model(folder / "ab.safetensors")
    save_model(folder / "ba.safetensors", back, seed=1)
    return folder


def empty_runtime(folder: Path) -> Path:
    """What looks like the package and runs nothing."""
    (folder / "dist").mkdir(parents=True)
    for name in RUNTIME_FILES:
        (folder / "dist" / name).write_text(name)
    return folder


def real_runtime() -> Path:
    if not os.environ.get(RUNTIME):
        pytest.skip(f"no onnxruntime-web here: {RUNTIME} names its folder")
    return Path(os.environ[RUNTIME])
