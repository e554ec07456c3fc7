"""``imgtranslate doctor``."""

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.options import option
from imgtranslate.cli.terminal import examples, printable, result, say, say_error

if TYPE_CHECKING:
    from imgtranslate.doctor.diagnosis import Diagnosis
    from imgtranslate.doctor.self_test import SelfTest

EPILOG = examples("imgtranslate doctor", "imgtranslate doctor --json")
WIDTH = 79  # characters of a line, which mail and issue forms keep whole


def doctor(
    as_json: Annotated[bool, option("", "Print one JSON object.", "--json")] = False,
) -> None:
    """Describe this installation, and test whether each engine works.

    The text is for reports of faults: versions, machine, GPU, threads and extras,
    without paths or user names. A tiny network runs in each engine that is
    installed; their results must agree within 1 of 255 levels. The exit status is
    1 if a test fails.
    """
    from imgtranslate.doctor.diagnosis import diagnose

    found = diagnose()
    if as_json:
        notes = {"ok": not found.failures, "notes": found.notes}
        result(json.dumps({**dataclasses.asdict(found), **notes}))
    else:
        for name, text in _facts(found):
            for line in textwrap.wrap(
                printable(text), WIDTH, initial_indent=f"{name:<14}", subsequent_indent=" " * 14
            ):
                result(line)
    for note in found.notes:
        say(f"note: {note}")
    for test in found.failures:
        say_error(f"failed: {test.name}: {test.reason}. {test.remedy}")
    if found.failures:
        raise typer.Exit(1)


def _facts(found: "Diagnosis") -> Iterator[tuple[str, str]]:
    yield "imgtranslate", found.imgtranslate
    yield "Python", found.python
    yield "system", found.system
    yield "CPU", f"{found.cpu}, {found.usable_cores} of {found.cores} cores"
    yield "instructions", ", ".join(found.instructions) or "unknown"
    total = "" if found.memory_total is None else f" of {_gigabytes(found.memory_total)}"
    yield "memory", f"{_gigabytes(found.memory_available)}{total} available"
    yield "disk", f"{_gigabytes(found.disk_free)} free for temporary files"
    yield from _gpus(found)
    variables = [f"{name}={value}" for name, value in found.environment.items()]
    threads = [f"torch {found.torch['threads']}"] if found.torch else []
    yield "threads", ", ".join([*threads, *variables]) or "unknown"
    present = [f"{name} {version}" for name, version in found.packages.items() if version]
    yield "packages", ", ".join(present)
    optional = {name for names in found.extras.values() for name in names}
    if missing := [n for n, version in found.packages.items() if not version and n not in optional]:
        yield "missing", ", ".join(missing)
    yield "extras", ", ".join(n for n, lacks in found.extras.items() if not lacks) or "none"
    yield (
        "not installed",
        ", ".join(f"{n} (lacks {', '.join(lacks)})" for n, lacks in found.extras.items() if lacks)
        or "none",
    )
    for number, test in enumerate(found.self_tests):
        yield "" if number else "self-test", f"{test.name}: {_outcome(test)}"


def _gpus(found: "Diagnosis") -> Iterator[tuple[str, str]]:
    driver = f", driver {found.driver}" if found.driver else ""
    cuda = f", CUDA {found.torch['cuda']}" if found.torch and found.torch["cuda"] else ""
    devices = found.torch.get("devices", [])
    for gpu in devices:
        memory = f", {_gigabytes(gpu['free'])} of {_gigabytes(gpu['total'])} free"
        yield "GPU", f"{gpu['device']}: {gpu['name']}{memory if gpu['free'] else ''}{driver}{cuda}"
    if not devices:
        yield "GPU", f"none that torch {found.torch.get('version', '')} can use{driver}"


def _outcome(test: "SelfTest") -> str:
    if test.state == "failed":
        return f"FAILED, {test.reason}"
    seconds = "" if test.seconds is None else f", {test.seconds:.1f} s"
    apart = "" if not test.difference else f", differs by {test.difference:.2g} of 255 levels"
    return f"{test.state}{seconds}{apart}"


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
