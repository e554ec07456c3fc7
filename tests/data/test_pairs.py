from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import imgtranslate
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, change_tone, random_crop, resize_shorter
from imgtranslate.data_check.findings import RefusedPicturesError
from imgtranslate.errors import DataError, UsageError
from imgtranslate.runs.data import domains_of_run, held_out_of_run
from imgtranslate.settings.config import DataSettings, Settings
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.request import Request
from imgtranslate.training.run_state import record_of
from imgtranslate.training.train import plan_training

TINY: dict[str, Any] = {
    "data.crop_size": 32,
    "generator.base_channels": 4,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "train.log_every": 1,
}


def save(path: Path, value: int, size: tuple[int, int] = (40, 36)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def side_by_side(path: Path, left: int, right: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((36, 80, 3), left, np.uint8)
    pixels[:, 40:] = right
    Image.fromarray(pixels).save(path)


def plan(tmp_path: Path, **options: Any) -> Any:
    settings = {**TINY, **options.pop("settings", {})}
    options = {"method": "pix2pix", "out": tmp_path / "run", **options}
    return plan_training(Request(settings=settings, **options), device="cpu")


def refusal(tmp_path: Path, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        plan(tmp_path, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    return str(caught.value)


def test_folders_are_matched_by_name_whatever_the_suffix(tmp_path: Path) -> None:
    for index, suffix in ((3, "png"), (1, "bmp"), (2, "PNG")):
        save(tmp_path / "a" / "deep" / f"{index}.png", 10 * index)
        save(tmp_path / "b" / "deep" / f"{index}.{suffix}", 10 * index + 1)
    a, b = plan(tmp_path, a=tmp_path / "a", b=tmp_path / "b").report.domains
    assert [path.stem for path in a.files] == [path.stem for path in b.files] == ["1", "2", "3"]


def test_names_in_two_unicode_forms_are_partners(tmp_path: Path) -> None:
    for index in range(12):
        save(tmp_path / "a" / f"Gro\u0308\u00dfe {index}.png", 1)  # as macOS writes it
        save(tmp_path / "b" / f"Gr\u00f6\u00dfe {index}.png", 1)
    a, b = plan(tmp_path, a=tmp_path / "a", b=tmp_path / "b").report.domains
    numbers = [[path.stem.split()[1] for path in side.files] for side in (a, b)]
    assert len(numbers[0]) == 11
    assert numbers[0] == numbers[1]
    table = tmp_path / "pairs.csv"
    table.write_text(
        "".join(f"a/Gr\u00f6\u00dfe {n}.png,b/Gro\u0308\u00dfe {n}.png\n" for n in "12")
    )
    a, b = plan(tmp_path, pairs=table).report.domains
    assert [path.stem for path in a.files] == [f"Gro\u0308\u00dfe {n}" for n in "12"]
    assert [path.stem for path in b.files] == [f"Gr\u00f6\u00dfe {n}" for n in "12"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_as_spreadsheet_programs_write_it(delimiter: str, tmp_path: Path) -> None:
    for name in ("x", "y, z; w"):
        save(tmp_path / f"{name}.png", 1)
    rows = [("label", "photo"), ("x.png", '"y, z; w.png"'), ("x.png", "x.png")]
    table = tmp_path / "pairs.csv"
    table.write_text("".join(f"{delimiter.join(row)}\r\n" for row in rows), encoding="utf-8-sig")
    a, b = plan(tmp_path, pairs=table).report.domains
    assert [path.stem for path in (*a.files, *b.files)] == ["x", "x", "y, z; w", "x"]
    table.write_bytes("é.png;x.png\n".encode("cp1252"))
    assert refusal(tmp_path, pairs=table).endswith("or a CSV file in UTF-8 with two columns")


def test_a_missing_partner_and_a_double_name_are_reported(tmp_path: Path) -> None:
    folders = {"a": tmp_path / "a", "b": tmp_path / "b"}
    for side in "ab":
        save(tmp_path / side / "1.png", 1)
    save(tmp_path / "a" / "2.png", 1)
    assert "2.png: no partner named 2" in refusal(tmp_path, **folders)
    save(tmp_path / "b" / "2.png", 1)
    save(tmp_path / "b" / "2.bmp", 1)
    assert "another picture has this name" in refusal(tmp_path, **folders)


def test_pictures_of_a_pair_have_one_size(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", 1)
    save(tmp_path / "b" / "1.png", 1, size=(41, 36))
    found = refusal(tmp_path, a=tmp_path / "a", b=tmp_path / "b")
    assert "1.png: 40x36 px, but its partner" in found
    save(tmp_path / "a" / "2.png", 1)
    save(tmp_path / "b" / "2.png", 1, size=(41, 36))
    with pytest.raises(
        RefusedPicturesError, match="2 pairs of unequal size, which `check`"
    ) as told:
        plan(tmp_path, a=tmp_path / "a", b=tmp_path / "b")
    assert [[each.path.stem for each in pair] for pair in told.value.finding.groups] == [
        ["1", "1"],
        ["2", "2"],
    ]


@pytest.mark.parametrize(("order", "values"), [("ab", (10, 20)), ("ba", (20, 10))])
def test_halves_side_by_side(order: str, values: tuple[int, int], tmp_path: Path) -> None:
    side_by_side(tmp_path / "pairs" / "1.png", 10, 20)
    settings = {"data.pair_order": order}
    domains = plan(tmp_path, pairs=tmp_path / "pairs", settings=settings).report.domains
    found = [domain.read(domain.files[0], channels=3) for domain in domains]
    assert [pixels.shape for pixels in found] == [(36, 40, 3)] * 2
    assert tuple(int(pixels.max()) for pixels in found) == values


def test_a_csv_file_of_pairs(tmp_path: Path) -> None:
    for name, value in (("x", 1), ("y, z", 2), ("é", 3)):
        save(tmp_path / f"{name}.png", value)
    table = tmp_path / "pairs.csv"
    table.write_text('label,photo\nx.png,"y, z.png"\n\né.png,x.png\n', encoding="utf-8-sig")
    domains = plan(tmp_path, pairs=table, settings={"data.pair_order": "ba"}).report.domains
    assert [[path.stem for path in d.files] for d in domains] == [["y, z", "x"], ["x", "é"]]


@pytest.mark.parametrize("begun", [True, False])
def test_one_picture_of_many_pairs_keeps_its_other_partners(tmp_path: Path, begun: bool) -> None:
    """One outline, many colours: what is held out is a pair, not every pair of its outline."""
    for index in range(40):
        save(tmp_path / f"b{index}.png", index + 1)
        save(tmp_path / f"a{index // 10}.png", 200 + index // 10)
    table = tmp_path / "pairs.csv"
    table.write_text("".join(f"a{index // 10}.png,b{index}.png\n" for index in range(40)))
    (tmp_path / "b7.png").write_bytes(b"")
    planned = plan(tmp_path, pairs=table, settings={"data.skip_unreadable": True})
    domains = planned.report.domains
    if not begun:
        domains = domains_of_run(planned.settings, record_of(planned.report))
    assert [d.fingerprint() for d in domains] == [d.fingerprint() for d in planned.report.domains]
    a, b = domains
    numbers = [int(path.stem[1:]) for path in b.files]
    assert len(numbers) in (35, 36)  # 40 without the broken one and a tenth, which it may be of
    assert [path.stem for path in a.files] == [f"a{number // 10}" for number in numbers]
    assert 7 not in numbers


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "contains no pairs"),
        ("x.png\n", "row 1 has 1 column"),
        ("x.png,y.png,z.png\n", "row 1 has 3 column"),
        ("x.png,x.png\nx.png,missing.png\n", "row 2"),
        ("\x00\n\n", "contains no pairs"),
    ],
)
def test_a_csv_file_that_is_wrong(text: str, named: str, tmp_path: Path) -> None:
    save(tmp_path / "x.png", 1)
    table = tmp_path / "pairs.csv"
    table.write_text(text)
    assert named in refusal(tmp_path, pairs=table)


def test_places_that_are_no_pairs(tmp_path: Path) -> None:
    assert "no such folder or file" in refusal(tmp_path, pairs=tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert "no pictures" in refusal(tmp_path, pairs=tmp_path / "empty")
    save(tmp_path / "x.jpg", 1)
    assert "neither a folder nor a readable CSV file" in refusal(tmp_path, pairs=tmp_path / "x.jpg")
    save(tmp_path / "narrow" / "x.png", 1, size=(1, 36))
    assert "too narrow for a pair" in refusal(tmp_path, pairs=tmp_path / "narrow")
    assert "`pairs`" in refusal(tmp_path, pairs=tmp_path / "narrow", a=tmp_path, b=tmp_path)


def test_pairs_are_held_out_together_and_never_trained_on(tmp_path: Path) -> None:
    for index in range(30):
        save(tmp_path / "a" / f"{index}.png", index)
        save(tmp_path / "b" / f"{index}.png", 100 + index)
    a, b = plan(tmp_path, a=tmp_path / "a", b=tmp_path / "b").report.domains
    assert [path.name for path in a.held_out] == [path.name for path in b.held_out]
    assert len(a.held_out) == 3
    assert set(a.held_out).isdisjoint(a.files)
    assert [path.name for path in a.files] == [path.name for path in b.files]


def csv_of_pairs(folder: Path, shades: tuple[int, int]) -> Path:
    """Twelve pairs of two files each, listed in a CSV file."""
    for side, shade in zip("ab", shades, strict=True):
        for n in range(12):
            save(folder / side / f"{n}.png", shade + n)
    rows = "".join(f"a/{n}.png,b/{n}.png\n" for n in range(12))
    (folder / "pairs.csv").write_text(rows)
    return folder / "pairs.csv"


def folder_of_pairs(folder: Path, shades: tuple[int, int]) -> Path:
    """Twelve pairs side by side."""
    for n in range(12):
        side_by_side(folder / f"{n}.png", shades[0] + n, shades[1] + n)
    return folder


@pytest.mark.parametrize("held_out_form", [csv_of_pairs, folder_of_pairs])
@pytest.mark.parametrize("form", [csv_of_pairs, folder_of_pairs])
def test_held_out_pairs_may_have_another_form(
    form: Any, held_out_form: Any, tmp_path: Path
) -> None:
    """Of files side by side each half belongs to its side, and of two files the whole."""
    data = DataSettings(
        pairs=str(form(tmp_path / "trained", (20, 220))),
        held_out_pairs=str(held_out_form(tmp_path / "held_out", (60, 120))),
    )
    settings = Settings(data=data)
    found = find_domains(data, paired=False)
    for domain, trained, held_out in zip(found, (20, 220), (60, 120), strict=True):
        files = [(trained, path) for path in domain.files]
        files += [(held_out, path) for path in domain.held_out]
        assert len(files) == 24
        for shade, path in files:
            pixels = domain.read(path, channels=3)
            assert pixels.shape == (36, 40, 3)
            assert (pixels == shade + int(path.stem)).all()
    record = {f"held_out_{d.letter}": [str(path) for path in d.held_out] for d in found}
    assert domains_of_run(settings, record) == found
    for domain, alone in zip(found, held_out_of_run(settings, record), strict=True):
        assert alone == replace(domain, files=(), folder=alone.folder)


def test_one_unreadable_picture_takes_its_partner_along(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / "a" / f"{index}.png", index)
        save(tmp_path / "b" / f"{index}.png", 100 + index)
    (tmp_path / "b" / "2.png").write_bytes(b"")
    folders = {"a": tmp_path / "a", "b": tmp_path / "b"}
    assert "cannot be read" in refusal(tmp_path, **folders)
    skip = {"data.skip_unreadable": True}
    a, b = plan(tmp_path, **folders, settings=skip).report.domains
    assert [p.name for p in a.files] == [p.name for p in b.files] == ["0.png", "1.png", "3.png"]


def test_the_classic_layout_of_pairs(tmp_path: Path) -> None:
    for part, values in (("train", (1, 2, 3)), ("val", (4, 5))):
        for value in values:
            side_by_side(tmp_path / "facades" / part / f"{value}.png", value, 100 + value)
    found = plan_training(
        Request(data=tmp_path / "facades", method="pix2pix", settings=TINY), device="cpu"
    )
    assert found.out == Path("runs/facades")
    assert [len(domain.held_out) for domain in found.report.domains] == [2, 2]


def dataset(tmp_path: Path, *, paired: bool, **data: Any) -> SampleDataset:
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 256, (50, 64, 3), np.uint8)
        for side in "ab":
            (tmp_path / side).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.png")
    data = {"a": str(tmp_path / "a"), "b": str(tmp_path / "b"), "crop_size": 32, **data}
    settings = build_settings(method="pix2pix", layers=[{"data": data}])
    domains = find_domains(DataSettings(**data), paired=paired)
    return SampleDataset(*domains, settings, paired=paired)


@pytest.mark.parametrize("rotate", [False, True])
def test_both_pictures_of_a_pair_are_cut_and_turned_alike(rotate: bool, tmp_path: Path) -> None:
    paired = dataset(tmp_path, paired=True, rotate=rotate)
    for position in range(40):
        a, b = paired[position]
        assert np.array_equal(a, b)
    unpaired = dataset(tmp_path, paired=False, rotate=rotate)
    assert any(not np.array_equal(*unpaired[position]) for position in range(5))


def test_colours_change_on_one_side_and_by_position(tmp_path: Path) -> None:
    samples = dataset(tmp_path, paired=True, colour_b=0.5)
    a, b = samples[7]
    assert not np.array_equal(a, b)
    assert np.array_equal(samples[7][1], b)


@given(
    size=st.tuples(st.integers(16, 60), st.integers(16, 60)),
    seed=st.integers(0, 99),
    flip=st.booleans(),
    rotate=st.booleans(),
)
def test_a_crop_is_a_window_mirrored_and_rotated_where_that_is_allowed(
    size: tuple[int, int], seed: int, flip: bool, rotate: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 1), np.uint8)
    rng = np.random.default_rng(seed)
    sample = random_crop(pixels, crop_size=16, flip=flip, rotate=rotate, rng=rng)
    assert sample.shape == (16, 16, 1)
    windows = np.lib.stride_tricks.sliding_window_view(pixels[..., 0], (16, 16))
    turned = [np.rot90(sample[..., 0], -n) for n in (range(4) if rotate else range(1))]
    mirrored = [each[:, ::-1] for each in turned] if flip else []
    assert any((windows == each).all(axis=(2, 3)).any() for each in (*turned, *mirrored))


def test_every_place_and_turn_is_drawn() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (17, 16, 1), np.uint8)
    crops = {
        random_crop(
            pixels, crop_size=16, flip=True, rotate=True, rng=np.random.default_rng(seed)
        ).tobytes()
        for seed in range(200)
    }
    assert len(crops) == 2 * 8


def test_nearest_keeps_the_colours_of_a_label_map() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 128, 255], np.uint8), (20, 30, 1)).repeat(3, axis=2)
    nearest = resize_shorter(labels, 47, resample="nearest")
    smooth = resize_shorter(labels, 47, resample="bicubic")
    assert set(np.unique(nearest)) == {0, 128, 255}
    assert len(np.unique(smooth)) > 3
    assert nearest.shape == smooth.shape == (47, 70, 3)


@given(st.integers(1, 6), st.integers(0, 9))
def test_no_strength_changes_no_tone(channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (4, 5, channels), np.uint8)
    assert np.array_equal(change_tone(pixels, strength=0.0, rng=rng), pixels)


@pytest.mark.parametrize("method", ["cyclegan", "pix2pix", "bicyclegan"])
def test_training_on_pairs_and_going_on(method: str, tmp_path: Path) -> None:
    for index in range(12):
        side_by_side(tmp_path / "pairs" / f"{index}.png", 5 * index, 255 - 5 * index)
    encoder = {"encoder.base_channels": 4, "encoder.num_blocks": 2} if "bi" in method else {}
    settings = {**TINY, **encoder, "train.steps": 4}
    options = {"method": method, "pairs": tmp_path / "pairs", "device": "cpu"}
    whole = imgtranslate.train(out=tmp_path / "whole", settings=settings, **options)
    assert whole.finished
    short = {**settings, "train.steps": 2}
    imgtranslate.train(out=tmp_path / "run", settings=short, **options)
    imgtranslate.resume(tmp_path / "run", settings={"train.steps": 4}, device="cpu")
    names = ["ab.safetensors", "state.safetensors", "metrics.jsonl"]
    assert (tmp_path / "run/ba.safetensors").exists() == (method == "cyclegan")
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_pairs_that_changed_are_reported_on_a_resume(tmp_path: Path) -> None:
    for index in range(12):
        side_by_side(tmp_path / "pairs" / f"{index}.png", 5 * index, 255 - 5 * index)
    options = {"method": "pix2pix", "pairs": tmp_path / "pairs", "device": "cpu"}
    settings = {**TINY, "train.steps": 1}
    imgtranslate.train(out=tmp_path / "run", settings=settings, **options)
    side_by_side(tmp_path / "pairs" / "new.png", 1, 2)
    told: list[Any] = []
    imgtranslate.resume(
        tmp_path / "run", settings={"train.steps": 2}, device="cpu", report=told.append
    )
    assert any("have changed" in str(event) for event in told)


def test_a_missing_folder_names_its_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.a .*missing: no such folder"):
        find_domains(DataSettings(a=str(tmp_path / "missing"), b=str(tmp_path)), paired=True)
