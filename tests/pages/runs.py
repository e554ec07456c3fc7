"""Runs to make pages of: real files, models that were never trained."""

import json
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from imgtranslate.builders import build_generator
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.networks import initialise
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import DataSettings, MethodConfig, ResnetConfig, Settings

CONFIG = ResnetConfig(base_channels=4, num_blocks=1)
MakeRun = Callable[..., Path]


def picture(path: Path, *, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(path)
    return path


def make_run(
    folder: Path,
    *,
    held_out: tuple[Sequence[Path], Sequence[Path]] | None = None,
    names: tuple[str, str] = ("horses", "zebras"),
    method: MethodConfig | None = None,
    rows: Sequence[dict[str, Any]] = ({"step": 1, "lr": 0.1, "gan_ab": 0.5},),
) -> Path:
    """A run below ``folder`` with both models; two pictures of each side are held out."""
    sides = []
    for letter in "ab":
        picture(folder / letter / "train.png", seed=5)
        sides.append(
            [picture(folder / f"held_{letter}/{n}.png", seed=ord(letter) + n) for n in (1, 2)]
        )
    run = Run(folder / "run")
    run.samples.mkdir(parents=True)
    aside = held_out or (sides[0], sides[1])
    data = DataSettings(
        a=str(folder / "a"), b=str(folder / "b"), name_a=names[0], name_b=names[1],
        load_size=16, crop_size=16,
    )  # fmt: skip
    settings = Settings(data=data, generator=CONFIG, **({"method": method} if method else {}))
    record = {
        f"held_out_{side}": list(map(str, files)) for side, files in zip("ab", aside, strict=True)
    }
    run.write_config(settings, record)
    run.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    save_models(run.folder, names)
    return run.folder


def save_models(folder: Path, names: tuple[str, str], *, seed: int = 0, step: int = 1) -> None:
    network = build_generator(CONFIG, in_channels=3, out_channels=3)
    initialise(network, init="normal", gain=0.1, generator=torch.Generator().manual_seed(seed))
    for direction, (source, target) in {"ab": names, "ba": names[::-1]}.items():
        header = ModelHeader(
            generator=CONFIG, in_channels=3, out_channels=3, source=source, target=target,
            direction="ab" if direction == "ab" else "ba",
            load_size=16, crop_size=16, method="cyclegan", step=step,
        )  # fmt: skip
        checkpoint.save(folder / f"{direction}.safetensors", network.state_dict(), header)


class Tags(HTMLParser):
    """What a browser would make of a page: its tags, and the words of style and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("style", "script"):
            key = attributes.get("id") or tag
            self.inside[key] = self.inside.get(key, "") + data


def data_of(page: Path) -> dict[str, Any]:
    found = json.loads(Tags(page.read_text("utf-8")).inside["data"])
    assert isinstance(found, dict)
    return found
