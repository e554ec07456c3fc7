"""Measures of kept content for a validation without a cycle, ranked by the true error.

Trainings on the demo's scenes, good ones and ones that lose content, are stopped at many steps.
Held-out scenes have a known truth in both styles, so the true error of each checkpoint is known:
1 - SSIM. Each measure is combined with the distance to the target, as `validation` is, and ranked
against it (Spearman). In half of the data, the brightness of sky, sun, lake and houses is inverted
in B, so a measure must not take local inversion for a loss. Untrained "checkpoints" join: the
untouched picture, its negative, a flat one, another scene, the same scene always, and noise.
``python -m benchmarks.content --fakes DIR`` keeps the translations in DIR and reuses them there.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its name throughout the field
import typer
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.tables import Row, to_table
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import Batch, SampleDataset, batches
from imgtranslate.demo.scenes import KINDS, Scene, draw_scene, render_painting, render_stitches
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.schedule import Schedule
from imgtranslate.methods.step import evaluating
from imgtranslate.metrics import validation_distance
from imgtranslate.metrics.content import content_agreement, edge_directions
from imgtranslate.metrics.ssim import ssim
from imgtranslate.settings.parsing import build_settings, nested

STEPS = (0, 10, 25, 50, 100, 150, 200, 300, 400, 500, 650, 800, 1000, 1250)
TRAINED, HELD_OUT = 300, 16  # scenes of each side
INVERTED = [KINDS.index(kind) for kind in ("sky", "lake", "house", "sun")]
FREE = {"method.lambda_a": 0.0, "method.lambda_b": 0.0, "method.lambda_identity": 0.0}
WEAK = {"method.lambda_a": 1.0, "method.lambda_b": 1.0, "method.lambda_identity": 0.0}
CUT = {"method": "cut", "method.nce_patches": 256}
FASTCUT = {"method": "fastcut", "method.nce_patches": 256}
TRAININGS: dict[str, tuple[int, dict[str, Any]]] = {  # "data-name": steps and settings
    "b-usual1": (1250, {}),
    "b-usual2": (800, {"train.seed": 8}),
    "b-free": (500, FREE),
    "b-free2": (400, {**FREE, "train.seed": 7, "optimizer.lr": 0.004}),
    "b-weak": (500, {**WEAK, "train.seed": 1}),
    "b-idt": (400, {"method.lambda_identity": 5.0, "train.seed": 4}),
    "b-fast-lr": (300, {"optimizer.lr": 0.01, "train.seed": 2}),
    "b-cut1": (800, CUT),
    "b-cut2": (600, {**CUT, "method.lambda_nce": 4.0, "train.seed": 2}),
    "b-cut0": (300, {**CUT, "method.lambda_nce": 0.0, "train.seed": 4}),
    "b-fastcut1": (800, {**FASTCUT, "train.seed": 1}),
    "b-fastcut2": (600, {**FASTCUT, "method.lambda_nce": 1.0, "train.seed": 3}),
    "inv-usual-inv": (1000, {"train.seed": 3}),
    "inv-free-inv": (400, {**FREE, "train.seed": 5}),
    "inv-weak-inv": (400, {**WEAK, "train.seed": 6}),
}
Measure = Callable[[Tensor, Tensor], float]  # of (n, c, h, w) in [-1, 1], the pictures and fakes


def main(
    table: Annotated[str, typer.Argument(help="ranks, or limits: what the verdict judges.")] = (
        "ranks"
    ),
    fakes: Annotated[Path, typer.Option(help="Folder of the translations.")] = Path("fakes"),
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train what is missing, and rank the measures."""
    torch.set_num_threads(1)
    data = {"a": "paintings", "b": "stitches", "inv": "stitches"}
    for side, group in data.items():
        for index in range(TRAINED):
            _save(fakes / side / f"{index:04}.png", _draw(side, draw_scene(0, group, index)))
    for name, (steps, settings) in TRAININGS.items():
        if not (fakes / f"{name}.npz").exists():
            train(fakes, name, steps=steps, settings=settings)
    rows = shares(fakes) if table == "limits" else rank(list(checkpoints(fakes)))
    typer.echo(json.dumps(rows) if as_json else to_table(rows))


def train(fakes: Path, name: str, *, steps: int, settings: dict[str, Any]) -> None:
    """Train, and save the translations of the held-out scenes at ``STEPS``."""
    side, method = name.partition("-")[0], settings.get("method")
    base = {
        "data.a": str(fakes / "a"),
        "data.b": str(fakes / side),
        "data.load_size": 64,
        "data.held_out": 0,
        "data.workers": 0,
        "schedule.constant_steps": max(1, steps // 2),
        "schedule.decay_steps": steps // 2,
    }
    chosen = base | {name: value for name, value in settings.items() if name != "method"}
    built = build_settings(method=method, preset="tiny", layers=[nested(chosen)])
    domains = find_domains(built.data, paired=False)
    learner = Learner(built, torch.device("cpu"))
    schedule = Schedule(settings=built, longer_side=TRAINED)
    found: dict[str, NDArray[np.uint8]] = {}

    def look() -> None:
        models = {way: generator for way, (generator, _) in learner.models().items()}
        with torch.inference_mode(), evaluating(*models.values()):
            for way, generator in models.items():
                values = generator(held_out("a" if way == "ab" else side))
                saved = ((values.clamp(-1, 1) + 1) * 127.5).round().byte()
                found[f"{way}/{learner.steps_done}"] = saved.numpy()

    look()
    dataset = SampleDataset(*domains, built, paired=False)
    stream = batches(
        dataset,
        first_position=0,
        num_batches=steps,
        workers=0,
        device=learner.device,
        split=learner.split,
    )
    for batch in stream:
        if isinstance(batch, Batch):
            rate = schedule.learning_rate(learner.steps_done, [])
            learner.step(batch, learning_rate=rate)
            if learner.steps_done in (*STEPS, steps):
                look()
    np.savez(fakes / f"{name}.npz", allow_pickle=False, **found)


def checkpoints(fakes: Path) -> Iterator[Row]:
    """Yield the true error, the distance and all measures of each checkpoint."""
    for name in TRAININGS:
        stored = np.load(fakes / f"{name}.npz")
        for key in stored.files:
            way = key.partition("/")[0]
            values = torch.from_numpy(stored[key]).float() / 127.5 - 1
            yield judge(name.partition("-")[0], way, values, name=name)
    noise = torch.rand((HELD_OUT, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    for side in ("b", "inv"):
        for way in ("ab", "ba"):
            a, b = (held_out("a"), held_out(side))[:: 1 if way == "ab" else -1]
            flat = others(side, way).mean(dim=(0, 2, 3), keepdim=True).expand_as(a)
            one = b[:1].expand_as(b)
            for values in (a, -a, flat, b.roll(1, 0), others(side, way), one, noise):
                yield judge(side, way, values, name="")


def judge(side: str, way: str, values: Tensor, *, name: str) -> Row:
    """Measure translations ``values`` of the held-out scenes."""
    real, truth = (held_out("a"), held_out(side))[:: 1 if way == "ab" else -1]
    pairs = zip(_pixels(values), _pixels(truth), strict=True)
    wanted = validation_distance.describe(list(others(side, way)[:, None]))
    distance = validation_distance.distance(
        validation_distance.describe(list(values[:, None])), wanted
    )
    return {
        "group": f"{side} {way}",
        "training": name and f"{name} {way}",
        "error": float(np.mean([1 - ssim(x, y) for x, y in pairs])),
        "distance": distance,
        **{title: measure(real, values) for title, measure in MEASURES.items()},
    }


def rank(found: Sequence[Row]) -> list[Row]:
    """Rank each measure, combined with the distance, against the true error.

    ``excess`` is the mean excess of the true error of the checkpoint that the number chooses, over
    the best one of the training.
    """
    groups = sorted({row["group"] for row in found})
    trainings = sorted({row["training"] for row in found} - {""})
    rows: list[Row] = []
    for title in ("distance alone", *MEASURES):
        numbers = [np.hypot(row["distance"], row.get(title, 0.0)) for row in found]
        line: Row = {"measure": title}
        for group in groups:
            here = [n for n, row in enumerate(found) if row["group"] == group]
            errors = [found[n]["error"] for n in here]
            line[group] = round(spearman([numbers[n] for n in here], errors), 3)
        line["mean"] = round(float(np.mean([line[group] for group in groups])), 3)
        excess = []
        for name in trainings:
            here = [n for n, row in enumerate(found) if row["training"] == name]
            chosen = min(here, key=lambda n: numbers[n])
            excess.append(found[chosen]["error"] - min(found[n]["error"] for n in here))
        line["excess"] = round(float(np.mean(excess)), 4)
        rows.append(line)
    return rows


def shares(fakes: Path) -> list[Row]:
    """Return the share that `loses content` judges, over the steps from 25 on and both ways."""
    rows: list[Row] = []
    for side in ("b", "inv"):
        a, b = held_out("a"), held_out(side)
        rows.append({"translations": f"{side}, true", "last": share_of(a, b)})
        rows.append(
            {"translations": f"{side}, of another scene", "last": share_of(a, b.roll(1, 0))}
        )
    for name in TRAININGS:
        stored, found = np.load(fakes / f"{name}.npz"), []
        for key in stored.files:
            way, _, step = key.partition("/")
            real = held_out("a" if way == "ab" else name.partition("-")[0])
            if int(step) >= 25:
                found.append(share_of(real, torch.from_numpy(stored[key]).float() / 127.5 - 1))
        lowest, highest = min(found), max(found)
        last = found[-1]  # of the last direction
        rows.append({"translations": name, "last": last, "lowest": lowest, "highest": highest})
    return rows


def share_of(real: Tensor, fake: Tensor) -> float:
    """Return the agreement about edges, beyond that with other pictures, as `cycle-check` does."""
    reals, fakes = ([edge_directions(x) for x in _pixels(side)] for side in (real, fake))
    found = np.array([[content_agreement(x, y) for x in reals] for y in fakes], dtype=float)
    own = np.nanmean(found.diagonal())
    other = np.nanmean(found[~np.eye(len(found), dtype=bool)])
    return round(float((own - other) / (1 - other)), 2)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the rank correlation."""
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (x, y))
    return float(np.corrcoef(first, second)[0, 1])


# The measures: 0 at best, about 1 if nothing is kept


def directions(real: Tensor, fake: Tensor) -> float:
    """Compare the directions of edges: the measure that was chosen."""
    pairs = zip(_pixels(real), _pixels(fake), strict=True)
    kept = [content_agreement(edge_directions(x), edge_directions(y)) for x, y in pairs]
    return 1 - float(np.mean([one for one in kept if one is not None]))


def outlines(side: int) -> Measure:
    """Correlate the strengths of edges, as the check of pairs does."""

    def edges(x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(x, side)
        steps = (x.diff(dim=axis).abs().sum(1).flatten(1) for axis in (2, 3))
        return torch.cat([*steps], dim=1).sqrt()

    return lambda real, fake: 1 - _correlation(edges(real), edges(fake))


def self_similarity(real: Tensor, fake: Tensor) -> float:
    """Correlate the distances of colour between all places of a picture."""

    def distances(x: Tensor) -> Tensor:
        cells = F.adaptive_avg_pool2d(x, 16).flatten(2).transpose(1, 2)
        return torch.cdist(cells, cells).flatten(1)

    return 1 - _correlation(distances(real), distances(fake))


def recovery(real: Tensor, fake: Tensor) -> float:
    """Recover the pictures by a linear regression on 3 x 3 cells, fitted on the other half."""
    pooled = F.pad(F.adaptive_avg_pool2d(fake, 16), [1] * 4, mode="replicate")
    inputs = F.unfold(pooled, 3).transpose(1, 2).double()
    wanted = F.adaptive_avg_pool2d(real, 16).flatten(2).transpose(1, 2).double()
    error = total = 0.0
    for half in (0, 1):
        x, y = inputs[half::2].flatten(0, 1), wanted[half::2].flatten(0, 1)
        mean_x, mean_y = x.mean(0), y.mean(0)
        ridge = 1e-4 * torch.eye(x.shape[1], dtype=x.dtype)
        gram = (x - mean_x).T @ (x - mean_x) / len(x) + ridge
        slopes = torch.linalg.solve(gram, (x - mean_x).T @ (y - mean_y) / len(x))
        got = (inputs[1 - half :: 2] - mean_x) @ slopes + mean_y
        error += float((got - wanted[1 - half :: 2]).square().sum())
        total += float((wanted[1 - half :: 2] - mean_y).square().sum())
    return float((error / max(total, 1e-6)) ** 0.5)


def local_correlation(real: Tensor, fake: Tensor) -> float:
    """Average the absolute correlation of brightness in windows of 7 px."""
    x, y = (side.mean(dim=1, keepdim=True) for side in (real, fake))
    mean_x, mean_y, xx, yy, xy = (F.avg_pool2d(v, 7, 1) for v in (x, y, x * x, y * y, x * y))
    product = ((xx - mean_x**2).clamp(min=0) * (yy - mean_y**2).clamp(min=0)).sqrt()
    return 1 - float((((xy - mean_x * mean_y).abs() + 1e-4) / (product + 1e-4)).mean())


def retrieval(real: Tensor, fake: Tensor) -> float:
    """Find each place by its distances to all others: a contrastive loss without a network."""

    def described(x: Tensor) -> Tensor:
        cells = F.unfold(F.pad(F.adaptive_avg_pool2d(x, 16), [1] * 4, mode="replicate"), 3)
        distances = torch.cdist(cells.transpose(1, 2), cells.transpose(1, 2))
        return F.normalize(distances - distances.mean(dim=2, keepdim=True), dim=2, eps=1e-6)

    likeness = described(fake) @ described(real).transpose(1, 2) / 0.07
    places = torch.arange(likeness.shape[1]).expand(len(likeness), -1)
    loss = F.cross_entropy(likeness.transpose(1, 2), places)
    return float(loss / np.log(likeness.shape[1]))


MEASURES: dict[str, Measure] = {
    "directions of edges": directions,
    "outlines, 16 cells": outlines(16),
    "outlines, 32 cells": outlines(32),
    "self-similarity": self_similarity,
    "linear recovery": recovery,
    "local correlation": local_correlation,
    "patch retrieval": retrieval,
}


# The scenes


@functools.cache
def held_out(side: str) -> Tensor:
    """Draw the held-out scenes in the style of a side."""
    return _tensor(_draw(side, draw_scene(0, "held_out", index)) for index in range(HELD_OUT))


@functools.cache
def others(side: str, way: str) -> Tensor:
    """Draw other scenes in the style of the target, to measure the distance to."""
    target, group = (side, "stitches") if way == "ab" else ("a", "paintings")
    scenes = (draw_scene(0, group, TRAINED + index) for index in range(HELD_OUT))
    return _tensor(_draw(target, scene) for scene in scenes)


def _draw(side: str, scene: Scene) -> NDArray[np.uint8]:
    if side == "a":
        return render_painting(scene)
    stitched = render_stitches(scene)
    if side == "inv":
        inside = np.isin(scene.kind, INVERTED)
        stitched[inside] = 255 - stitched[inside]
    return stitched


def _tensor(pictures: Iterator[NDArray[np.uint8]]) -> Tensor:
    stacked = torch.from_numpy(np.stack(list(pictures)))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def _pixels(values: Tensor) -> NDArray[np.uint8]:
    rounded = ((values.clamp(-1, 1) + 1) * 127.5).round().byte()
    pixels: NDArray[np.uint8] = np.ascontiguousarray(rounded.permute(0, 2, 3, 1).numpy())
    return pixels


def _correlation(x: Tensor, y: Tensor) -> float:
    x, y = (side - side.mean(dim=1, keepdim=True) for side in (x, y))
    return float(F.cosine_similarity(x, y, dim=1, eps=1e-6).mean())


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    typer.run(main)
