"""Versions, machine, GPUs, threads and extras, without paths, host or user names.

The description can be sent with a report of a fault.
"""

import os
import platform
import re
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from imgtranslate._version import __version__
from imgtranslate.doctor.self_test import SelfTest, run_self_tests
from imgtranslate.errors import one_line
from imgtranslate.memory import available_memory, free_space, scratch_folder

NO_FEATURES = ("dev", "docs")  # extras for work on imgtranslate itself
INSTRUCTIONS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_bf16", "asimd", "asimdhp", "bf16", "sve"),
)
VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("KMP_AFFINITY", "KMP_BLOCKTIME", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF"),
)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that a report of a fault should contain."""

    imgtranslate: str
    python: str
    system: str
    cpu: str
    cores: int
    usable_cores: int
    instructions: list[str]
    memory_available: int  # bytes
    memory_total: int | None
    disk_free: int  # for temporary files
    driver: str  # of NVIDIA GPUs
    environment: dict[str, str]
    packages: dict[str, str]  # versions; empty for a package that is missing
    outdated: dict[str, str]  # the versions that imgtranslate needs
    extras: dict[str, list[str]]  # the packages that each one lacks
    torch: dict[str, Any] = field(default_factory=dict)  # as ``describe_torch`` found
    self_tests: list[SelfTest]

    @property
    def failures(self) -> list[SelfTest]:
        """The tests that failed."""
        return [test for test in self.self_tests if test.state == "failed"]

    @property
    def notes(self) -> list[str]:
        """Findings that are no failures, and what to do."""
        notes = [
            f"{name} {self.packages[name]}: imgtranslate needs {least}. Run pip install -U {name}"
            for name, least in self.outdated.items()
        ]
        if self.driver and self.torch and not self.torch["devices"]:
            notes.append(
                f"GPU: there is a driver, {self.driver}, but torch {self.torch['version']} finds "
                "no GPU. Install a build for this driver, as pytorch.org says"
            )
        return notes


def diagnose() -> Diagnosis:
    """Describe this machine and test the engines, in a few seconds. The network is not used."""
    packages, outdated, extras = _packages()
    tests, torch = run_self_tests(packages)
    processor = _text("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", processor, re.MULTILINE)
    flags = set(" ".join(re.findall(r"^(?:flags|Features)\s*:(.+)$", processor, re.M)[:1]).split())
    return Diagnosis(
        imgtranslate=__version__,
        python=f"{platform.python_version()}, {platform.python_implementation()}",
        system=platform.platform(),
        cpu=one_line(names[0] if names else platform.processor() or platform.machine()),
        cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0))
        if sys.platform == "linux"
        else os.cpu_count() or 1,
        instructions=[name for name in INSTRUCTIONS if name in flags],
        memory_available=available_memory(),
        memory_total=_total_memory(),
        disk_free=free_space(scratch_folder()),
        driver=" ".join(
            re.findall(r"Kernel Module\D*([\d.]+)", _text("/proc/driver/nvidia/version"))
        ),
        environment={name: _plain(os.environ[name]) for name in VARIABLES if name in os.environ},
        packages=packages,
        outdated=outdated,
        extras=extras,
        torch=torch,
        self_tests=tests,
    )


# Packages


def _packages() -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """Return versions, requirements that are not met, and what each extra lacks."""
    packages: dict[str, str] = {}
    outdated: dict[str, str] = {}
    extras: dict[str, list[str]] = {}
    for requirement in _requirements():
        name = re.split(r"[^\w.-]", requirement)[0]
        least = re.search(r">=\s*([\d.]+)", requirement)
        extra = re.search(r"extra\s*==\s*['\"](\w+)", requirement)
        if extra and extra[1] in NO_FEATURES:
            continue
        found = _version(name)
        packages[name] = found
        if extra:
            extras.setdefault(extra[1], []).extend([] if found else [name])
        if found and least and _numbers(found) < _numbers(least[1]):
            outdated[name] = least[1]
    return packages, outdated, extras


def _requirements() -> list[str]:
    try:
        return requires("imgtranslate") or []
    except PackageNotFoundError:  # imported from a folder, without being installed
        return ["numpy", "onnx", "onnxruntime", "pillow", "safetensors", "torch", "torchvision"]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


# Machine


def _plain(value: str) -> str:
    """Return the value of an environment variable, unless it could be a path or a text."""
    return value if re.fullmatch(r"[\w.,:;=+-]{1,60}", value) else "(set)"


def _text(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
