"""The data check, as it stands before a training: what is refused, what is told, what is left."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imgtranslate
from imgtranslate.data import folders
from imgtranslate.errors import UsageError
from imgtranslate.images import read_image
from imgtranslate.run_folder import Run
from imgtranslate.workflows.train import Plan, plan_training

TINY: dict[str, Any] = {
    "data.crop_size": 24,
    "generator.base_channels": 4,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "train.log_every": 1,
}
COUNT = 0


def picture(path: Path, *, size: tuple[int, int] = (40, 30), seed: int | None = None) -> Path:
    """Noise; without a seed, of no other picture."""
    global COUNT
    COUNT += 1
    rng = np.random.default_rng([COUNT] if seed is None else [seed, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path)
    return path


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for side in ("horses", "zebras"):
        for index in range(3):
            picture(tmp_path / side / f"{index}.png")
    return tmp_path


def plan(sides: Path, **options: Any) -> Plan:
    settings = {**TINY, **options.pop("settings", {})}
    given = {"a": sides / "horses", "b": sides / "zebras", "out": sides / "run", **options}
    return plan_training(settings=settings, device="cpu", **given)


def refusal(sides: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        plan(sides, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.count(". ") >= 1  # what to do
    assert not (sides / "run").exists()
    return message


def test_places_that_are_no_folders_of_pictures(sides: Path) -> None:
    (sides / "empty").mkdir()
    (sides / "text").mkdir()
    (sides / "text" / "notes.txt").write_text("no picture")
    for name, said in (
        ("missing", "no such folder"),
        ("empty", "no pictures in it"),
        ("text", "no pictures in it"),
        ("horses/0.png", "a file, not a folder"),
    ):
        message = refusal(sides, a=sides / name)
        assert message.startswith(f"--a {sides / name}: ")
        assert said in message
        assert refusal(sides, b=sides / name).startswith(f"--b {sides / name}: ")


def test_files_that_are_no_pictures_are_named(sides: Path) -> None:
    (sides / "horses" / "text.png").write_text("no picture")
    (sides / "zebras" / "nothing.jpg").write_bytes(b"")
    whole = picture(sides / "whole.jpg", size=(200, 200)).read_bytes()
    (sides / "zebras" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    message = refusal(sides)
    assert message.startswith("3 of the training files cannot be read")
    for name in ("text.png", "nothing.jpg", "half.jpg", "data.skip_unreadable=true"):
        assert name in message


def test_what_is_skipped_stays_skipped(sides: Path) -> None:
    broken = sides / "horses" / "1.png"
    broken.write_bytes(b"")
    skip = {**TINY, "data.skip_unreadable": True, "train.steps": 2}
    run = sides / "run"
    options = {"a": sides / "horses", "b": sides / "zebras", "out": run, "device": "cpu"}
    imgtranslate.train(settings=skip, **options)
    _, record = Run(run).read_config()
    assert (record["pictures_a"], record["left_out_a"]) == (2, ["1.png"])
    told: list[Any] = []
    result = imgtranslate.resume(run, settings={"train.steps": 4}, device="cpu", report=told.append)
    assert result.step == 4
    assert not any("have changed" in str(event) for event in told)


def test_no_picture_left(sides: Path) -> None:
    for index in range(3):
        (sides / "horses" / f"{index}.png").write_bytes(b"")
    message = refusal(sides, settings={"data.skip_unreadable": True})
    assert message.startswith("--a ")
    assert "no picture left" in message


def warnings(sides: Path, **options: Any) -> str:
    return "\n".join(plan(sides, **options).report.warnings)


def test_duplicates_between_and_within_the_folders_are_told(sides: Path) -> None:
    content = (sides / "horses" / "0.png").read_bytes()
    (sides / "zebras" / "other.png").write_bytes(content)
    (sides / "horses" / "again.png").write_bytes(content)
    told = warnings(sides)
    assert "0.png: in both folders, the other is " in told
    assert "stand in the folder more than once" in told


def test_the_same_folder_twice_is_told(sides: Path) -> None:
    assert "in both folders" in warnings(sides, b=sides / "horses")


def test_small_pictures_few_pictures_and_imbalance_are_told(sides: Path) -> None:
    picture(sides / "horses" / "small.png", size=(12, 12))
    for index in range(10):
        picture(sides / "zebras" / f"more{index}.png")
    told = warnings(sides)
    assert "small.png would be enlarged more than twice" in told
    assert "4 pictures are few" in told
    assert "each of horses is seen 3.0 times an epoch" in told


def test_held_out_pictures_are_set_aside_and_never_read_in_training(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(30):
        picture(sides / "horses" / f"more{index}.png")
    found = plan(sides)
    held_out = set(found.report.domains[0].held_out)
    assert len(held_out) == 3
    assert held_out.isdisjoint(found.report.domains[0].files)
    again = plan(sides).report.domains[0]
    assert set(again.held_out) == held_out
    read: list[Path] = []
    monkeypatch.setattr(
        folders, "read_image", lambda path, **k: (read.append(path), read_image(path, **k))[1]
    )
    imgtranslate.train(
        a=sides / "horses",
        b=sides / "zebras",
        out=sides / "run",
        settings={**TINY, "train.steps": 60, "train.sample_every": 1000},
        device="cpu",
        report=lambda event: read.clear() if "Started" in type(event).__name__ else None,
        stop=lambda: len(read) > 80,
    )
    assert len(read) > 60
    assert held_out.isdisjoint(read)


def test_a_held_out_picture_that_is_trained_on_is_not_judged(sides: Path) -> None:
    (sides / "test").mkdir()
    content = (sides / "horses" / "0.png").read_bytes()
    (sides / "test" / "leak.png").write_bytes(content)
    picture(sides / "test" / "fine.png")
    settings = {"data.held_out_a": str(sides / "test")}
    found = plan(sides, settings=settings).report
    assert [path.name for path in found.domains[0].held_out] == ["fine.png"]
    assert "leak.png: held out, but the same picture as" in "\n".join(found.warnings)


def test_the_classic_layout(tmp_path: Path) -> None:
    root = tmp_path / "horse2zebra"
    for part in ("trainA", "trainB", "testA", "testB"):
        for index in range(2):
            picture(root / part / f"{index}.png")
    found = plan_training(data=root, out=tmp_path / "run", settings=TINY, device="cpu")
    a, b = found.report.domains
    assert (a.name, b.name) == ("horse", "zebra")
    assert [len(side) for side in (a.files, b.files, a.held_out, b.held_out)] == [2, 2, 2, 2]
    with pytest.raises(UsageError, match="no folder trainA in it"):
        plan_training(data=root / "trainA", settings=TINY, device="cpu")
    with pytest.raises(UsageError, match="given together"):
        plan_training(data=root, a=root / "trainA", settings=TINY, device="cpu")


def test_nested_folders_and_upper_case_names(tmp_path: Path) -> None:
    picture(tmp_path / "horses" / "deep" / "er" / "A.PNG")
    picture(tmp_path / "horses" / "é 日本.png")
    picture(tmp_path / "zebras" / "x.png")
    assert len(plan(tmp_path).report.domains[0].files) == 2


def test_pictures_of_every_mode_train(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8))
    (tmp_path / "horses").mkdir()
    for mode in ("L", "LA", "RGBA", "P", "1"):
        rgb.convert(mode).save(tmp_path / "horses" / f"{mode}.png")
    rgb.convert("CMYK").save(tmp_path / "horses" / "cmyk.jpg")
    deep = rng.integers(0, 2**16, (40, 30), np.uint16)
    Image.fromarray(deep).save(tmp_path / "horses" / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(tmp_path / "horses" / "turned.jpg", exif=exif)
    picture(tmp_path / "zebras" / "x.png")
    found = plan(tmp_path)
    assert len(found.report.domains[0].files) == 8
    assert "30x40 to 40x30 px" in found.report.lines[0]
    result = imgtranslate.train(
        a=tmp_path / "horses",
        b=tmp_path / "zebras",
        out=tmp_path / "run",
        settings={**TINY, "train.steps": 9},
        device="cpu",
    )
    assert result.finished
