"""Trainings in bf16 and in float32 compared, on the demo's data and on pairs.

``python -m benchmarks.precision --pairs DIR`` trains the demo, and pix2pix at 64 px on ``DIR``,
which has train and val with pairs side by side, in each precision with several seeds. It prints
JSON lines: the SSIM to the truth of the demo's held-out scenes, the validation of the held-out
pairs, and the seconds of CPU time. It trains in ``imgtranslate-demo/`` and in temporary folders.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.tables import Row
from imgtranslate import cli
from imgtranslate.demo.demo import FOLDER, commands, prepare, score
from imgtranslate.runs.folder import Run

PRECISIONS = ("fp32", "bf16")


def main(
    seeds: Annotated[int, typer.Option(help="Trainings of each kind and precision.")] = 3,
    steps: Annotated[int, typer.Option(help="Steps of pix2pix.")] = 2000,
    pairs: Annotated[Path | None, typer.Option(help="A folder with train and val.")] = None,
) -> None:
    """Train in both precisions in turn and print the quality of each."""
    for seed in range(seeds):
        for precision in PRECISIONS:
            for row in _train(seed, precision, pairs=pairs, steps=steps):
                typer.echo(json.dumps({"precision": precision, "seed": seed, **row}))


def _train(seed: int, precision: str, *, pairs: Path | None, steps: int) -> Iterator[Row]:
    # CycleGAN on the demo, whose truth is known
    data = prepare(FOLDER, seed=seed)
    train, translate, *_ = commands(data, FOLDER, seed=seed, steps=None)
    seconds = _run([*train, "--precision", precision])
    _run(translate)
    found = {"ssim_truth": score(data, FOLDER).fake_ssim}
    yield {"training": "demo"} | found | _validation(FOLDER / "run") | {"cpu_s": seconds}

    # pix2pix on pairs
    if pairs is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        line = ["train", "--data", str(pairs), "--method", "pix2pix", "--size", "64"]
        line += ["--base-channels", "32", "--steps", str(steps), "--seed", str(seed)]
        line += ["--set", f"schedule.constant_steps={steps // 2}"]
        line += ["--set", f"schedule.decay_steps={steps - steps // 2}"]
        seconds = _run([*line, "--out", str(run), "--precision", precision])
        yield {"training": "pix2pix"} | _validation(run) | {"cpu_s": seconds}


def _run(arguments: list[str]) -> float:
    """Run a command and return its CPU time in seconds."""
    start = time.process_time()
    status = cli.run(arguments)
    if status:
        raise SystemExit(status)
    return round(time.process_time() - start, 1)


def _validation(run: Path) -> dict[str, float]:
    """Return the parts of the last validation."""
    rows = [row.numbers for row in Run(run).read_metrics() if "validation" in row.numbers]
    return {n: round(v, 4) for n, v in rows[-1].items() if n.startswith("validation")}


if __name__ == "__main__":
    typer.run(main)
