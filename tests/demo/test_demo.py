import json
from pathlib import Path

import numpy as np
import pytest

from imgtranslate import cli
from imgtranslate.demo.demo import (
    FOLDER,
    DemoScores,
    commands,
    match_histogram,
    prepare,
    score,
)
from imgtranslate.demo.scenes import (
    draw_scene,
    render_painting,
    render_stitches,
    write_demo_data,
)
from imgtranslate.errors import UsageError
from imgtranslate.metrics.ssim import ssim
from imgtranslate.settings.parsing import build_settings

SEEDS = (0, 1, 2)


def scores(*, fake: float, untouched: float = 0.4, match: float = 0.5) -> DemoScores:
    return DemoScores(
        scenes=1,
        input_ssim=untouched,
        match_ssim=match,
        fake_ssim=fake,
        fake_error=0.1,
        cycle_error=0.1,
    )


def test_good_means_both_limits_and_a_task_that_is_no_copy() -> None:
    assert scores(fake=0.65).good
    assert not scores(fake=0.55).good  # 0.75 of the input's error
    assert not scores(fake=0.65, match=0.6).good  # 0.875 of the match's
    assert not scores(fake=0.99, untouched=0.7).good


def test_match_histogram_gives_the_histogram_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.permutation(np.repeat(np.arange(256, dtype=np.uint8), 3)).reshape(16, 16, 3)
    reference = (255 - pixels // 2).reshape(-1, 3)
    matched = match_histogram(pixels, reference)
    for channel in range(3):
        found, wanted = np.sort(matched[..., channel].ravel()), np.sort(reference[:, channel])
        assert abs(found.astype(int) - wanted).max() <= 2


def test_scenes_are_a_function_of_seed_group_and_index() -> None:
    first, again, other = (
        render_painting(draw_scene(*scene))
        for scene in ((0, "held_out", 1), (0, "held_out", 1), (1, "held_out", 1))
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_task_is_no_recolouring(seed: int) -> None:
    found = []
    for index in range(8):
        scene = draw_scene(seed, "held_out", index)
        real, truth = render_painting(scene), render_stitches(scene)
        found.append((ssim(real, truth), ssim(match_histogram(real, truth.reshape(-1, 3)), truth)))
    untouched, matched = np.mean(found, axis=0)
    assert untouched < 0.5
    assert matched < 0.5


def test_the_demo_runs_its_commands_and_says_when_it_falls_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["demo", "--steps", "2"]) == 1
    printed = capsys.readouterr()
    for command in ("train", "translate", "cycle-check", "export"):
        assert f"$ imgtranslate {command}" in printed.err
    assert "fell short" in printed.err
    assert "16 held-out scenes" in printed.out
    for name in ("demo.png", "cycle.png", "ab.onnx", "run/ab.safetensors", "translated"):
        assert (FOLDER / name).exists(), name


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_demo_translates(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = prepare(FOLDER, seed=seed)
    train, translate, *_ = commands(data, FOLDER, seed=seed, steps=None)
    assert cli.run(train) == 0
    assert cli.run(translate) == 0
    found = score(data, FOLDER)
    assert found.input_ssim < 0.6
    assert found.share_of_input <= 0.6
    assert found.share_of_match <= 0.8

    lines = (FOLDER / "run" / "metrics.jsonl").read_text().splitlines()
    cycles = [json.loads(line)["cycle_a"] for line in lines]
    assert np.mean(cycles[-5:]) < np.mean(cycles[:5])


def test_the_tiny_preset_steps_by_steps_unless_epochs_are_asked_for() -> None:
    data = {"a": "a", "b": "b"}
    assert build_settings(preset="tiny", layers=[{"data": data}]).schedule.constant_steps
    asked = build_settings(preset="tiny", layers=[{"data": data, "schedule": {"epochs": 3}}])
    assert asked.schedule.constant_steps is None
    assert asked.schedule.epochs == 3


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/demo: cannot be written: .*\. Use another folder$"):
        write_demo_data(tmp_path / "file" / "demo", train_count=1, test_count=0)
    with pytest.raises(UsageError, match=r"`seed` -1: negative"):
        write_demo_data(tmp_path, seed=-1)
