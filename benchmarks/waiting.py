"""A training step on a busy machine, with OpenMP's default waiting and with short spinning.

Each is measured in its own process, in turn, first alone and then with a busy loop on every core.
``python -m benchmarks.waiting --json`` prints one object.
"""

import json
import os
import statistics
import subprocess
import sys
from typing import Annotated

import typer

STEPS = """
import time, torch
from imgtranslate.data.loader import Batch
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.parsing import build_settings
settings = build_settings(preset="tiny", layers=[{"data": {"a": "a", "b": "b"}}])
learner = Learner(settings, torch.device("cpu"))
batch = Batch(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64) / 2)
learner.step(batch, learning_rate=0.0002)
start, count = time.perf_counter(), 0
while time.perf_counter() - start < SECONDS:
    learner.step(batch, learning_rate=0.0002)
    count += 1
print((time.perf_counter() - start) / count)
"""


def main(
    seconds: Annotated[float, typer.Option(help="Seconds of each run.")] = 8.0,
    runs: Annotated[int, typer.Option(help="Runs of each, in turn.")] = 3,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time steps of the tiny preset, first alone, then with busy loops."""
    found: dict[str, object] = {}
    for beside in (False, True):
        count = os.cpu_count() or 1 if beside else 0
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            pairs = [(_step(seconds, short=False), _step(seconds, short=True)) for _ in range(runs)]
        finally:
            for process in busy:
                process.kill()
                process.wait()
        found["busy" if beside else "alone"] = {
            "default_s": round(statistics.median(default for default, _ in pairs), 4),
            "short_s": round(statistics.median(short for _, short in pairs), 4),
            "ratio": round(statistics.median(x / y for x, y in pairs), 2),
        }
    found["runs"] = runs
    typer.echo(json.dumps(found, indent=None if as_json else 2))


def _step(seconds: float, *, short: bool) -> float:
    """Return the mean seconds of a step in a new process."""
    ours = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if short:
        environment["GOMP_SPINCOUNT"] = "10000"
    command = [sys.executable, "-c", STEPS.replace("SECONDS", str(seconds))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


if __name__ == "__main__":
    typer.run(main)
