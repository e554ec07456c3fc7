"""The cost of a step, of the start and of a picture as the work grows; flat is good.

One training is measured at two of its steps, the start of a training with folders of several sizes,
and one folder of pictures along its translation. Pictures and networks are tiny, so that what is
measured is everything else. Each measurement runs in a process of its own.
``python -m benchmarks.growth --json`` prints one object.
"""

import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from benchmarks.tables import Row, to_table
from benchmarks.translate import Setting, build_network, save
from imgtranslate.training.events import Checking, Event, Progress, Started
from imgtranslate.training.train import train
from imgtranslate.translation.translate import translate_folder

SIDE = 16  # of the pictures in the folders, px
WINDOW = 100  # steps over which a step is timed
OTHER = 50  # pictures of B
SETTINGS: dict[str, Any] = {
    "data.load_size": 36,
    "data.crop_size": 32,
    "data.held_out": 8,
    "generator.base_channels": 4,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 2,
}
Clock = Callable[[], float]


def main(
    at: Annotated[
        list[int] | None, typer.Option(help="Steps at which a training is measured.")
    ] = None,
    start: Annotated[
        list[int] | None, typer.Option(help="Pictures of A at the start of a training.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="Pictures of the translated folder.")] = 20_000,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Seconds of the CPU: where others use it too.")
    ] = False,
    only: Annotated[str | None, typer.Option(hidden=True)] = None,
    folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure the growth of time and memory."""
    clock = time.process_time if cpu_time else time.perf_counter
    steps, counts = sorted(at or [100, 5000]), sorted(start or [20_000, 200_000])
    if only is not None and folder is not None:
        match only:
            case "training":
                found = training(folder, steps, clock)
            case "start":
                found = [starting(folder, counts[0], clock)]
            case _:
                found = translating(folder, pictures, clock)
        typer.echo(json.dumps(found))
        return

    rows: dict[str, list[Row]] = {}
    flags = ["--cpu-time"] if cpu_time else []
    rows["training"] = _alone("training", [*flags, *(f"--at={step}" for step in steps)])
    rows["start"] = [row for n in counts for row in _alone("start", [*flags, f"--start={n}"])]
    rows["translating"] = _alone("translating", [*flags, f"--pictures={pictures}"])
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for title, each in rows.items():
        typer.echo(f"{title}\n\n{to_table(each)}\n")


def training(folder: Path, steps: list[int], clock: Clock) -> list[Row]:
    """Train once; time the steps before each of ``steps``, without validations and saves."""
    draw(folder / "a", OTHER)
    draw(folder / "b", OTHER)
    rows: list[Row] = []
    ends: deque[float] = deque(maxlen=WINDOW + 1)

    def watch(event: Event) -> None:
        if not isinstance(event, Progress):
            return
        ends.append(clock())
        if event.step in steps:
            times = list(ends)
            each = [end - began for began, end in itertools.pairwise(times)]
            step_s = round(statistics.median(each), 5)
            rows.append({"step": event.step, "step_s": step_s, "mib": _mib_now()})

    _train(folder, report=watch, stop=lambda: len(rows) == len(steps))
    return rows


def starting(folder: Path, count: int, clock: Clock) -> Row:
    """Start a training on many pictures, and end it after its first step."""
    draw(folder / "a", count)
    draw(folder / "b", OTHER)
    row: Row = {"pictures": count}
    began, before = clock(), _mib_now()

    def watch(event: Event) -> None:
        spent = round(clock() - began, 2)
        match event:
            case Checking():
                row.setdefault("listed_s", spent)
            case Started():
                row["checked_s"] = spent
            case Progress():
                row["first_step_s"] = spent
                row["grown_mib"] = round(_mib_peak() - before, 1)

    _train(folder, report=watch, stop=lambda: True)
    return row


def translating(folder: Path, count: int, clock: Clock) -> list[Row]:
    """Translate a folder; measure each tenth of it."""
    draw(folder / "in", count)
    shown = Setting(size=SIDE, base_channels=4, blocks=1, images=0, device="cpu", suffix=".png")
    model = save(build_network(shown), shown, folder / "ab.safetensors")
    tenth = max(1, count // 10)
    rows: list[Row] = []
    began = clock()
    outcomes = translate_folder(folder / "in", folder / "out", model=model, device="cpu")
    for number, _ in enumerate(outcomes, start=1):
        if number % tenth == 0:
            speed = round(tenth / (clock() - began), 1)
            rows.append({"pictures": number, "pictures_per_s": speed, "mib": _mib_now()})
            began = clock()
    return rows


def draw(folder: Path, count: int) -> None:
    """Write distinct tiny pictures, a thousand in each sub-folder."""
    rng = np.random.default_rng(list(folder.name.encode()))
    for first in range(0, count, 1000):
        place = folder / f"{first // 1000:03}"
        place.mkdir(parents=True)
        many = rng.integers(0, 256, (min(1000, count - first), SIDE, SIDE, 3), np.uint8)
        for index, pixels in enumerate(many):
            Image.fromarray(pixels).save(place / f"{index:03}.png", compress_level=0)


def _alone(name: str, options: list[str]) -> list[Row]:
    """Measure in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.growth", f"--only={name}"]
        command += [f"--folder={folder}", *options]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rows: list[Row] = json.loads(done.stdout)
    return rows


def _train(folder: Path, *, report: Callable[[Event], None], stop: Callable[[], bool]) -> None:
    train(
        a=folder / "a",
        b=folder / "b",
        out=folder / "run",
        settings=SETTINGS,
        device="cpu",
        report=report,
        stop=stop,
    )


def _mib_now() -> float:
    """Return the memory that the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)


def _mib_peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


if __name__ == "__main__":
    typer.run(main)
