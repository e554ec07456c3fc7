"""Available memory and disk space, and the parameters ``memory`` and ``tile``."""

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from imgtranslate.errors import UsageError

if sys.platform != "win32":
    import resource

Tile = Literal["auto", "off"] | int  # rows of a strip

UNKNOWN = 4 * 2**30  # bytes, assumed where the system does not say
LEAST = 64 * 2**20  # bytes


def parse_memory(text: str) -> int:
    """Turn ``4G``, ``500M`` or ``1.5GiB`` into bytes; ``UsageError`` for anything else."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([KMGT])(?:i?B)?", text.strip(), re.I)
    if match is None:
        raise UsageError(f"`memory` {text}: not an amount of memory. Write it like 4G or 500M")
    amount = int(float(match[1]) * 1024 ** (1 + "KMGT".index(match[2].upper())))
    if amount < LEAST:
        raise UsageError(f"`memory` {text}: too little memory. Give 64M or more")
    return amount


def parse_tile(text: str) -> Tile:
    """Read ``auto``, ``off`` or a number of rows; ``UsageError`` for anything else."""
    match text.strip():
        case "auto" | "off" as word:
            return word
        case number if number.isascii() and number.isdigit() and int(number[:9]) > 0:
            return int(number[:9])
    raise UsageError(f"`tile` {text}: not a number of rows. Use auto, off or a number such as 256")


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes available without swapping, on the machine or, if less, in its container."""
    return max(min(_of_machine(root), *_of_groups(root)), 0)


def restart_peak() -> None:
    """Forget the peak of ``peak_memory`` so far, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> int:
    """Return the most bytes that this process has held; 0 where the system does not say."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _text(Path("/proc/self/status")), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    if sys.platform == "win32":
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def scratch_folder() -> Path:
    """Choose TMPDIR, else /var/tmp: on many machines /tmp is held in memory."""
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    large = Path("/var/tmp")
    if not named and large.is_dir() and os.access(large, os.W_OK):
        return large
    return Path(tempfile.gettempdir())


def free_space(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder."""
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
    """Yield the bytes left below each memory limit of this process's control groups.

    Version 2 has one tree for all resources, version 1 one for memory. Inside a container the
    group's path may be missing; the limit of the container is then at the top of the tree.
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
        if limit.isdigit() and used.isdigit():  # "max" means no limit
            yield int(limit) - int(used) + _cached(_text(group / "memory.stat"), cache_name)


def _cached(statistics: str, name: str) -> int:
    """Return the bytes of cached files, which count as used but are freed on demand."""
    found = re.search(rf"^{name} (\d+)$", statistics, re.MULTILINE)
    return int(found[1]) if found else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
