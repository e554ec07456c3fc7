import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.pictures import save_picture

from benchmarks import gpu
from benchmarks.gpu_parts import PARTS, Setting
from benchmarks.tables import Row

ROOT = Path(gpu.__file__).parent.parent


def good(setting: Setting) -> Iterator[Row]:
    sys.stdout.write("libraries may print")
    yield {"size": setting.size}
    yield {"size": 2 * setting.size, "other": "a|b"}


def bad(setting: Setting) -> Iterator[Row]:
    yield {"size": setting.size}
    raise RuntimeError("out of luck")


def slow(setting: Setting) -> Iterator[Row]:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield {"size": setting.size}
    time.sleep(60)


def setting(folder: Path) -> Setting:
    return Setting(
        data=folder, out=folder, device="cpu", size=32, base_channels=8, deadline=time.time()
    )


@pytest.mark.parametrize(
    ("part", "seconds", "rows", "error"),
    [
        (good, 60.0, [{"size": 32}, {"size": 64, "other": "a|b"}], None),
        (bad, 60.0, [{"size": 32}], "RuntimeError: out of luck"),
        (slow, 2.0, [{"size": 32}], "stopped after its 2 s"),
        (good, 0.5, [], "no time was left"),
    ],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_part_loses_no_row(
    tmp_path: Path, part: gpu.Part, seconds: float, rows: list[Row], error: str | None
) -> None:
    saved: list[int] = []
    found: gpu.Result = {"seconds": 0.0, "rows": []}
    gpu.run_part(
        part, setting(tmp_path), seconds, found, save=lambda: saved.append(len(found["rows"]))
    )
    assert found["rows"] == rows
    assert found.get("error") == error
    assert saved == [*range(1, len(rows) + 1), len(rows)]  # after each row, and at the end


def test_the_table_has_a_column_for_each_name() -> None:
    part = {"seconds": 1.2, "rows": [{"a": 1}, {"b": "x|y"}], "error": "stopped"}
    table = gpu.to_markdown("steps", part).splitlines()
    assert table[0] == "### steps (1 s)"
    assert table[2:6] == ["| a | b |", "| --- | --- |", "| 1 |  |", "|  | x/y |"]
    assert "Not complete: stopped" in table


def test_each_part_has_a_share() -> None:
    assert list(gpu.SHARES) == list(PARTS)
    assert sum(list(gpu.SHARES.values())[:-2]) < 0.8


@pytest.mark.slow
def test_every_part_in_miniature(tmp_path: Path) -> None:
    for side in ("trainA", "trainB", "testA", "testB"):
        for seed in range(8):
            save_picture(tmp_path / "data" / side / f"{seed}.png", size=(40, 36), seed=seed)
    options = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    sizes = ["--device", "cpu", "--minutes", "2", "--size", "32"]
    command = [sys.executable, "-m", "benchmarks.gpu", *options, *sizes]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    parts = json.loads((tmp_path / "out/results.json").read_text())["parts"]
    assert list(parts) == list(gpu.SHARES)
    trained = len(parts["training"]["rows"]) == 2  # the pilot, and the run
    for name, part in parts.items():
        assert part["rows"] or "error" in part, name
        errors = [row["error"] for row in part["rows"] if "error" in row]
        assert all("precision" in error for error in errors), errors  # fp16 is refused on a CPU
        if trained or name != "pictures":  # on a busy machine there may be no time for some
            late = ("stopped after", "no time was left")
            assert part.get("error", late[0]).startswith(late), (name, part["error"])
    if trained:
        assert parts["pictures"]["rows"][0]["written"] == 8
    for name in gpu.SHARES:
        assert f"### {name} (" in (tmp_path / "out/results.md").read_text()
