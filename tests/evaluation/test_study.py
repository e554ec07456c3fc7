import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.models import save_both
from fixtures.pages import Tags, data_of
from fixtures.pictures import save_picture
from fixtures.runs import make_run
from PIL import Image

from imgtranslate import cli
from imgtranslate.errors import UsageError
from imgtranslate.evaluation.study import SIDE, write_study


def flat(path: Path, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20), colour).save(path)
    return path


def coloured_run(folder: Path, count: int) -> Path:
    """Real pictures of B are pure blue, which no fake is."""
    a = [save_picture(folder / f"x/{n:02}.png", seed=n) for n in range(count)]
    b = [flat(folder / f"y/{n:02}.png", (0, 0, 255)) for n in range(count)]
    return make_run(folder, held_out=(a, b))


def study(run: Path, **options: Any) -> dict[str, Any]:
    return data_of(write_study(run, device="cpu", **options))


def content(data: dict[str, Any], index: int) -> bytes:
    head, _, text = data["pictures"][index].partition(",")
    assert head == "data:image/webp;base64"
    return base64.b64decode(text)


def is_real(data: dict[str, Any], index: int) -> bool:
    with Image.open(io.BytesIO(content(data, index))) as image:
        assert image.size == (SIDE, SIDE)
        red, green, blue = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(axis=0)
    return bool(blue > 240 and red < 15 and green < 15)


def sides(data: dict[str, Any]) -> Sequence[int]:
    mask, masked = (np.frombuffer(base64.b64decode(part), np.uint8) for part in data["key"])
    found: Sequence[int] = (mask ^ masked).tolist()
    return found


def test_each_pair_has_one_real_picture_where_the_key_says(tmp_path: Path) -> None:
    data = study(coloured_run(tmp_path, 50))
    assert (len(data["trials"]), data["practice"]) == (50, 10)
    for trial, side in zip(data["trials"], sides(data), strict=True):
        assert [is_real(data, index) for index in trial] == [side == 0, side == 1]
    assert 10 < sum(sides(data)) < 40


def test_nothing_on_the_page_tells_which_is_real(tmp_path: Path) -> None:
    page = write_study(coloured_run(tmp_path, 20), device="cpu")
    data = data_of(page)
    assert len({len(text) for text in data["pictures"]}) == 1
    used = [index for trial in data["trials"] for index in trial]
    assert sorted(used) == list(range(40))
    real = [is_real(data, index) for index in range(40)]
    assert 2 < sum(real[:20]) < 18  # neither kind stands first
    assert 2 < sum(real[::2]) < 18  # nor in turns
    assert real[::2] != [not each for each in real[1::2]]
    assert ".png" not in page.read_text("utf-8")


def test_the_seed_alone_decides_the_order(tmp_path: Path) -> None:
    run = coloured_run(tmp_path, 8)
    pages = [write_study(run, device="cpu", seed=seed).read_bytes() for seed in (0, 0, 1)]
    assert pages[0] == pages[1] != pages[2]


@pytest.mark.parametrize(
    ("pictures", "count", "trials", "practice"),
    [(1, 40, 1, 0), (8, 40, 8, 1), (20, 5, 15, 10), (60, 40, 50, 10)],
)
def test_how_many_pairs_are_to_practise(
    tmp_path: Path, pictures: int, count: int, trials: int, practice: int
) -> None:
    data = study(coloured_run(tmp_path, pictures), count=count)
    assert (len(data["trials"]), data["practice"]) == (trials, practice)


def test_a_damaged_picture_is_no_trial(tmp_path: Path) -> None:
    run = coloured_run(tmp_path, 3)
    (tmp_path / "x/01.png").write_bytes(b"damaged")
    assert len(study(run)["trials"]) == 2
    for path in (tmp_path / "x").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(UsageError, match="no held-out picture can be read"):
        study(run)


def test_two_models_are_compared_on_one_input(tmp_path: Path) -> None:
    run = coloured_run(tmp_path, 6)
    other = tmp_path / "other"
    save_both(other, names=("zebras", "horses"), seed=1)
    page = write_study(run, compare=other / "ab.safetensors", device="cpu")
    assert page == run / "study-compare.html"
    data = data_of(page)
    assert (data["mode"], data["practice"], len(data["trials"])) == ("better", 0, 6)
    assert data["models"][1].endswith("other/ab.safetensors")
    same = study(run, compare=run)
    for trial, side in zip(data["trials"], sides(data), strict=True):
        first = content(data, trial[side])
        assert len(trial) == 3
        assert first.rstrip(b"\0") in {c.rstrip(b"\0") for c in map_contents(same)}
        assert content(data, trial[1 - side]).rstrip(b"\0") not in {
            c.rstrip(b"\0") for c in map_contents(same)
        }


def map_contents(data: dict[str, Any]) -> list[bytes]:
    return [content(data, index) for index in range(len(data["pictures"]))]


def test_the_other_direction(tmp_path: Path) -> None:
    data = study(coloured_run(tmp_path, 4), direction="ba")
    assert (data["source"], data["target"]) == ("zebras", "horses")


def test_what_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = coloured_run(tmp_path / "one", 4)
    compare = ["--compare", str(run / "ba.safetensors"), "--device", "cpu"]
    assert cli.run(["study", str(run), *compare]) == 2
    assert "the same direction" in capsys.readouterr().err
    assert cli.run(["study", str(run), "--from", "c"]) == 2
    assert cli.run(["study", str(run), "-o", str(tmp_path)]) == 2
    bare = make_run(tmp_path / "two", held_out=((), ()))
    assert cli.run(["study", str(bare)]) == 2
    assert "has no held-out pictures" in capsys.readouterr().err


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = Tags(write_study(coloured_run(tmp_path, 3), device="cpu").read_text("utf-8"))
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img"}
        assert not {"src", "href", "srcset", "style"} & attributes.keys()
    code = page.inside["style"] + page.inside["script"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|fetch\(", code)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", code)


def test_the_command_prints_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = coloured_run(tmp_path, 3)
    assert cli.run(["study", str(run), "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{run / 'study.html'}\n"
