from pathlib import Path

import pytest

from imgtranslate.errors import UsageError
from imgtranslate.memory import available_memory, parse_memory, parse_tile

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4 * GIB),
        ("1.5g", 3 * GIB // 2),
        ("500M", 500 * 2**20),
        ("2GiB", 2 * GIB),
        ("2 GB", 2 * GIB),
        ("70000K", 70_000 * 1024),
        ("1T", 1024 * GIB),
    ],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "4", "G", "-1G", "1e9G", "4X", "4GG", "nanG", "63M", "0G"])
def test_what_is_no_amount_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^`memory` .*\. (Write|Give) ") as caught:
        parse_memory(text)
    assert "\n" not in str(caught.value)


def test_tiles() -> None:
    assert [parse_tile(text) for text in ("auto", "off", "256")] == ["auto", "off", 256]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "on", "²", "10x10"])
def test_what_is_no_tile_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^`tile` .*Use auto, off or a number"):
        parse_tile(text)


def machine(root: Path, *, kib: int, groups: str = "", files: dict[str, str] | None = None) -> Path:
    texts = {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable: {kib} kB\n", **(files or {})}
    for name, text in {**texts, "proc/self/cgroup": groups}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_a_container_the_machine_decides(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path, kib=2048)) == 2048 * 1024


def test_the_tightest_group_above_decides(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "5\n",
        "sys/fs/cgroup/a/memory.max": "900000\n",
        "sys/fs/cgroup/a/memory.current": "500000\n",
        "sys/fs/cgroup/a/memory.stat": "anon 7\ninactive_file 100000\n",
        "sys/fs/cgroup/a/b/memory.max": "800000\n",
        "sys/fs/cgroup/a/b/memory.current": "200000\n",
    }
    root = machine(tmp_path, kib=2048, groups="0::/a/b\n", files=files)
    assert available_memory(root) == 900_000 - 500_000 + 100_000


def test_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/memory.max": "700000\n", "sys/fs/cgroup/memory.current": "800000\n"}
    root = machine(tmp_path, kib=2048, groups="0::/../of/the/host\n", files=files)
    assert available_memory(root) == 0


def test_version_1_of_the_groups(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "600000\n",
        "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": "200000\n",
        "sys/fs/cgroup/memory/docker/x/memory.stat": "total_inactive_file 50000\n",
    }
    groups = "3:cpu,cpuacct:/docker/x\n2:memory:/docker/x\n"
    root = machine(tmp_path, kib=2048, groups=groups, files=files)
    assert available_memory(root) == 450_000


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert available_memory(tmp_path) > 2**26


def test_this_machine() -> None:
    assert 2**26 < available_memory() < 2**50
