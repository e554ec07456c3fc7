"""A device gives the results of the CPU.

The device is ``cuda``, or the one that the environment variable TEST_DEVICE names.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.models import RESNET, save_model
from fixtures.pictures import save_picture
from PIL import Image

from benchmarks.step import build_batch, settings_of
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, batches
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.methods.learner import Learner
from imgtranslate.runs.folder import Run
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.train import resume, train
from imgtranslate.translation.translate import translate_folder
from imgtranslate.translation.translator import Precision, load

DEVICE = os.environ.get("TEST_DEVICE") or "cuda"
CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch finds no GPU"
)
SIZES = {"cyclegan": (32, 8, 2, 2), "pix2pix": (32, 8, 0, 2), "bicyclegan": (64, 8, 0, 2)}


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Full float32, without the shorter mantissas of TF32."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    yield
    cudnn.allow_tf32, matmul.allow_tf32 = before


def losses_of(method: str, device: torch.device, *, precision: str, steps: int) -> dict[str, float]:
    layers = [f"train.precision={precision}", "discriminator.num_layers=2"]
    settings = settings_of(method, *SIZES[method], layers)
    learner = Learner(settings, device)
    for seed in range(steps):
        batch = build_batch(settings, device, seed=seed)
        learner.step(batch, learning_rate=settings.optimizer.lr)
    return learner.take_mean_losses()


@pytest.mark.parametrize("method", SIZES)
@pytest.mark.parametrize(
    ("precision", "steps", "apart"), [("fp32", 1, 1e-3), ("fp32", 3, 5e-2), ("bf16", 3, 5e-2)]
)
def test_losses_of_the_first_steps(method: str, precision: str, steps: int, apart: float) -> None:
    """Equal in the first step; later Adam enlarges what rounding does to the least gradients."""
    wanted = losses_of(method, CPU, precision="fp32", steps=steps)
    found = losses_of(method, torch.device(DEVICE), precision=precision, steps=steps)
    assert found == pytest.approx(wanted, rel=apart, abs=apart / 10)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches(tmp_path: Path, workers: int) -> None:
    for side in "ab":
        for seed in range(3):
            save_picture(tmp_path / side / f"{seed}.png", seed=seed, size=(70, 66))
    data = {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "held_out": 0, "crop_size": 64}
    settings = build_settings(preset="tiny", layers=[{"data": data}])
    dataset = SampleDataset(*find_domains(settings.data, paired=False), settings, paired=False)
    streams = [
        batches(
            dataset,
            first_position=0,
            num_batches=3,
            workers=workers,
            device=device,
            split=BatchSplit(batch_size=2),
        )
        for device in (CPU, torch.device(DEVICE))
    ]
    for one, other in zip(*streams, strict=True):
        assert torch.allclose(one.real_a, other.real_a.cpu(), rtol=0, atol=1e-6)
        assert torch.allclose(one.real_b, other.real_b.cpu(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("precision", "levels"), [("fp32", 1), ("fp16", 3)])
def test_a_translated_picture(tmp_path: Path, precision: Precision, levels: int) -> None:
    if DEVICE == "cpu" and precision == "fp16":
        pytest.skip("fp16 works on GPUs only")
    model = save_model(tmp_path / "ab.safetensors")
    picture = Image.open(save_picture(tmp_path / "in.png", seed=1, size=(101, 67)))
    wanted = load(model, device="cpu")(picture)
    found = load(model, device=DEVICE, precision=precision)(picture)
    assert np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= levels


def test_a_translated_folder(tmp_path: Path) -> None:
    """Pictures of one size run in batches on a GPU, and each is that of the CPU."""
    model = save_model(tmp_path / "ab.safetensors")
    for seed in range(9):
        save_picture(tmp_path / f"in/{seed}.png", seed=seed, size=(64, 60 + seed % 2))
    outputs = tmp_path / "wanted", tmp_path / "found"
    for device, output in zip(("cpu", DEVICE), outputs, strict=True):
        made = translate_folder(tmp_path / "in", output, model=model, device=device)
        assert {outcome.status for outcome in made} == {"written"}
    for path in outputs[0].iterdir():
        wanted, found = (np.asarray(Image.open(out / path.name), int) for out in outputs)
        assert np.abs(found - wanted).max() <= 1, path.name


def test_a_resumed_training(tmp_path: Path) -> None:
    for side in "ab":
        for seed in range(3):
            save_picture(tmp_path / side / f"{seed}.png", seed=seed, size=(64, 64))

    def after(count: int) -> Callable[[], bool]:
        steps = iter(range(1, 100))
        return lambda: next(steps) >= count

    def run(name: str, count: int) -> Path:
        return train(
            a=tmp_path / "a",
            b=tmp_path / "b",
            out=tmp_path / name,
            preset="tiny",
            settings={
                "generator.base_channels": RESNET.base_channels,
                "discriminator.base_channels": RESNET.base_channels,
                "train.precision": "fp32",
                "data.held_out": 0,
                "train.log_every": 1,
            },
            device=DEVICE,
            stop=after(count),
        ).run

    whole, half = run("whole", 6), run("half", 3)
    resume(half, device=DEVICE, stop=after(3))
    rows = [list(Run(folder).read_metrics())[-1].numbers for folder in (whole, half)]
    assert rows[1] == pytest.approx(rows[0], rel=5e-2)
