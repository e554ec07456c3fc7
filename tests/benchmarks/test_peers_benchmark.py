import sys
from pathlib import Path

import pytest
from fixtures.pictures import save_picture
from PIL import Image

from benchmarks.peers import Cost, Setting, compared, draw, run, training


def setting(folder: Path) -> Setting:
    return Setting(
        reference=folder / "reference",
        cut=None,
        python=sys.executable,
        folder=folder,
        size=128,
        base_channels=8,
        steps=4,
        pictures=4,
        runs=3,
        device="cpu",
        cpu_time=False,
    )


def test_a_step_is_the_difference_of_a_long_and_a_short_process(tmp_path: Path) -> None:
    def peers(count: int) -> Cost:
        return Cost(seconds=10 + 2 * count, mib=100)

    def ours(count: int) -> Cost:
        return Cost(seconds=20 + count, mib=50 + count)

    row = compared(setting(tmp_path), peers, ours, more=4, unit="step")
    assert (row["peer_2_s"], row["ours_2_s"]) == (14, 22)
    assert (row["peer_step_s"], row["ours_step_s"], row["ratio"]) == (2, 1, 2)
    assert (row["peer_mib"], row["ours_mib"], row["runs"]) == (100, 56, 3)


def test_a_process_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("print('first')\nraise SystemExit('no such option')")
    with pytest.raises(RuntimeError, match=r"fails\.py: no such option$"):
        run([sys.executable, "-S", str(script)], of=setting(tmp_path))
    done = run([sys.executable, "-S", "-c", "pass"], of=setting(tmp_path))
    assert done.seconds > 0
    assert done.mib > 1


def test_a_folder_without_scripts_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"reference: no train\.py there"):
        training(setting(tmp_path), "cyclegan")


def sizes_in(folder: Path) -> list[tuple[int, int]]:
    sizes = []
    for path in folder.iterdir():
        with Image.open(path) as picture:
            sizes.append(picture.size)
    return sizes


def test_pictures_are_those_of_the_user_alone_and_in_pairs(tmp_path: Path) -> None:
    for side in "AB":
        save_picture(tmp_path / "data" / f"train{side}/one.png", size=(40, 30))
    folder = tmp_path / "drawn"
    folder.mkdir()
    draw(folder, tmp_path / "data", size=32, train=3, test=2)
    for name, count in (("trainA", 3), ("trainB", 3), ("testA", 2), ("testB", 2)):
        assert sizes_in(folder / name) == count * [(32, 32)]
    assert sizes_in(folder / "pairs/train") == 3 * [(64, 32)]
