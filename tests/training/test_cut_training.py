"""Trainings of CUT and FastCUT as people start them: odd pictures, resume, settings, samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imgtranslate.cli import run
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset
from imgtranslate.errors import UsageError
from imgtranslate.methods.schedule import Schedule
from imgtranslate.model_files.checkpoint import load_tensors
from imgtranslate.settings.config import to_tree
from imgtranslate.settings.parsing import build_settings, nested
from imgtranslate.settings.presets import name_of_method
from imgtranslate.training import events
from imgtranslate.training.train import resume, train

STEPS, CUT_AT = 5, 2
SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "data.load_size": 20,
    "generator.base_channels": 2,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "method.nce_patches": 8,
    "train.steps": STEPS,
    "train.log_every": 1,
    "train.sample_every": 3,
    "train.validate_every": 2,
    "train.ema_decay": 0.9,
}
BLURRED = {"generator.antialias": True, "discriminator.antialias": True}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "while the rate falls": ("cut", {"schedule.constant_steps": 1, "schedule.decay_steps": 4}),
    "flat": ("fastcut", {}),
    "grey, antialiased, batches of 3": (
        "cut",
        {**BLURRED, "data.channels_a": 1, "data.channels_b": 1, "train.batch_size": 3},
    ),
    "5 channels, accumulated": (
        "fastcut",
        {"data.channels_a": 5, "data.channels_b": 5, "train.batch_size": 4, "train.accumulate": 2},
    ),
    "dropout, recomputed": ("cut", {"generator.dropout": True, "train.recompute": True}),
    "unet, bf16": (
        "cut",
        {
            "generator.kind": "unet",
            "data.crop_size": 32,
            "data.load_size": 32,
            "train.precision": "bf16",
        },
    ),
    "without NCE": ("cut", {"method.lambda_nce": 0.0}),
}


def write(folder: Path, variant: str) -> None:
    rng = np.random.default_rng(0)
    for side, count in (("a", 10), ("b", 12)):
        (folder / side).mkdir()
        for index in range(count):
            values = rng.integers(0, 256, (24, 28, 3), np.uint8)
            if "5 channels" in variant:
                five = np.concatenate([values, values[..., :2]], axis=2)
                np.save(folder / side / f"{index}.npy", five)
            else:
                values = np.full_like(values, 40 * index // 3) if variant == "flat" else values
                Image.fromarray(values).save(folder / side / f"{index}.png")


def learn(folder: Path, out: str, method: str, *, stop_at: int = 0, **changes: Any) -> None:
    settings = {**SMALL, **changes}
    if settings.get("generator.kind") == "unet":
        del settings["generator.num_blocks"]
    seen = [0]

    def count(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            seen[0] = event.step

    train(
        a=folder / "a",
        b=folder / "b",
        out=folder / out,
        method=method,
        settings=settings,
        device="cpu",
        report=count,
        stop=lambda: seen[0] == stop_at,
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_trains_and_resumes_exactly(variant: str, tmp_path: Path) -> None:
    method, changes = VARIANTS[variant]
    write(tmp_path, variant)
    learn(tmp_path, "whole", method, **changes)
    learn(tmp_path, "cut", method, stop_at=CUT_AT, **changes)
    assert resume(tmp_path / "cut", device="cpu").finished
    found, wanted = (
        load_tensors(tmp_path / name / "state.safetensors") for name in ("cut", "whole")
    )
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
        assert tensor.isfinite().all(), name
    for file in ("ab.safetensors", "metrics.jsonl"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not (tmp_path / "whole" / "ba.safetensors").exists()
    assert len([*(tmp_path / "whole" / "samples").iterdir()]) == 2
    assert any(n.startswith("projection/") for n in wanted) == (variant != "without NCE")
    moments = sum(n.endswith("exp_avg") and n.startswith("generators/") for n in wanted)
    assert moments == sum(n.startswith(("generator/", "projection/")) for n in wanted)


def test_pictures_are_loaded_at_the_crop_size_while_the_rate_falls(tmp_path: Path) -> None:
    write(tmp_path, "cut")
    data = {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "crop_size": 16, "flip": False}
    layers: dict[str, Any] = {"data": data, "schedule": {"epochs": 2, "decay_epochs": 2}}
    layers["discriminator"] = {"num_layers": 1}
    settings = build_settings(method="cut", layers=[layers])
    domains = find_domains(settings.data, paired=False)
    schedule = Schedule(settings=settings, longer_side=12)
    assert schedule.decay_position() == 24
    rates = [schedule.learning_rate(step) for step in range(48)]
    assert rates[23] == rates[0] > rates[24]
    samples = SampleDataset(*domains, settings, paired=False, decay_from=24)
    plain = SampleDataset(*domains, settings, paired=False)
    for position in (0, 23):
        assert shown(samples, position) == shown(plain, position)
    for position in (24, 25, 47):
        assert shown(samples, position) != shown(plain, position)
    pixels = samples[30][0]  # type: ignore[index]
    file = Image.open(samples.file_at(30, side=0)).resize((21, 18), Image.Resampling.BICUBIC)
    rows = np.asarray(file.resize((19, 16), Image.Resampling.BICUBIC))
    assert any(np.array_equal(rows[:, left : left + 16], pixels) for left in range(4))
    by_steps = {"train": {"batch_size": 3}, "schedule": {"constant_steps": 5, "decay_steps": 5}}
    steps = build_settings(method="cut", layers=[layers, by_steps])
    assert Schedule(settings=steps, longer_side=12).decay_position() == 15
    cosine = build_settings(method="cut", layers=[layers, {"schedule": {"kind": "cosine"}}])
    assert Schedule(settings=cosine, longer_side=12).decay_position() is None


def shown(samples: SampleDataset, position: int) -> bytes:
    return b"".join(side.tobytes() for side in samples[position])  # type: ignore[union-attr]


def test_pairs_are_used_for_the_supervised_term_alone(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    rng = np.random.default_rng(0)
    for index in range(10):
        values = rng.integers(0, 256, (24, 48, 3), np.uint8)
        Image.fromarray(values).save(tmp_path / "pairs" / f"{index}.png")
    changes = {"method.nce_supervised": True}
    for out, more in (("plain", {}), ("supervised", changes)):
        result = train(
            pairs=tmp_path / "pairs",
            out=tmp_path / out,
            method="cut",
            settings={**SMALL, **more},
            device="cpu",
        )
        assert result.finished
    logs = [(tmp_path / out / "metrics.jsonl").read_text() for out in ("plain", "supervised")]
    assert logs[0] != logs[1]


def test_a_supervised_training_without_pairs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "cut")
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "other.png")
    folders = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--preset", "tiny"]
    asked = ["--method", "cut", "--set", "method.nce_supervised=true", "--out", str(tmp_path / "r")]
    assert run(["train", *folders, *asked, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pair" in said


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a tap that does not exist": (
        {"method.nce_taps": "input,block7", "generator.num_blocks": 3},
        "method.nce_taps input,block7: the resnet generator has no features block7. It has input, "
        "down1, down2, block1, block2, block3",
    ),
    "a tap without a name": (
        {"method.nce_taps": "input,,block1"},
        "method.nce_taps input,,block1: the resnet generator has no features without a name. It",
    ),
    "a tap twice": ({"method.nce_taps": "input,input"}, "method.nce_taps input,input: names"),
    "no patches": ({"method.nce_patches": 0}, "method.nce_patches 0: not accepted. It should be"),
    "no temperature": ({"method.nce_temperature": 0.0}, "method.nce_temperature 0"),
    "other channels": ({"data.channels_a": 1}, "data.channels_a 1, data.channels_b 3: the contr"),
    "compiled": ({"train.compile": "on"}, "train.compile on: does not support method.kind cut"),
    "a code": (
        {"generator.kind": "unet", "generator.latent_dim": 8, "generator.z_at": "all"},
        "generator.latent_dim 8: cut has no latent code",
    ),
    "no weights": (
        {"method.lambda_gan": 0.0, "method.lambda_nce": 0.0},
        "method: lambda_gan, lambda_nce are all 0",
    ),
    "supervised without NCE": (
        {"method.nce_supervised": True, "method.lambda_nce": 0.0},
        "method.nce_supervised true: needs method.lambda_nce",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_work_are_refused_in_one_line(case: str) -> None:
    changes, said = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        build_settings(method="cut", layers=[nested({"data.a": "a", "data.b": "b", **changes})])
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_epochs_keep_the_schedule_of_the_method() -> None:
    layers = [{"data": {"a": "a", "b": "b"}, "schedule": {"epochs": 7}}]
    for preset in ("paper", "tiny"):
        schedule = build_settings(method="cut", preset=preset, layers=layers).schedule
        assert (schedule.epochs, schedule.decay_epochs, schedule.constant_steps) == (7, 200, None)


def test_initial_weights_of_a_model_leave_the_projection_new(tmp_path: Path) -> None:
    write(tmp_path, "cut")
    learn(tmp_path, "first", "cut")
    told: list[str] = []
    train(
        a=tmp_path / "a",
        b=tmp_path / "b",
        out=tmp_path / "second",
        method="fastcut",
        settings=SMALL,
        device="cpu",
        init=tmp_path / "first" / "ab.safetensors",
        report=lambda event: told.append(event.text) if isinstance(event, events.Notice) else None,
    )
    lines = [line for line in told if ": new" in line or " of " in line]
    assert lines[0].startswith("generator: ")
    assert lines[1:] == ["projection: new", "discriminator: new"]


@pytest.mark.parametrize(
    ("crop", "published"), [(256, True), (128, True), (68, True), (64, False), (48, False)]
)
def test_small_crops_get_the_plain_form_unless_it_is_set(crop: int, published: bool) -> None:
    data = {"a": "a", "b": "b", "crop_size": crop}
    for method in ("cut", "fastcut"):
        found = to_tree(build_settings(method=method, layers=[{"data": data}]))
        assert found["generator"]["antialias"] is published
        assert found["discriminator"].get("antialias") is published
        assert found["init"]["kind"] == ("xavier" if published else "normal")
        assert found["method"]["nce_patches"] == (256 if published else 64)
        plain = build_settings(
            method=method,
            layers=[
                {"data": data, "generator": {"antialias": False}, "init": {"kind": "normal"}},
                {"discriminator": {"kind": "multiscale"}, "method": {"nce_patches": 100}},
            ],
        )
        tree = to_tree(plain)
        assert not tree["generator"]["antialias"]
        assert (tree["init"]["kind"], tree["method"]["nce_patches"]) == ("normal", 100)
        assert name_of_method(plain) == method
