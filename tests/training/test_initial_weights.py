from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import imgtranslate
from imgtranslate import cli
from imgtranslate.errors import UsageError
from imgtranslate.model_files.checkpoint import load_tensors, read_model_header, save
from imgtranslate.training.events import Notice

SMALL: dict[str, Any] = {
    "data.crop_size": 24,
    "generator.base_channels": 4,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "train.steps": 2,
    "train.log_every": 1,
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for side in "ab":
        (tmp_path / side).mkdir()
        for index in range(3):
            pixels = rng.integers(0, 256, (30, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.png")
    return tmp_path


def train(pictures: Path, out: str, *, init: Path | None = None, **changes: Any) -> list[str]:
    """What was told on the way."""
    told: list[str] = []
    imgtranslate.train(
        a=pictures / "a",
        b=pictures / "b",
        out=pictures / out,
        settings={**SMALL, **changes},
        device="cpu",
        init=init,
        report=lambda event: told.append(event.text) if isinstance(event, Notice) else None,
    )
    return told


def initial_state(pictures: Path, out: str, init: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """The state as saved before the first step: a rate that moves nothing."""
    train(pictures, out, init=init, **{"optimizer.lr": 1e-30, "train.steps": 1, **changes})
    return load_tensors(pictures / out / "state.safetensors")


def test_a_run_gives_all_its_networks_and_nothing_else(pictures: Path) -> None:
    train(pictures, "first")
    first = load_tensors(pictures / "first/state.safetensors")
    second = initial_state(pictures, "second", pictures / "first", **{"train.ema_decay": 0.9})
    for name, tensor in first.items():
        if name.startswith(("generator_", "discriminator_")):
            assert torch.allclose(second[name], tensor), name
            if name.startswith("generator_"):
                assert torch.allclose(second[f"ema_{name}"], tensor), name
    assert int(second["generators/0/step"]) == 1


def test_a_model_gives_the_generator_of_its_direction(pictures: Path) -> None:
    train(pictures, "first")
    told = train(pictures, "second", init=pictures / "first/ba.safetensors")
    assert "generator_ab: new" in told
    assert any(text.startswith("generator_ba: 16 of 16 tensors from") for text in told)
    assert {"discriminator_a: new", "discriminator_b: new"} <= set(told)
    first = load_tensors(pictures / "first/state.safetensors")
    third = initial_state(pictures, "third", pictures / "first/ba.safetensors")
    name = "generator_ba/stem.conv.weight"
    assert torch.allclose(third[name], first[name])
    name = "generator_ab/stem.conv.weight"
    assert not torch.allclose(third[name], first[name])


def test_what_does_not_fit_is_named_and_nothing_is_left(pictures: Path) -> None:
    train(pictures, "first")
    with pytest.raises(UsageError, match=r"stem\.conv\.weight of .* is float32 \[4, 3, 7, 7\]"):
        train(pictures, "second", init=pictures / "first", **{"generator.base_channels": 5})
    model = pictures / "first/ab.safetensors"
    tensors = load_tensors(model) | {"head.bias": torch.zeros(3, dtype=torch.complex64)}
    save(pictures / "complex.safetensors", tensors, read_model_header(model))
    with pytest.raises(UsageError, match=r"head\.bias of generator_ab is complex64 \[3\] in the"):
        train(pictures, "second", init=pictures / "complex.safetensors")
    with pytest.raises(UsageError, match="no such file"):
        train(pictures, "second", init=pictures / "missing.safetensors")
    with pytest.raises(UsageError, match="no such file"):
        train(pictures, "second", init=pictures / "a")
    assert not (pictures / "second").exists()


def test_a_run_of_another_method_has_nothing_to_begin_with(pictures: Path) -> None:
    imgtranslate.train(
        a=pictures / "a",
        b=pictures / "b",
        method="pix2pix",
        out=pictures / "pairs",
        settings={
            "data.crop_size": 32,
            "generator.base_channels": 4,
            "train.steps": 1,
            "discriminator.num_layers": 1,
        },
        device="cpu",
    )
    with pytest.raises(UsageError, match="contains no network of this method"):
        train(pictures, "second", init=pictures / "pairs")
    assert not (pictures / "second").exists()


def test_it_is_not_resume(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(pictures, "first")
    run = str(pictures / "first")
    assert cli.run(["train", "--resume", run, "--init", run]) == 2
    assert "--init" in capsys.readouterr().err
