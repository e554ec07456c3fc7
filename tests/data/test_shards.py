import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.pictures import png

import imgtranslate
from imgtranslate import cli
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset
from imgtranslate.data.shards import plain_shard
from imgtranslate.errors import DataError, ImageError
from imgtranslate.images import read_image
from imgtranslate.images import tar_archive as members
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import DataSettings
from imgtranslate.settings.parsing import build_settings

TINY = {"data.crop_size": 32, "train.steps": 3, "data.held_out": 1}


def pack(archive: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(archive, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Twelve pictures of each side in three shards, and the same in folders."""
    for number, side in enumerate(("horses", "zebras")):
        for shard in range(3):
            names = {
                f"{shard}{n}.png": png((40, 36), seed=100 * number + 10 * shard + n)
                for n in range(4)
            }
            others = {name.replace(".png", ".cls"): b"1" for name in names}
            pack(tmp_path / f"{side}-{shard:03}.tar", names | others | {".hidden.png": b"no"})
            for name, content in names.items():
                place = tmp_path / side / f"{side}-{shard:03}.tar"
                place.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content)
    return tmp_path


def samples(a: Path, b: Path, **data: Any) -> list[bytes]:
    layer = {"a": str(a), "b": str(b), "crop_size": 16, **data}
    settings = build_settings(preset="tiny", layers=[{"data": layer}])
    dataset = SampleDataset(*find_domains(settings.data, paired=False), settings, paired=False)
    drawn = [dataset[position] for position in range(30)]
    return [side.tobytes() for pair in drawn if isinstance(pair, tuple) for side in pair]


def test_samples_of_shards_are_those_of_a_folder(shards: Path) -> None:
    wanted = samples(shards / "horses", shards / "zebras")
    found = samples(shards / "horses-{000..002}.tar", shards / "zebras-{000,001,002}.tar")
    assert len(found) == 60
    assert found == wanted


def test_a_run_on_shards_is_resumed_checked_and_reported(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patterns = [str(shards / f"{side}-{{000..002}}.tar") for side in ("horses", "zebras")]
    run = shards / "run"
    settings = [f"--set={name}={value}" for name, value in TINY.items()]
    begin = ["train", "--a", patterns[0], "--b", patterns[1], "--preset", "tiny", "--out", str(run)]
    assert cli.run([*begin, *settings, "--device", "cpu"]) == 0
    kept, record = Run(run).read_config()
    assert (kept.data.name_a, kept.data.name_b) == ("horses", "zebras")
    assert ".tar/" in record["held_out_a"][0]
    capsys.readouterr()
    assert cli.run(["train", "--resume", str(run), "--steps", "4", "--device", "cpu"]) == 0
    assert "have changed" not in capsys.readouterr().err
    assert cli.run(["cycle-check", "--run", str(run), "--device", "cpu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["images"]
    assert [".tar/" in row["path"] for row in rows] == [True, True]


def test_one_archive_will_do_and_its_changes_are_reported(shards: Path) -> None:
    a, b = shards / "horses-000.tar", shards / "zebras-000.tar"
    options: dict[str, Any] = {"preset": "tiny", "device": "cpu"}
    out = imgtranslate.train(a=a, b=b, out=shards / "run", settings=TINY, **options).run
    pack(a, {f"0{n}.png": png((50, 50), seed=n) for n in range(4)})
    said: list[str] = []
    imgtranslate.resume(
        out, settings={"train.steps": 4}, device="cpu", report=lambda e: said.append(str(e))
    )
    assert any("pictures have changed" in line for line in said)


def test_pairs_are_matched_by_the_key_of_a_sample(shards: Path) -> None:
    pack(shards / "labels-0.tar", {f"{n}.label.png": png((40, 36), seed=n) for n in range(3)})
    pack(shards / "photos-0.tar", {f"{n}.photo.png": png((40, 36), seed=n) for n in range(2)})
    pack(shards / "photos-1.tar", {"2.photo.png": png((40, 36), seed=2)})
    data = {"a": str(shards / "labels-0.tar"), "b": str(shards / "photos-{0..1}.tar")}
    a, b = find_domains(DataSettings(**data, held_out=0), paired=True)
    assert [path.name[0] for path in a.files] == [path.name[0] for path in b.files] == [*"012"]


def test_pictures_side_by_side_may_lie_in_shards(shards: Path) -> None:
    pack(shards / "facades.tar", {f"{n}.png": png((80, 40), seed=n) for n in range(3)})
    a, b = find_domains(DataSettings(pairs=str(shards / "facades.tar"), held_out=0), paired=True)
    assert (a.half, b.half, len(a.files)) == ("left", "right", 3)
    assert a.read(a.files[0], channels=3).shape == (40, 40, 3)


def test_a_broken_picture_is_named_with_its_archive(tmp_path: Path) -> None:
    archive = pack(
        tmp_path / "x.tar", {"./deep/bad.png": b"no picture", "good.png": png((40, 36), seed=0)}
    )
    with pytest.raises(ImageError, match=r"x\.tar/deep/bad\.png: not a picture of a known format"):
        read_image(archive / "deep" / "bad.png", channels=3)
    with pytest.raises(ImageError, match=r"x\.tar/gone\.png: no such file in the archive"):
        read_image(archive / "gone.png", channels=3)
    assert read_image(archive / "good.png", channels=3).pixels.shape == (36, 40, 3)
    assert [members.is_there(archive / name) for name in ("good.png", "gone.png")] == [True, False]


def member_of(name: str = "1.png", **fields: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        member = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(member, field, value)
        path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    return write


def cut(at: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pack(path, {f"{n}.png": png((40, 36), seed=n) for n in range(2)})
        path.write_bytes(path.read_bytes()[:at])

    return write


def spoilt(path: Path) -> None:
    """A second header whose checksum is wrong: tarfile would stop there and say nothing."""
    pack(path, {"1.png": bytes(512), "2.png": bytes(512)})
    content = bytearray(path.read_bytes())
    content[1024 + 150] ^= 1
    path.write_bytes(content)


HOSTILE = {
    "absolute": (member_of("/etc/passwd"), "member /etc/passwd has a path outside of the archive"),
    "upwards": (member_of("a/../../x.png"), "has a path outside of the archive"),
    "link": (member_of(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link or a device"),
    "hard link": (member_of(type=tarfile.LNKTYPE, linkname="2.png"), "is a link or a device"),
    "device": (member_of(type=tarfile.CHRTYPE), "is a link or a device"),
    "pipe": (member_of(type=tarfile.FIFOTYPE), "is a link or a device"),
    "huge": (member_of(size=2**40), "bytes, more than"),
    "short": (member_of(size=2**20), r"cut short in its member 1\.png"),
    "cut in a member": (cut(2000), "cut short|not a complete tar"),
    "cut in a header": (cut(600), "cut short|not a complete tar"),
    "spoilt": (spoilt, "damaged after 1,024 bytes"),
    "no tar": (lambda path: path.write_bytes(b"x" * 5000), "not a complete tar archive"),
    "empty": (lambda path: path.write_bytes(b""), "not a complete tar archive"),
    "no pictures": (lambda path: pack(path, {"1.cls": b"1"}), "contains no pictures"),
    "missing": (lambda path: path.unlink(missing_ok=True), "No such file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_one_line(shards: Path, case: str) -> None:
    write, reason = HOSTILE[case]
    write(shards / "horses-001.tar")
    a = shards / ("horses-001.tar" if case == "no pictures" else "horses-{000..002}.tar")
    with pytest.raises(DataError, match=rf"^data.a \S+horses-\S+\.tar: .*({reason})") as caught:
        find_domains(DataSettings(a=str(a), b=str(shards / "zebras")), paired=False)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(". ") >= 1


def test_a_link_to_an_archive_in_a_circle_is_one_line(shards: Path) -> None:
    (shards / "circle.tar").symlink_to(shards / "circle.tar")
    with pytest.raises(DataError, match=r"circle\.tar: "):
        find_domains(
            DataSettings(a=str(shards / "circle.tar"), b=str(shards / "zebras")), paired=False
        )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x-{000..999999999999}.tar", "more than 100,000 shards"),
        ("x" + "{0,1}" * 30 + ".tar", "more than 100,000 shards"),
        ("x-{0..{1..2}}.tar", "nested braces"),
        ("x-{0..2.tar", "unmatched brace|nested braces"),
        ("x.tar.gz", "compressed"),
        ("x-{000..099}.tgz", "compressed"),
    ],
)
def test_a_pattern_that_cannot_be_is_one_line(shards: Path, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        find_domains(DataSettings(a=str(shards / name), b=str(shards / "zebras")), paired=False)


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_one_line_names_it(
    shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.run(
        ["train", "--a", str(shards / "horses-000.tar"), "--b", str(shards / "zebras")]
    )
    said = capsys.readouterr().err.strip()
    assert status == 2
    assert said.endswith(
        "horses-000.tar: shards need webdataset. Run pip install 'imgtranslate[webdataset]'"
    )
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("horses-{000..099}.tar", "horses"),
        ("horses_{a,b}-{0..9}.tar", "horses"),
        ("horses.tar", "horses"),
        ("horses", "horses"),
        ("{0..9}.tar", ""),
    ],
)
def test_a_side_is_called_as_its_shards(name: str, plain: str) -> None:
    assert plain_shard(name) == plain
