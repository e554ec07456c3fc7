"""Averaged generators (EMA) compared with the raw ones of the same training, on the demo's data.

The ground truth of the demo's held-out scenes is known, so both are measured by SSIM against it.
``python -m benchmarks.ema --json`` prints one object. It trains once, for some minutes, in
``imgtranslate-demo/``, as the demo does.
"""

import json
import shutil
from typing import Annotated

import typer

from imgtranslate import cli
from imgtranslate.demo.demo import FOLDER, commands, prepare, score
from imgtranslate.model_files.checkpoint import load_tensors, read_model_header, save
from imgtranslate.runs.folder import Run

NO_BEST = "train.validate_every=1000000"  # the last models are compared


def main(
    decay: Annotated[float, typer.Option(help="Decay of the average.")] = 0.995,
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train the demo with averages and measure both generators."""
    data = prepare(FOLDER, seed=seed)
    train, translate, *_ = commands(data, FOLDER, seed=seed, steps=None)
    _run([*train, "--set", f"train.ema_decay={decay}", "--set", NO_BEST])
    _run(translate)
    averaged = score(data, FOLDER)
    _use_raw(Run(FOLDER / "run"))
    shutil.rmtree(FOLDER / "translated")
    _run(translate)
    raw = score(data, FOLDER)
    found = {
        "decay": decay,
        "seed": seed,
        "ssim_averaged": averaged.fake_ssim,
        "ssim_raw": raw.fake_ssim,
        "cycle_error_averaged": averaged.cycle_error,
        "cycle_error_raw": raw.cycle_error,
    }
    lines = "\n".join(f"{name:22}{value:.4g}" for name, value in found.items())
    typer.echo(json.dumps(found) if as_json else lines)


def _run(arguments: list[str]) -> None:
    status = cli.run(arguments)
    if status:
        raise SystemExit(status)


def _use_raw(run: Run) -> None:
    """Replace the averaged generators by the raw ones of the training state."""
    state = load_tensors(run.state)
    for direction in ("ab", "ba"):
        path, prefix = run.model(direction), f"generator_{direction}/"
        tensors = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        save(path, tensors, read_model_header(path))


if __name__ == "__main__":
    typer.run(main)
