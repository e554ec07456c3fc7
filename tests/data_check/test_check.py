"""The data check, as it stands before a training: what is refused, what is told, what is left."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.pictures import save_picture
from PIL import Image

import imgtranslate
from imgtranslate.data import folders
from imgtranslate.data.loader import SampleDataset
from imgtranslate.errors import UsageError
from imgtranslate.images import read_image
from imgtranslate.runs.data import domains_of_run, has_changed
from imgtranslate.runs.folder import Run
from imgtranslate.training.events import Notice
from imgtranslate.training.request import Request
from imgtranslate.training.run_state import record_of
from imgtranslate.training.train import Plan, plan_training

TINY: dict[str, Any] = {
    "data.crop_size": 24,
    "generator.base_channels": 4,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "train.log_every": 1,
}


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for side in ("horses", "zebras"):
        for index in range(3):
            save_picture(tmp_path / side / f"{index}.png")
    return tmp_path


def plan(sides: Path, **options: Any) -> Plan:
    settings = {**TINY, **options.pop("settings", {})}
    given = {"a": sides / "horses", "b": sides / "zebras", "out": sides / "run", **options}
    return plan_training(Request(settings=settings, **given), device="cpu")


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
        ("empty", "contains no pictures"),
        ("text", "contains no pictures"),
        ("horses/0.png", "a file, not a folder"),
    ):
        message = refusal(sides, a=sides / name)
        assert message.startswith(f"data.a {sides / name}: ")
        assert said in message
        assert refusal(sides, b=sides / name).startswith(f"data.b {sides / name}: ")


def test_files_that_are_no_pictures_are_named(sides: Path) -> None:
    (sides / "horses" / "text.png").write_text("no picture")
    (sides / "zebras" / "nothing.jpg").write_bytes(b"")
    whole = save_picture(sides / "whole.jpg", size=(200, 200)).read_bytes()
    (sides / "zebras" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    message = refusal(sides)
    assert "3 training files cannot be read" in message
    for name in ("text.png", "nothing.jpg", "half.jpg", "data.skip_unreadable=true"):
        assert name in message


def test_advice_on_a_huge_picture_fits_a_training(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_picture(sides / "horses" / "huge.png", size=(60, 60))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    message = refusal(sides)
    assert "huge.png: 3,600 pixels, more than the limit of 2,000. Resize it" in message
    assert "allow" not in message


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
    assert message.startswith("data.a ")
    assert "no training picture can be read" in message


def warnings(sides: Path, **options: Any) -> str:
    return "\n".join(plan(sides, **options).report.warnings)


def test_duplicates_between_and_within_the_folders_are_told(sides: Path) -> None:
    content = (sides / "horses" / "0.png").read_bytes()
    (sides / "zebras" / "other.png").write_bytes(content)
    (sides / "horses" / "again.png").write_bytes(content)
    told = warnings(sides)
    assert "0.png: in both folders, the other copy is " in told
    assert "is in the folder more than once" in told


def test_the_same_folder_twice_is_told(sides: Path) -> None:
    assert "in both folders" in warnings(sides, b=sides / "horses")


def test_small_pictures_few_pictures_and_imbalance_are_told(sides: Path) -> None:
    save_picture(sides / "horses" / "small.png", size=(12, 12))
    for index in range(10):
        save_picture(sides / "zebras" / f"more{index}.png")
    told = warnings(sides)
    assert "small.png would be enlarged more than twice" in told
    assert "horses: only 4 pictures;" in told
    assert "an epoch shows each picture of horses 3.0 times" in told


def test_held_out_pictures_are_set_aside_and_never_read_in_training(
    sides: Path, read_in_training: list[Path]
) -> None:
    for index in range(30):
        save_picture(sides / "horses" / f"more{index}.png")
    found = plan(sides)
    held_out = set(found.report.domains[0].held_out)
    assert len(held_out) == 3
    assert held_out.isdisjoint(found.report.domains[0].files)
    again = plan(sides).report.domains[0]
    assert set(again.held_out) == held_out
    files = {path for domain in found.report.domains for path in domain.files}
    imgtranslate.train(
        a=sides / "horses",
        b=sides / "zebras",
        out=sides / "run",
        settings={**TINY, "train.steps": 500, "train.sample_every": 1000},
        device="cpu",
        stop=lambda: files <= set(read_in_training),
    )
    assert files <= set(read_in_training)
    assert held_out.isdisjoint(read_in_training)


def test_a_held_out_picture_that_is_trained_on_is_not_judged(sides: Path) -> None:
    (sides / "test").mkdir()
    content = (sides / "horses" / "0.png").read_bytes()
    (sides / "test" / "leak.png").write_bytes(content)
    save_picture(sides / "test" / "fine.png")
    settings = {"data.held_out_a": str(sides / "test")}
    found = plan(sides, settings=settings).report
    assert [path.name for path in found.domains[0].held_out] == ["fine.png"]
    assert "leak.png: held out, but the same picture as" in "\n".join(found.warnings)


def test_the_classic_layout(tmp_path: Path) -> None:
    root = tmp_path / "horse2zebra"
    for part in ("trainA", "trainB", "testA", "testB"):
        for index in range(2):
            save_picture(root / part / f"{index}.png")
    found = plan_training(Request(data=root, out=tmp_path / "run", settings=TINY), device="cpu")
    a, b = found.report.domains
    assert (a.name, b.name) == ("horse", "zebra")
    assert [len(side) for side in (a.files, b.files, a.held_out, b.held_out)] == [2, 2, 2, 2]
    with pytest.raises(UsageError, match="no folder trainA in it"):
        plan_training(Request(data=root / "trainA", settings=TINY), device="cpu")
    with pytest.raises(UsageError, match="cannot be combined"):
        plan_training(Request(data=root, a=root / "trainA", settings=TINY), device="cpu")


def test_nested_folders_and_upper_case_names(tmp_path: Path) -> None:
    save_picture(tmp_path / "horses" / "deep" / "er" / "A.PNG")
    save_picture(tmp_path / "horses" / "é 日本.png")
    save_picture(tmp_path / "zebras" / "x.png")
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
    save_picture(tmp_path / "zebras" / "x.png")
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


def tree(folder: Path) -> dict[Path, bytes | None]:
    """Everything below a folder."""
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def spoil(sides: Path, fault: str) -> tuple[dict[str, Any], str]:
    """Put something wrong in place: what to ask for, and the file or option to begin with."""
    horses, bad = sides / "horses", sides / "bad"
    bad.mkdir()
    match fault:
        case "missing":
            return {"a": sides / "nowhere"}, f"data.a {sides / 'nowhere'}: "
        case "empty":
            return {"b": bad}, f"data.b {bad}: "
        case "hidden":
            save_picture(bad / ".hidden.png")
            return {"b": bad}, f"data.b {bad}: "
        case "a file":
            return {"a": horses / "0.png"}, f"data.a {horses / '0.png'}: "
        case "text alone":
            (bad / "text.png").write_text("no picture")
            return {"a": bad}, f"{bad / 'text.png'}: "
        case "text skipped":
            (bad / "text.png").write_text("no picture")
            return {"a": bad, "settings": {"data.skip_unreadable": True}}, f"data.a {bad}: "
        case "nothing":
            (horses / "none.png").write_bytes(b"")
            return {}, f"{horses / 'none.png'}: "
        case "cut short":
            whole = save_picture(bad / "whole.jpg", size=(200, 200)).read_bytes()
            (sides / "zebras" / "half.JPG").write_bytes(whole[: len(whole) // 2])
            return {}, f"{sides / 'zebras' / 'half.JPG'}: "
        case "dead link":
            (horses / "link.png").symlink_to(sides / "nowhere.png")
            return {}, f"{horses / 'link.png'}: "
        case "no trainB":
            (bad / "trainA").mkdir()
            return {"a": None, "b": None, "data": bad}, f"`data` {bad}: "
        case "empty trainB":
            save_picture(bad / "trainA" / "0.png")
            (bad / "trainB").mkdir()
            return {"a": None, "b": None, "data": bad}, f"data.b {bad / 'trainB'}: "
        case "held out":
            held_out = {"data.held_out_b": str(bad)}
            return {"settings": held_out}, f"data.held_out_b {bad}: "
        case _:
            raise ValueError(fault)


FAULTS = (
    *("missing", "empty", "hidden", "a file", "text alone", "text skipped", "nothing"),
    *("cut short", "dead link", "no trainB", "empty trainB", "held out"),
)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_refusal_begins_with_the_file_or_option_says_what_to_do_and_writes_nothing(
    fault: str, sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sides)
    options, start = spoil(sides, fault)
    before = tree(sides)
    message = refusal(sides, **options)
    assert tree(sides) == before
    assert message.startswith(start)
    reason, _, remedy = message.removeprefix(start).partition(". ")
    assert reason
    assert remedy


def test_another_method_on_the_same_folders_gets_a_folder_to_use(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sides)
    run = Path("runs/horses2zebras")
    run.mkdir(parents=True)
    (run / "config.toml").touch()
    said = "already contains a run. Continue it with `resume` runs/horses2zebras, or start another "
    assert refusal(sides, out=None).endswith(f"{said}with `out` runs/horses2zebras-cyclegan")
    request = Request(a=sides / "horses", b=sides / "zebras", method="dualgan")
    with pytest.raises(UsageError, match=r"with `out` runs/horses2zebras-dualgan$"):
        plan_training(request, device="cpu")
    Path("runs/horses2zebras-cyclegan").mkdir()
    assert refusal(sides, out=None).endswith("with `out` runs/horses2zebras-cyclegan2")


def test_a_plan_writes_nothing(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sides)
    before = tree(sides)
    assert plan(sides, out=None).out == Path("runs/horses2zebras")
    assert tree(sides) == before


@pytest.mark.parametrize("out", ["stands", "a file"])
def test_the_place_is_refused_before_any_picture_is_read(sides: Path, out: str) -> None:
    (sides / "horses" / "0.png").write_bytes(b"")
    place = sides / "place"
    save_picture(place / "x.png" if out == "stands" else sides / "x.png").replace(
        place / "x.png" if out == "stands" else place
    )
    before = tree(sides)
    assert refusal(sides, out=place).startswith(f"{place}: already exists")
    assert tree(sides) == before


def leave_out(sides: Path, what: str) -> Plan:
    """Plan with a picture that the check leaves out, of a side where some are held out."""
    for index in range(9):
        save_picture(sides / "horses" / f"more{index}.png")
    (held_out,) = plan(sides).report.domains[0].held_out
    trained = plan(sides).report.domains[0].files[3]
    match what:
        case "unreadable in training":
            trained.write_bytes(b"")
        case "unreadable and held out":
            held_out.write_bytes(b"")
        case "held out and trained on":
            held_out.write_bytes(trained.read_bytes())
    return plan(sides, settings={"data.skip_unreadable": True})


LEFT_OUT = ("unreadable in training", "unreadable and held out", "held out and trained on")


@pytest.mark.parametrize("what", LEFT_OUT)
def test_a_run_finds_again_what_it_was_begun_with(sides: Path, what: str) -> None:
    planned = leave_out(sides, what)
    record = record_of(planned.report)
    for found, begun in zip(
        domains_of_run(planned.settings, record), planned.report.domains, strict=True
    ):
        assert found == begun
        assert not has_changed(found, record)


@pytest.mark.parametrize("what", LEFT_OUT[1:])
def test_a_resume_reads_nothing_that_was_left_out(sides: Path, what: str) -> None:
    planned = leave_out(sides, what)
    settings = {**TINY, "data.skip_unreadable": True, "train.steps": 1}
    options = {"a": sides / "horses", "b": sides / "zebras", "out": sides / "run"}
    imgtranslate.train(settings=settings, device="cpu", **options)
    told: list[str] = []
    result = imgtranslate.resume(
        sides / "run",
        settings={"train.steps": 1 + len(planned.report.domains[0].files)},  # each of them once
        device="cpu",
        report=lambda event: told.append(event.text) if isinstance(event, Notice) else None,
    )
    assert result.finished
    assert told == []


def test_what_is_skipped_is_told_and_is_no_more_than_that(sides: Path) -> None:
    for name in ("0.png", "2.png"):
        (sides / "zebras" / name).write_bytes(b"\x89PNG")
    found = plan(sides, settings={"data.skip_unreadable": True}).report
    assert [path.name for path in found.domains[0].files] == ["0.png", "1.png", "2.png"]
    assert [path.name for path in found.domains[1].files] == ["1.png"]
    assert [len(side) for side in found.left_out] == [0, 2]
    first = sides / "zebras" / "0.png"
    assert f"left out 2 unreadable files: the first is {first}: " in "\n".join(found.warnings)


def test_a_picture_in_both_folders_is_told_with_both_its_names(sides: Path) -> None:
    content = (sides / "horses" / "1.png").read_bytes()
    other = sides / "zebras" / "deep" / "renamed.PNG"
    other.parent.mkdir()
    other.write_bytes(content)
    save_picture(sides / "zebras" / "1.png")  # of one name only
    told = [line for line in plan(sides).report.warnings if "both folders" in line]
    assert len(told) == 1
    assert told[0].startswith(f"{sides / 'horses' / '1.png'}: ")
    assert str(other) in told[0]


def test_the_names_of_links_are_the_names_of_the_domains(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in "AB":
        (sides / f"set/train{side}").mkdir(parents=True)
        save_picture(sides / f"set/train{side}/0.png")
    (sides / "cats").symlink_to(sides / "set/trainA")
    (sides / "dogs").symlink_to(sides / "set/trainB")
    (sides / "cat2dog").symlink_to(sides / "set")
    monkeypatch.chdir(sides)
    for given, out in (
        ({"a": "cats", "b": "./dogs/"}, "runs/cats2dogs"),
        ({"a": "cats", "b": "zebras"}, "runs/cats2zebras"),
        ({"a": "set/trainA", "b": "cats/../dogs"}, "runs/trainA2dogs"),
        ({"data": "cat2dog"}, "runs/cat2dog"),
        ({"data": "set"}, "runs/a2b"),
        ({"pairs": "cats"}, "runs/cats"),
        ({"pairs": "cats/.."}, f"runs/{sides.name}"),
    ):
        settings, place = Request(**given).resolve()
        assert place == Path(out)
        assert "pairs" in given or f"{settings.data.name_a}2{settings.data.name_b}" == place.name


def test_the_same_folder_by_a_link_is_told(sides: Path) -> None:
    (sides / "link").symlink_to(sides / "horses")
    assert "in both folders" in warnings(sides, b=sides / "link")


def test_enlarging_more_than_twice_is_told_by_the_shorter_side(sides: Path) -> None:
    load = plan(sides).settings.data.load_size
    assert load == 27
    save_picture(sides / "horses" / "enough.png", size=(14, 14))
    assert "enlarged" not in warnings(sides)
    save_picture(sides / "horses" / "wide.png", size=(90, 13))
    save_picture(sides / "horses" / "yet.png", size=(13, 13))
    assert "horses: 2 pictures, such as wide.png, would be enlarged" in warnings(sides)
    assert "to 27 px" in warnings(sides)


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (90, 3)])
def test_pictures_far_smaller_than_the_crop_train(sides: Path, size: tuple[int, int]) -> None:
    for index in range(3):
        save_picture(sides / "horses" / f"{index}.png", size=size)
    options = {"a": sides / "horses", "b": sides / "zebras", "out": sides / "run"}
    settings = {**TINY, "train.steps": 3}
    assert imgtranslate.train(settings=settings, device="cpu", **options).finished


@pytest.fixture
def read_in_training(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of every sample, but not those of figures, validations and the check."""
    read: list[Path] = []
    sampling: set[int] = set()  # threads
    get = SampleDataset.__getitem__

    def getitem(samples: SampleDataset, position: int) -> Any:
        sampling.add(threading.get_ident())
        found = get(samples, position)
        sampling.discard(threading.get_ident())
        return found

    def spy(path: Path, **options: Any) -> Any:
        read.extend([path] * (threading.get_ident() in sampling))
        return read_image(path, **options)

    monkeypatch.setattr(SampleDataset, "__getitem__", getitem)
    monkeypatch.setattr(folders, "read_image", spy)
    return read


@pytest.mark.parametrize("given", [False, True])
def test_every_training_picture_is_read_and_no_held_out_one_before_and_after_a_resume(
    sides: Path, given: bool, read_in_training: list[Path]
) -> None:
    for index in range(9):
        save_picture(sides / "horses" / f"more{index}.png")
        save_picture(sides / "zebras" / f"more{index}.png")
        save_picture(sides / "judged" / f"{index}.png")
    settings = {**TINY, "train.steps": 12, "train.sample_every": 5, "train.validate_every": 5}
    if given:
        settings |= {f"data.held_out_{letter}": str(sides / "judged") for letter in "ab"}
    domains = plan(sides, settings=settings).report.domains
    assert [len(domain.held_out) for domain in domains] == ([9, 9] if given else [1, 1])
    options = {"a": sides / "horses", "b": sides / "zebras", "out": sides / "run"}
    imgtranslate.train(settings=settings, device="cpu", **options)
    assert set(read_in_training) == {path for domain in domains for path in domain.files}
    read_in_training.clear()
    imgtranslate.resume(sides / "run", settings={"train.steps": 20}, device="cpu")
    assert len(read_in_training) == 16
    assert set(read_in_training) < {path for domain in domains for path in domain.files}


@pytest.mark.parametrize("spelling", ["absolute", "relative", "dotted", "linked"])
def test_held_out_pictures_below_the_training_folder_are_not_trained_on(
    sides: Path, spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(2):
        save_picture(sides / "horses" / "test" / f"{index}.png")
    monkeypatch.chdir(sides)
    (sides / "link").symlink_to(sides / "horses" / "test")
    place = {
        "absolute": str(sides / "horses" / "test"),
        "relative": "horses/test",
        "dotted": str(sides / "zebras" / ".." / "horses" / "test"),
        "linked": str(sides / "link"),
    }[spelling]
    a, _ = plan(sides, a="horses", settings={"data.held_out_a": place}).report.domains
    assert [path.name for path in a.held_out] == ["0.png", "1.png"]
    assert [path.relative_to(sides / "horses").as_posix() for path in a.files] == [
        "0.png",
        "1.png",
        "2.png",
    ]


def test_the_classic_layout_trains_with_one_side_held_out(
    tmp_path: Path, read_in_training: list[Path]
) -> None:
    root = tmp_path / "apple2orange"
    for name in ("trainA/x.JPG", "trainA/deep/y.Png", "trainB/x.png", "testB/x.png"):
        save_picture(root / name)
    (root / "testA").mkdir()  # empty, as if it were not there
    settings = {**TINY, "train.steps": 2}
    result = imgtranslate.train(data=root, out=tmp_path / "run", settings=settings, device="cpu")
    assert result.finished
    found = {path.relative_to(root).as_posix() for path in read_in_training}
    assert found == {"trainA/x.JPG", "trainA/deep/y.Png", "trainB/x.png"}
    _, record = Run(tmp_path / "run").read_config()
    assert record["held_out_a"] == []
    assert record["held_out_b"] == [str(root / "testB" / "x.png")]


ODD = ("grey", "grey and alpha", "bilevel", "palette", "alpha", "16 bits", "16-bit TIFF", "turned")


def odd(path: Path, kind: str) -> np.ndarray:
    """Write a picture without loss, but oddly; what it shows, uint8 (h, w, 3)."""
    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    alpha = np.random.default_rng(1).integers(0, 256, (40, 30), np.uint8)
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[..., 0])
    path.parent.mkdir()
    match kind:
        case "grey":
            shown = grey
            grey.save(path)
        case "grey and alpha":
            shown = grey.copy()
            grey.putalpha(Image.fromarray(alpha))
            grey.save(path)
        case "bilevel":
            shown = image.convert("1")
            shown.save(path)
        case "palette":
            shown = image.convert("P")
            shown.save(path)
        case "alpha":
            shown = image.copy()
            image.putalpha(Image.fromarray(alpha))
            image.save(path)
        case "16 bits" | "16-bit TIFF":
            shown = grey
            deep = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
            deep.save(path, format="TIFF" if kind == "16-bit TIFF" else "PNG")
        case _:
            exif = Image.Exif()
            exif[0x0112] = 6
            shown = image.rotate(-90, expand=True)
            image.save(path, exif=exif)
    return np.asarray(shown.convert("RGB"))


@pytest.mark.parametrize("kind", ODD)
def test_training_sees_an_odd_picture_as_it_is_shown(tmp_path: Path, kind: str) -> None:
    suffix = "TIF" if "TIFF" in kind else "PNG"
    shown = odd(tmp_path / "horses" / f"odd.{suffix}", kind)
    save_picture(tmp_path / "zebras" / "x.png")
    # as large as the picture, so that nothing is resized, turned or cut off along its width
    settings = {"data.load_size": 30, "data.crop_size": 28, "data.flip": False}
    found = plan(tmp_path, settings=settings)
    a, _ = SampleDataset(*found.report.domains, found.settings, paired=False)[0]  # type: ignore[misc]
    cuts = np.lib.stride_tricks.sliding_window_view(shown, (28, 28, 3)).reshape(-1, 28, 28, 3)
    assert any(np.array_equal(a, cut) for cut in cuts)
    result = imgtranslate.train(
        a=tmp_path / "horses",
        b=tmp_path / "zebras",
        out=tmp_path / "run",
        settings={**TINY, "train.steps": 1},
        device="cpu",
    )
    assert result.finished
