"""The memory and disk space to work in, and the options that limit them."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from imgtranslate.errors import UsageError

Tile = Literal["auto", "off"] | int  # rows of a strip

UNKNOWN = 4 * 2**30  # bytes, assumed where the system does not say
LEAST = 64 * 2**20  # bytes


def parse_memory(text: str) -> int:
    """Turn ``4G``, ``500M`` or ``1.5GiB`` into bytes; ``UsageError`` for anything else."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([KMGT])(?:i?B)?", text.strip(), re.I)
    if match is None:
        raise UsageError(f"--memory {text}: not an amount of memory. Write it as 4G or 500M")
    amount = int(float(match[1]) * 1024 ** (1 + "KMGT".index(match[2].upper())))
    if amount < LEAST:
        raise UsageError(f"--memory {text}: too little to work in. Give 64M or more")
    return amount


def parse_tile(text: str) -> Tile:
    """Read ``auto``, ``off`` or a number of rows; ``UsageError`` for anything else."""
    match text.strip():
        case "auto" | "off" as word:
            return word
        case number if number.isascii() and number.isdigit() and int(number[:9]) > 0:
            return int(number[:9])
    raise UsageError(f"--tile {text}: not a number of rows. Use auto, off or a number such as 256")


def available_memory(root: Path = Path("/")) -> int:
    """Count the bytes free without swapping, on the machine or in the container if that is less."""
    return max(min(_of_machine(root), *_of_groups(root)), 0)


def scratch_folder() -> Path:
    """Choose TMPDIR, else /var/tmp: on many machines /tmp lies in memory itself."""
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    large = Path("/var/tmp")
    if not named and large.is_dir() and os.access(large, os.W_OK):
        return large
    return Path(tempfile.gettempdir())


def free_space(folder: Path) -> int:
    """Count the bytes that can be written into a folder."""
    return shutil.disk_usage(folder).free


def _of_machine(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return UNKNOWN


def _of_groups(root: Path) -> Iterator[int]:
    """Yield the bytes below each limit of the control groups around this process.

    Version 2 has one tree, version 1 one for memory alone. Inside a container the group's path
    may be missing; the container's own limit then stands at the top.
    """
    yield 2**63
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            names = ("memory.max", "memory.current", "inactive_file")
            yield from _left(root / "sys/fs/cgroup", path, names)
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _left(root / "sys/fs/cgroup/memory", path, names)


def _left(top: Path, path: str, names: tuple[str, str, str]) -> Iterator[int]:
    limit_name, used_name, cache_name = names
    inside = Path(path.lstrip("/"))
    for group in (top / inside, *(top / parent for parent in inside.parents)):
        limit, used = _text(group / limit_name).strip(), _text(group / used_name).strip()
        if limit.isdigit() and used.isdigit():  # "max" where there is no limit
            yield int(limit) - int(used) + _cached(_text(group / "memory.stat"), cache_name)


def _cached(statistics: str, name: str) -> int:
    """Count the bytes of cached files: counted as used, and freed on demand."""
    found = re.search(rf"^{name} (\d+)$", statistics, re.MULTILINE)
    return int(found[1]) if found else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
