"""What `train --check` doubts: copies, leaks, misfitting pairs, odd files; and its sheet."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures import profiles
from PIL import Image, ImageOps

from imgtranslate import cli
from imgtranslate.data_check.mismatched_pairs import is_mixed_up, misfits, shares_of_better
from imgtranslate.data_check.near_duplicates import find_matches
from imgtranslate.images import read_image
from imgtranslate.runs.data import domains_of_run
from imgtranslate.training.request import Request
from imgtranslate.training.run_state import record_of
from imgtranslate.training.train import Plan, plan_training

TINY: dict[str, Any] = {
    "data.crop_size": 24,
    "generator.base_channels": 4,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
}


def photo(seed: int, *, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """Coarse and fine colours, as photos have; of no two seeds alike."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for grid in (4, 9, 20, 45):
        levels = rng.integers(0, 256, (grid, grid, 3), np.uint8)
        total += np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)) / grid
    total -= total.min()
    return Image.fromarray((total * (255 / total.max())).astype(np.uint8))


def outline(image: Image.Image) -> Image.Image:
    """Where it is dark, as a label map in two colours."""
    dark = np.asarray(image.convert("L")) < 110
    return Image.fromarray(np.where(dark[..., None], (0, 0, 200), (200, 80, 0)).astype(np.uint8))


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for seed, side in enumerate(("horses", "zebras", "test")):
        (tmp_path / side).mkdir()
        for index in range(12):
            photo(100 * seed + index).save(tmp_path / side / f"{index}.png")
    return tmp_path


def plan(sides: Path, **options: Any) -> Plan:
    settings = {**TINY, "data.held_out_a": str(sides / "test"), **options.pop("settings", {})}
    given = {"a": sides / "horses", "b": sides / "zebras", "out": sides / "run", **options}
    return plan_training(Request(settings=settings, **given), device="cpu")


def told(found: Plan, word: str) -> list[str]:
    return [line for line in (*found.report.lines, *found.report.warnings) if word in line]


def test_pictures_of_their_own_are_not_doubted(sides: Path) -> None:
    found = plan(sides)
    assert [len(domain.files) for domain in found.report.domains] == [12, 11]  # one is set aside
    assert len(found.report.domains[0].held_out) == 12
    assert not any(each.groups for each in found.report.findings)


# Copies


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 25, 0, width - width // 33, height - height // 20))


COPIES = {
    "resized": lambda image: image.resize((50, 61), Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
    "cropped": cropped,
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: image.point(lambda level: min(255, level * 6 // 5)),
    "all of it": lambda image: ImageOps.mirror(cropped(image.convert("L"))).resize((70, 60)),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_held_out_picture_that_is_almost_trained_on_is_not_judged(sides: Path, how: str) -> None:
    COPIES[how](photo(3)).save(sides / "test" / "leak.jpg", quality=60)
    found = plan(sides)
    assert (sides / "test" / "leak.jpg") not in found.report.domains[0].held_out
    assert len(found.report.domains[0].held_out) == 12
    (line,) = told(found, "held out, but nearly")
    assert line.startswith(f"{sides / 'test' / 'leak.jpg'}: ")
    assert f"{sides / 'horses' / '3.png'}. It is left out of the validation" in line
    assert ("mirror image" in line) == (how in ("mirrored", "all of it"))


def test_the_record_of_a_run_leaves_near_leaks_out(sides: Path) -> None:
    ImageOps.mirror(photo(3)).save(sides / "test" / "leak.png")
    planned = plan(sides)
    record = record_of(planned.report)
    assert domains_of_run(planned.settings, record) == planned.report.domains
    assert str(sides / "test" / "leak.png") in record["left_out_a"]


def test_held_out_pictures_that_are_all_trained_on_are_told(sides: Path) -> None:
    for path in (sides / "test").iterdir():
        cropped(photo(int(path.stem))).save(path)
    found = plan(sides)
    assert found.report.domains[0].held_out == ()
    (line,) = told(found, "all held-out pictures are training pictures too")
    assert line.endswith("Set data.held_out_a to other pictures")
    assert len(told(found, "It is left out of the validation")) == 3  # and how many more
    assert told(found, "and 9 more of this kind")


def test_near_copies_within_a_side_and_across_are_told(sides: Path) -> None:
    cropped(photo(1)).save(sides / "horses" / "again.png")
    ImageOps.mirror(photo(2)).save(sides / "zebras" / "stray.png")
    found = plan(sides)
    (within,) = told(found, "are nearly the same")
    assert within.startswith("horses: two pictures are nearly the same (1.png and again.png)")
    (across,) = told(found, "in the other folder")
    assert f"{sides / 'horses' / '2.png'}: nearly the mirror image of" in across
    assert f"{sides / 'zebras' / 'stray.png'}" in across


def thumbnails(images: list[Image.Image]) -> Any:
    return np.stack([np.asarray(image.convert("L").resize((32, 32), 4)) for image in images])


def test_every_twin_is_found_in_a_crowd_and_nothing_else() -> None:
    crowd = [photo(seed) for seed in range(300)]
    found = find_matches(thumbnails([*crowd, *map(cropped, crowd[:50])]))
    assert {(match.first, match.second) for match in found} == {(n, 300 + n) for n in range(50)}


def in_one_place(seed: int) -> Image.Image:
    """The coarse colours of one landscape, with other things in it each time."""
    coarse = np.asarray(soft(photo(0)), dtype=np.float64)
    fine = np.asarray(photo(seed), dtype=np.float64) - soft(photo(seed))
    return Image.fromarray(np.clip(coarse + fine, 0, 255).astype(np.uint8))


def soft(image: Image.Image) -> Image.Image:
    few = image.resize((8, 8), Image.Resampling.BOX)
    return few.resize(image.size, Image.Resampling.BICUBIC)


def test_pictures_of_one_layout_are_no_twins() -> None:
    small = thumbnails([in_one_place(seed) for seed in range(1, 30)])
    first, second = small[:2].reshape(2, -1)
    assert np.corrcoef(first, second)[0, 1] > 0.8
    assert find_matches(small) == []


def test_flat_pictures_and_none_are_like_nothing() -> None:
    assert find_matches(np.zeros((0, 32, 32), np.uint8)) == []
    assert find_matches(np.full((40, 32, 32), 200, np.uint8)) == []


def test_a_film_is_not_compared_without_bounds() -> None:
    frames = np.repeat(thumbnails([photo(1)]), 1000, axis=0)
    found = find_matches(frames)
    assert len(found) == 1000  # not 499,500


# Pairs


def save_pairs(folder: Path, *, shift: int, count: int = 24) -> None:
    for side in "ab":
        (folder / side).mkdir(exist_ok=True)
    for index in range(count):
        photo(index).save(folder / "b" / f"{index}.png")
        outline(photo((index + shift) % count)).save(folder / "a" / f"{index}.png")


def paired(folder: Path) -> Plan:
    options = {"a": folder / "a", "b": folder / "b", "method": "pix2pix", "settings": {}}
    return plan_training(Request(out=folder / "run", **options), device="cpu")


def test_a_mixed_up_list_of_pairs_is_shouted_at(tmp_path: Path) -> None:
    save_pairs(tmp_path, shift=7)
    (line,) = told(paired(tmp_path), "MIXED UP")
    assert "50% is chance" in line


def test_one_pair_that_does_not_fit_is_named_and_the_others_are_not(tmp_path: Path) -> None:
    save_pairs(tmp_path, shift=0)
    assert not told(paired(tmp_path), "match")
    outline(photo(777)).save(tmp_path / "a" / "5.png")
    (line,) = told(paired(tmp_path), "match worse than")
    assert line.startswith(f"{tmp_path / 'a' / '5.png'} and 5.png match")


def test_pairs_are_judged_whichever_side_is_the_negative() -> None:
    photos = thumbnails([photo(seed) for seed in range(60)])
    shares = shares_of_better(255 - photos, photos)
    assert not is_mixed_up(shares)
    assert misfits(shares) == []
    assert is_mixed_up(shares_of_better(photos, np.roll(photos, 1, axis=0)))


def test_of_a_few_pairs_nothing_is_said(tmp_path: Path) -> None:
    save_pairs(tmp_path, shift=3, count=9)
    assert not told(paired(tmp_path), "match")


# Files


def spoil(folder: Path, how: str) -> None:
    image, target = photo(55), folder / "odd.png"
    match how:
        case "long":
            photo(55, size=(300, 90)).save(target)
        case "black":
            Image.new("RGB", (96, 96)).save(target)
        case "transparent":
            image.putalpha(Image.linear_gradient("L").resize((96, 96)).point(lambda v: v // 3))
            image.save(target)
        case "grey":
            image.convert("L").save(target)
        case "misnamed":
            image.save(target, format="JPEG")
        case "no end":
            image.save(folder / "odd.jpg")
            content = (folder / "odd.jpg").read_bytes()
            (folder / "odd.jpg").write_bytes(content.removesuffix(b"\xff\xd9"))
        case "cmyk":
            image.convert("CMYK").save(folder / "odd.jpg")
        case "profile":
            image.save(target, icc_profile=profiles.adobe_rgb())
        case "turned":
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(folder / "odd.jpg", exif=exif)


SAID = {
    "long": "more than 3 times as long as wide",
    "black": "odd.png is of one colour, which teaches nothing",
    "transparent": "odd.png is mostly transparent; training uses the hidden colours",
    "grey": "odd.png is grey among colour pictures",
    "misnamed": "odd.png is a JPEG file despite its name",
    "no end": "odd.jpg is faulty: its end marker is missing, but no pixels",
    "cmyk": "odd.jpg is CMYK; converted to sRGB",
    "profile": "odd.png has a colour profile other than sRGB",
    "turned": "odd.jpg is rotated upright by its EXIF tag",
}


@pytest.mark.parametrize("how", SAID)
def test_a_suspicious_file_is_told_in_one_line(sides: Path, how: str) -> None:
    spoil(sides / "horses", how)
    found = plan(sides)
    (line,) = told(found, "odd.")
    assert line.startswith("horses: ")
    assert SAID[how] in line


IDS = np.kron(np.arange(25).reshape(5, 5) % 19, np.ones((6, 6), int))  # of 19 classes
NARROW: dict[str, tuple[Any, str]] = {
    "label ids": (IDS.astype(np.uint8), "0 and 18, 7.1% of the range 0 to 255, "),
    "ids and no label": (np.where(IDS == 3, 255, IDS).astype(np.uint8), "values below 255 lie"),
    "deep ids": (IDS.astype(np.uint16), "0 and 18, 0.027% of the range 0 to 65535, "),
    "mask of 0 and 1": ((IDS > 9).astype(np.uint8), "Write 255 for 1, or give label ids a palette"),
    "mask of 0 and 255": ((IDS > 9).astype(np.uint8) * 255, ""),
    "12 of 16 bits": (
        (IDS * 200).astype(np.uint16),
        "networks see nearly one colour. Multiply all",
    ),
    "16 bits": ((IDS * 3000).astype(np.uint16), ""),
    "a palette": (Image.fromarray(IDS.astype(np.uint8)), ""),
    "one colour": (np.full((30, 30), 7, np.uint8), ""),
}


@pytest.mark.parametrize("kind", NARROW)
def test_a_side_with_a_small_part_of_its_range_is_reported(tmp_path: Path, kind: str) -> None:
    values, said = NARROW[kind]
    for side in ("horses", "zebras"):
        (tmp_path / side).mkdir()
    for index in range(3):
        image = (
            values if isinstance(values, Image.Image) else Image.fromarray(np.roll(values, index))
        )
        if isinstance(values, Image.Image):
            image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
        image.save(tmp_path / "horses" / f"{index}.png")
        photo(index, size=(30, 30)).save(tmp_path / "zebras" / f"{index}.png")
    found = plan(tmp_path, settings={"data.held_out_a": ""})
    assert [said in line for line in told(found, "of the range")] == ([True] if said else [])
    assert bool(told(found, "of one colour")) == (kind == "one colour")


def test_the_check_lists_every_picture_with_the_reason_as_json(
    sides: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank, copies = [f"blank{n}.png" for n in range(5)], [f"again{n}.png" for n in range(4)]
    for index, name in enumerate(blank):
        Image.new("RGB", (96, 96), (index, 0, 0)).save(sides / "horses" / name)
    for index, name in enumerate(copies):
        photo(100 + index).save(sides / "horses" / name)  # as in the other folder
    for name in (broken := [f"broken{n}.png" for n in range(4)]):
        (sides / "zebras" / name).touch()
    command = ["train", "--a", str(sides / "horses"), "--b", str(sides / "zebras"), "--check"]
    command += ["--preset", "tiny", "--device", "cpu"]
    command += [f"--set=data.held_out_{side}={sides / 'test'}" for side in "ab"]
    assert cli.run(command) == 2
    assert "Remove the files, which --check with --json lists, or" in capsys.readouterr().err
    assert cli.run([*command, "--json"]) == 2
    (refused,) = json.loads(capsys.readouterr().out)["findings"]
    assert [Path(each["pictures"][0]["path"]).name for each in refused["groups"]] == broken

    skip = ["--set", "data.skip_unreadable=true"]
    assert cli.run([*command, *skip]) == 0
    assert capsys.readouterr().out.endswith("--check --json lists all pictures of each line\n")
    assert cli.run([*command, *skip, "--json"]) == 0
    listed: dict[str, list[dict[str, Any]]] = {
        each["finding"]: each["groups"] for each in json.loads(capsys.readouterr().out)["findings"]
    }

    def names(finding: str) -> list[str]:
        return [Path(group["pictures"][0]["path"]).name for group in listed[finding]]

    assert names("horses: of one colour") == blank
    assert names("unreadable") == broken
    assert names("in both folders") == copies
    assert "the file is empty" in listed["unreadable"][3]["reason"]
    assert str(sides / "zebras" / "3.png") in listed["in both folders"][3]["reason"]


# The sheet


def check(sides: Path, sheet: Path | str, *, options: tuple[str, ...] = ()) -> int:
    folders = ("--a", str(sides / "horses"), "--b", str(sides / "zebras"), *options)
    small = ("--preset", "tiny", "--device", "cpu", "--out", str(sides / "run"))
    return cli.run(["train", *folders, *small, "--check", "--sheet", str(sheet)])


def rows_with(pixels: Any, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels.astype(int) - colour).max(axis=2) < 12).any(axis=1).sum())


def test_the_sheet_shows_what_is_doubtful_and_a_sample(
    sides: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(sides, sides / "plain.png") == 0
    plain = read_image(sides / "plain.png", channels=3).pixels
    Image.new("RGB", (96, 96), (255, 0, 255)).save(sides / "horses" / "odd.png")
    assert check(sides, sides / "sheet.png") == 0
    pixels = read_image(sides / "sheet.png", channels=3).pixels
    assert pixels.shape[0] > plain.shape[0] + 100  # a section more
    assert rows_with(plain, (255, 0, 255)) == 0
    assert rows_with(pixels, (255, 0, 255)) >= 96
    said = capsys.readouterr()
    assert "odd.png is of one colour" in said.out
    assert not (sides / "run").exists()


def test_the_sheet_of_pairs_puts_them_side_by_side(tmp_path: Path) -> None:
    save_pairs(tmp_path, shift=7)
    folders = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--method", "pix2pix"]
    sheet = str(tmp_path / "sheet.png")
    assert cli.run(["train", *folders, "--device", "cpu", "--check", "--sheet", sheet]) == 0
    assert read_image(tmp_path / "sheet.png", channels=3).pixels.shape[1] == 1424


HOSTILE = ("\x1b[31mred\x07.png", "x" * 250 + ".png", "new\nline.png", "日本.png", "a\u202eb.png")


def test_names_of_any_bytes_are_drawn_and_said_on_one_line(
    sides: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for index, name in enumerate(HOSTILE):
        Image.new("RGB", (96, 96), (index, 0, 0)).save(sides / "horses" / name)
    blank = (sides / "horses" / HOSTILE[0]).read_bytes()
    Path(os.fsdecode(os.fsencode(sides / "horses") + b"/\xff\xfe.png")).write_bytes(blank)
    assert check(sides, sides / "sheet.png") == 0
    said = capfd.readouterr().out
    assert "\x1b" not in said
    assert "6 pictures" in said
    assert read_image(sides / "sheet.png", channels=3).pixels.shape[1] == 1424


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("horses/sheet.png", "would become a training picture"),
        ("link/deep/../sheet.png", "would become a training picture"),
        ("horses/0.png", "already exists"),
        ("sheet.txt", "not a picture file"),
        ("sheet", "not a picture file"),
        ("nowhere/sheet.png", "no such folder"),
    ],
)
def test_a_sheet_is_refused_before_anything_is_read(
    sides: Path, name: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (sides / "horses" / "deep").mkdir()
    (sides / "link").symlink_to(sides / "horses")
    (sides / "zebras" / "broken.png").write_bytes(b"")  # what reading would refuse
    before = sorted(sides.rglob("*"))
    assert check(sides, sides / name) == 2
    assert why in capsys.readouterr().err
    assert sorted(sides.rglob("*")) == before


def test_a_sheet_needs_a_check(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = ["--a", str(sides / "horses"), "--b", str(sides / "zebras")]
    assert cli.run(["train", *folders, "--sheet", str(sides / "sheet.png")]) == 2
    assert "Add --check" in capsys.readouterr().err
