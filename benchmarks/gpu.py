"""Everything that only a GPU can tell, in one command of a few minutes.

``python -m benchmarks.gpu --data DIR --out DIR`` needs a folder with trainA, trainB, testA and
testB, and a new folder for the results. Each part runs in a process of its own and in its own share
of the time; the training at the end takes what the others left. ``DIR/results.json`` and
``DIR/results.md`` are written after every row, so a part that fails or is stopped loses nothing.
``--device cpu --minutes 1 --size 32`` runs every part in miniature.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from benchmarks.gpu_parts import PARTS, Part, Setting
from benchmarks.tables import to_table
from imgtranslate.files import write_text

SHARES = {  # of the time that each part may take; in order of worth
    "device": 0.04,
    "steps": 0.15,
    "compiled": 0.25,
    "waiting": 0.06,
    "resume": 0.06,
    "translate": 0.06,
    "onnx": 0.06,
    "tests": 0.08,
    "training": 1.0,
    "pictures": 1.0,
}
AFTER_TRAINING = 0.04  # of the whole time, for the test pictures

FORK = multiprocessing.get_context("fork")  # parts need not import torch again
Result = dict[str, Any]  # of a part: "seconds", "rows", and "error", which is one line


def main(
    data: Annotated[Path, typer.Option(help="Folder with trainA, trainB, testA and testB.")],
    out: Annotated[Path, typer.Option(help="New folder for results, run and pictures.")],
    minutes: Annotated[float, typer.Option(help="Time for all parts together.")] = 8.0,
    device: Annotated[str, typer.Option(help="cuda, cuda:1, cpu.")] = "cuda",
    size: Annotated[int, typer.Option(help="Side of the pictures, px.")] = 256,
    base_channels: Annotated[
        int | None, typer.Option(help="Of all networks; a quarter of the size if not given.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only this part; repeatable: {', '.join(SHARES)}.")
    ] = None,
) -> None:
    """Measure a GPU, and train on it."""
    missing = [
        name for name in ("trainA", "trainB", "testA", "testB") if not (data / name).is_dir()
    ]
    if missing:
        raise typer.BadParameter(f"{data}: has no folder {missing[0]}")
    unknown = sorted(set(part or ()) - SHARES.keys())
    if unknown:
        raise typer.BadParameter(f"--part {unknown[0]}: choose from {', '.join(SHARES)}")
    if out.exists() and any(out.iterdir()):
        raise typer.BadParameter(f"{out}: is not empty")
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)

    whole = minutes * 60
    end = time.time() + whole
    setting = Setting(
        data=data.absolute(),
        out=out.absolute(),
        device=device,
        size=size,
        base_channels=base_channels or size // 4,
        deadline=end,
    )
    results: dict[str, Any] = {"minutes": minutes, "device": device, "size": size}
    results |= {"base_channels": setting.base_channels, "blocks": setting.blocks, "parts": {}}
    for name, share in SHARES.items():
        if part and name not in part:
            continue
        left = end - time.time() - (AFTER_TRAINING * whole if name == "training" else 0)
        seconds = min(share * whole, left)
        found: Result = {"seconds": 0.0, "rows": []}
        results["parts"][name] = found
        typer.echo(f"{name}: up to {seconds:.0f} s", err=True)
        run_part(PARTS[name], setting, seconds, found, save=lambda: _save(out, results))
        typer.echo(to_markdown(name, found))


def run_part(
    part: Part,
    setting: Setting,
    seconds: float,
    found: Result,
    *,
    save: Callable[[], None],
) -> None:
    """Run a part in a process of its own, which is killed after ``seconds``."""
    if seconds < 1:
        found["error"] = "no time was left"
        save()
        return
    began = time.time()
    receiver, sender = FORK.Pipe(duplex=False)
    with tempfile.TemporaryFile() as log:
        given = replace(setting, deadline=began + seconds)
        process = FORK.Process(target=_send_rows, args=(part, given, sender, log.fileno()))
        process.start()
        sender.close()
        try:
            while receiver.poll(max(0.0, began + seconds - time.time())):
                found["rows"].append(receiver.recv())
                found["seconds"] = round(time.time() - began, 1)
                save()
            found["error"] = f"stopped after its {seconds:.0f} s"
        except EOFError:  # the part has ended
            process.join()
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            if process.exitcode:
                found["error"] = said[-1][:300] if said else f"exit status {process.exitcode}"
        finally:
            _kill(process)
    found["seconds"] = round(time.time() - began, 1)
    save()


def _send_rows(part: Part, setting: Setting, sender: Connection, log: int) -> None:
    """Run a part in its process; what libraries print goes to a log."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout = sys.stderr = os.fdopen(2, "w", closefd=False)
    for row in part(setting):
        sender.send(row)


def _kill(process: ForkProcess) -> None:
    """End a part with all processes that it started."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _save(out: Path, results: dict[str, Any]) -> None:
    write_text(out / "results.json", json.dumps(results, indent=1) + "\n")
    title = "{size} px, {base_channels} channels, {blocks} blocks, {device}\n".format(**results)
    tables = [to_markdown(name, part) for name, part in results["parts"].items()]
    write_text(out / "results.md", "\n".join([title, *tables]))


def to_markdown(name: str, part: Result) -> str:
    """Write a part as a heading, a table with a column for each name, and its error."""
    lines = [f"### {name} ({part['seconds']:.0f} s)", ""]
    if part["rows"]:
        lines += [to_table(part["rows"]), ""]
    if "error" in part:
        lines += [f"Not complete: {part['error']}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
