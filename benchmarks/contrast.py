"""Contrastive methods beside the others on the demo's scenes, by SSIM to the known truth.

``python -m benchmarks.contrast --method cut --steps 1800 --json`` trains with the preset ``tiny``
for that many steps, the second half of them with a falling rate, and prints one object. With
``--moved 6`` it trains on pairs whose input was moved by up to 6 px at random.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image

from imgtranslate.cli.train import parse_assignment
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, batches
from imgtranslate.demo.scenes import (
    SIZE,
    TEST_COUNT,
    TRAIN_COUNT,
    draw_scene,
    render_painting,
    render_stitches,
    write_demo_data,
)
from imgtranslate.images import Pixels, to_network, to_pixels
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.schedule import Schedule
from imgtranslate.methods.step import evaluating
from imgtranslate.metrics.ssim import ssim
from imgtranslate.settings.config import Settings, is_paired
from imgtranslate.settings.parsing import build_settings, nested

CPU = torch.device("cpu")


def main(
    method: Annotated[str, typer.Option(help="A method of train.")] = "cut",
    steps: Annotated[int, typer.Option(help="Steps of the training.")] = 1800,
    seed: Annotated[int, typer.Option(help="Of scenes, weights and samples.")] = 0,
    moved: Annotated[
        int | None, typer.Option(help="Train on pairs whose input moves by up to N px.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of train.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train on the demo's scenes and compare the translations with their truth."""
    with tempfile.TemporaryDirectory() as folder:
        if moved is None:
            data = write_demo_data(Path(folder), seed=seed, test_count=0)
            a, b = data.paintings, data.stitches
        else:
            a, b = write_moved_pairs(Path(folder), seed=seed, most=moved)
        chosen = dict(map(parse_assignment, assignments or []))
        own = {"data.a": str(a), "data.b": str(b), "data.load_size": SIZE, "train.seed": seed}
        own |= {"schedule.constant_steps": steps // 2, "schedule.decay_steps": steps - steps // 2}
        settings = build_settings(method=method, preset="tiny", layers=[nested(own | chosen)])
        began = time.process_time()
        learner = trained(settings)
        seconds = time.process_time() - began
    row = {
        "method": method,
        "set": " ".join(assignments or []),
        "moved": moved,
        "steps": steps,
        "seed": seed,
        "cpu_s": round(seconds, 1),
        "ssim": round(similarity(learner, seed=seed), 4),
        **{name: round(loss, 3) for name, loss in learner.take_mean_losses().items()},
    }
    lines = "\n".join(f"{name:14}{value}" for name, value in row.items())
    typer.echo(json.dumps(row) if as_json else lines)


def write_moved_pairs(folder: Path, *, seed: int, most: int) -> tuple[Path, Path]:
    """Draw pairs of scenes, the painting of each moved by up to ``most`` px along both axes."""
    rng, margin = np.random.default_rng(seed), -(-most // 4) * 4  # scenes are multiples of 4 px
    for side in "ab":
        (folder / side).mkdir()
    for index in range(TRAIN_COUNT):
        scene = draw_scene(seed, "paintings", index, SIZE + 2 * margin)
        top, left = margin + rng.integers(-most, most + 1, 2)
        for side, pixels, y, x in (
            ("a", render_painting(scene), top, left),
            ("b", render_stitches(scene), margin, margin),
        ):
            cut = np.ascontiguousarray(pixels[y : y + SIZE, x : x + SIZE])
            Image.fromarray(cut).save(folder / side / f"{index:04}.png")
    return folder / "a", folder / "b"


def trained(settings: Settings) -> Learner:
    """Train to the end of the schedule, without validations and files."""
    paired = is_paired(settings.method)
    domains = find_domains(settings.data, paired=paired)
    schedule = Schedule(settings=settings, longer_side=max(len(d.files) for d in domains))
    dataset = SampleDataset(*domains, settings, paired=paired, decay_from=schedule.decay_position())
    learner, total = Learner(settings, CPU), schedule.total_steps()
    stream = batches(
        dataset, first_position=0, num_batches=total, workers=0, device=CPU, split=learner.split
    )
    for step, batch in enumerate(stream):
        learner.step(batch, learning_rate=schedule.learning_rate(step))
        if step < total - 200:
            learner.take_mean_losses()
    return learner


@torch.inference_mode()
def similarity(learner: Learner, *, seed: int) -> float:
    """Return the mean SSIM of translated held-out paintings to their embroideries."""
    generator, found = learner.models()["ab"][0], list[float]()
    with evaluating(generator):
        for index in range(TEST_COUNT):
            scene = draw_scene(seed, "held_out", index, SIZE)
            real = torch.from_numpy(to_network(render_painting(scene)))[None]
            fake: Pixels = to_pixels(generator(real)[0].numpy())
            found.append(ssim(fake, render_stitches(scene)))
    return float(np.mean(found))


if __name__ == "__main__":
    typer.run(main)
