"""The diversity of BicycleGAN: one outline in A has three colours in B.

A has outlines of circles and squares, B the same filled red, green or blue at random.
``python -m benchmarks.diversity --json`` trains BicycleGAN, and pix2pix with noise, for some
minutes each, and prints one object: the mean difference between two samples of one outline, the
share of samples that have one of the three colours, the count of each, and how often ``--style``
gives the colour of its picture.
"""

import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image, ImageDraw

import imgtranslate
from imgtranslate.images import Pixels
from imgtranslate.training.train import train

COLOURS = np.array([(220, 40, 40), (40, 180, 60), (50, 70, 220)])
NEAR = 40  # levels in each channel: a third of the way to a mixture of two colours
SIDE = 32  # px
PAIRS, OUTLINES, SAMPLES = 600, 30, 12
SETTINGS = {  # docs/bicyclegan.md, "Few, distinct outputs"
    "init.gain": 1.0,
    "discriminator.norm": "none",
    "train.batch_size": 8,
}
FOR_CODES = {"encoder.norm": "none", "method.lambda_kl": 0.05}
SMALL = {
    "data.crop_size": SIDE,
    "generator.base_channels": 16,
    "discriminator.base_channels": 32,
    "discriminator.num_layers": 2,
}


@dataclass(frozen=True)
class Shape:
    """A circle or a square and the colour that fills it."""

    centre: tuple[int, int]  # px
    radius: int  # px, or half a side
    round: bool
    colour: int  # of COLOURS

    def draw(self, *, filled: bool) -> Image.Image:
        """Draw the outline, empty or filled."""
        image = Image.new("RGB", (SIDE, SIDE), "white")
        canvas, (x, y), r = ImageDraw.Draw(image), self.centre, self.radius
        form = canvas.ellipse if self.round else canvas.rectangle
        red, green, blue = (int(level) for level in COLOURS[self.colour])
        fill = (red, green, blue) if filled else None
        form([x - r, y - r, x + r, y + r], fill=fill, outline="black", width=2)
        return image

    def nearest(self, image: Image.Image) -> int | None:
        """Return the index of the colour that the mean of the inside is near, if any."""
        (x, y), r = self.centre, int(self.radius * 0.6)
        mean = np.asarray(image, dtype=float)[y - r : y + r, x - r : x + r].mean(axis=(0, 1))
        distances = np.abs(COLOURS - mean).max(axis=1)
        return int(distances.argmin()) if distances.min() < NEAR else None


def main(
    steps: Annotated[int, typer.Option(help="Steps of each training.")] = 4000,
    sheet: Annotated[Path | None, typer.Option(help="File for a picture of samples.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Train both methods, draw samples and count colours."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_pairs(data)
        bicyclegan = learn(data, "bicyclegan", steps=steps)
        noise = learn(data, "pix2pix-noise", steps=steps)
        found = measure(bicyclegan, sheet=sheet)
        found["diversity_of_noise"] = measure(noise, styles=False)["diversity"]
    found |= {"steps": steps, "ratio": round(found["diversity"] / found["diversity_of_noise"], 2)}
    lines = "\n".join(f"{name:20}{value}" for name, value in found.items())
    typer.echo(json.dumps(found) if as_json else lines)


def shapes(seed: int) -> Iterator[Shape]:
    """Yield random shapes without end."""
    rng = np.random.default_rng(seed)
    while True:
        x, y = rng.integers(14, 19, size=2)
        radius, form, colour = rng.integers(9, 14), rng.integers(2), rng.integers(3)
        yield Shape((int(x), int(y)), int(radius), bool(form), int(colour))


def write_pairs(folder: Path) -> None:
    """Write outlines to ``a`` and filled shapes to ``b``."""
    for side in ("a", "b"):
        (folder / side).mkdir()
    for index, shape in zip(range(PAIRS), shapes(0), strict=False):
        shape.draw(filled=False).save(folder / "a" / f"{index:04d}.png")
        shape.draw(filled=True).save(folder / "b" / f"{index:04d}.png")


def learn(data: Path, method: str, *, steps: int) -> imgtranslate.Translator:
    """Train half of the steps at a constant learning rate and half at a decreasing one."""
    half = {"schedule.constant_steps": steps // 2, "schedule.decay_steps": steps - steps // 2}
    codes = FOR_CODES if method == "bicyclegan" else {}
    result = train(
        a=data / "a",
        b=data / "b",
        out=data / method,
        method=method,
        settings={**SETTINGS, **SMALL, **codes, **half, "train.validate_every": 10**9},
        device="cpu",
    )
    return imgtranslate.load(result.run / "ab.safetensors", device="cpu")


def measure(
    translator: imgtranslate.Translator, *, styles: bool = True, sheet: Path | None = None
) -> dict[str, Any]:
    """Measure samples of outlines that were not trained on."""
    counts, differences, styled, rows = [0] * len(COLOURS), [], [], []
    others = shapes(2)
    for index, shape in zip(range(OUTLINES), shapes(1), strict=False):
        outline, first = shape.draw(filled=False), index * SAMPLES
        samples = [translator(outline, seed=first + n) for n in range(SAMPLES)]
        for colour in map(shape.nearest, samples):
            if colour is not None:
                counts[colour] += 1
        pixels = [np.asarray(sample) for sample in samples]
        differences += [_difference(x, y) for x, y in itertools.pairwise(pixels)]
        rows.append(np.concatenate([np.asarray(outline), *pixels], axis=1))
        if styles:
            other = next(others)
            like = translator(outline, style=other.draw(filled=True))
            styled.append(shape.nearest(like) == other.colour)
    if sheet is not None:
        Image.fromarray(np.concatenate(rows[:10])).save(sheet)
    found = {
        "diversity": round(float(np.mean(differences)), 4),
        "match": round(sum(counts) / (OUTLINES * SAMPLES), 4),
        "red": counts[0],
        "green": counts[1],
        "blue": counts[2],
    }
    return found | ({"styled": f"{sum(styled)} of {len(styled)}"} if styles else {})


def _difference(x: Pixels, y: Pixels) -> float:
    """Return the mean absolute difference, as a fraction of the range."""
    return float(np.abs(x.astype(float) - y).mean() / 255)


if __name__ == "__main__":
    typer.run(main)
