"""Training samples from disk to device, compared with a plain torch Dataset and DataLoader.

Both run in one process, in turn, over the same pictures. The first pass of ours decodes. The later
ones, which are compared, come from the cache. Then the preset's networks train for some steps, and
the share of the time that each waits for pictures is measured.
``python -m benchmarks.data --json`` prints one object.
"""

import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional  # type: ignore[import-untyped]

from imgtranslate.data.cache import open_caches
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import Batch, SampleDataset, batches, choose_workers
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.methods.learner import Learner
from imgtranslate.settings.config import Settings
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.loop import Pace


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The pictures, workers and device of a measurement."""

    settings: Settings
    images: int
    workers: int
    device: torch.device


def main(
    preset: str = "paper",
    images: Annotated[int, typer.Option(help="Pictures of each side.")] = 40,
    side: Annotated[int, typer.Option(help="Side of the drawn pictures, px.")] = 256,
    a: Annotated[Path | None, typer.Option(help="Pictures of A, instead of drawn ones.")] = None,
    b: Annotated[Path | None, typer.Option(help="Pictures of B, instead of drawn ones.")] = None,
    steps: Annotated[int, typer.Option(help="Training steps to measure waiting in; 0: none.")] = 60,
    runs: Annotated[int, typer.Option(help="Passes of each, in turn.")] = 5,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read; chosen if not given.")
    ] = None,
    device: str = "cpu",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare the seconds of one pass over the pictures, and the waiting in a step."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = (a or draw(folder / "a", images, side=side), b or draw(folder / "b", images, side))
        data = {"a": str(places[0]), "b": str(places[1]), "held_out": 0}
        settings = build_settings(preset=preset, layers=[{"data": data}])
        where = torch.device(device)
        count = choose_workers(settings, where) if workers is None else workers
        setting = Setting(settings=settings, images=images, workers=count, device=where)
        row = measured(setting, runs=runs, steps=steps)
    typer.echo(json.dumps(row, indent=None if as_json else 2))


def measured(setting: Setting, *, runs: int, steps: int) -> dict[str, float]:
    """Measure passes and waiting, the textbook's and ours in turn."""
    dataset, textbook = build_dataset(setting), Textbook(setting.settings)
    cold, textbook_s, ours_s = seconds_of(ours(dataset, setting)), [], []
    for _ in range(runs):
        textbook_s.append(seconds_of(as_everyone(textbook, setting)))
        ours_s.append(seconds_of(ours(dataset, setting)))
    streams = {
        "textbook": _endless(textbook, setting),
        "first_pass": ours(build_dataset(setting), setting),
        "ours": ours(dataset, setting, count=steps),
    }
    pictures = 2 * setting.images
    return {
        "textbook_s": round(statistics.median(textbook_s), 4),
        "ours_s": round(statistics.median(ours_s), 4),
        "ratio": round(
            statistics.median(x / y for x, y in zip(textbook_s, ours_s, strict=True)), 2
        ),
        "runs": runs,
        "first_pass_s": round(cold, 4),
        "textbook_images_per_s": round(pictures / statistics.median(textbook_s), 1),
        "ours_images_per_s": round(pictures / statistics.median(ours_s), 1),
        "workers": setting.workers,
        **(shares_of_waiting(streams, setting, steps=steps) if steps else {}),
    }


def build_dataset(setting: Setting) -> SampleDataset:
    """Build our dataset with empty caches."""
    settings = setting.settings
    domains = find_domains(settings.data, paired=False)
    caches = open_caches(domains, settings.data, workers=setting.workers)
    return SampleDataset(*domains, settings, paired=False, caches=caches)


def ours(dataset: SampleDataset, setting: Setting, *, count: int | None = None) -> Iterator[Batch]:
    """Read ``count`` samples with our loader; one pass if it is not given."""
    return batches(
        dataset,
        first_position=0,
        split=BatchSplit(batch_size=1),
        num_batches=count or setting.images,
        workers=setting.workers,
        device=setting.device,
    )


class Textbook(Dataset[tuple[Tensor, Tensor]]):
    """The textbook's dataset: open, convert, resize, crop, flip, to a tensor, normalise."""

    def __init__(self, settings: Settings) -> None:
        self.data = settings.data
        self.a, self.b = (sorted(Path(each).iterdir()) for each in (self.data.a, self.data.b))

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._read(self.a[index % len(self.a)]), self._read(random.choice(self.b))

    def _read(self, path: Path) -> Tensor:
        load, crop = self.data.load_size, self.data.crop_size
        image = Image.open(path).convert("RGB").resize((load, load), Image.Resampling.BICUBIC)
        left, top = random.randint(0, load - crop), random.randint(0, load - crop)
        image = image.crop((left, top, left + crop, top + crop))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sample: Tensor = functional.normalize(functional.to_tensor(image), [0.5] * 3, [0.5] * 3)
        return sample


def as_everyone(textbook: Textbook, setting: Setting) -> Iterator[Batch]:
    """Read one shuffled pass with torch's loader."""
    loader = DataLoader(textbook, batch_size=1, shuffle=True, num_workers=setting.workers)
    for a, b in loader:
        yield Batch(a.to(setting.device), b.to(setting.device))


def _endless(textbook: Textbook, setting: Setting) -> Iterator[Batch]:
    while True:
        yield from as_everyone(textbook, setting)


def shares_of_waiting(
    streams: Mapping[str, Iterator[Batch]], setting: Setting, *, steps: int
) -> dict[str, float]:
    """Measure the share of waiting for each stream, with the networks of the preset."""
    learner = Learner(setting.settings, setting.device)
    return {
        f"{name}_waiting": round(waiting(learner, stream, steps=steps), 4)
        for name, stream in streams.items()
    }


def waiting(learner: Learner, stream: Iterable[Batch], *, steps: int) -> float:
    """Return the share of the time of some steps in which the network waits for pictures."""
    pace = Pace()
    for number, batch in enumerate(pace.waiting_for(stream)):
        learner.step(batch, learning_rate=0.0)
        _finished(learner.device)
        pace.tick()
        if number == steps - 1:
            break
    return pace.waiting_share()


def seconds_of(stream: Iterable[Batch]) -> float:
    """Time one pass of a stream."""
    start = time.perf_counter()
    for batch in stream:
        _finished(batch.real_a.device)
    return time.perf_counter() - start


def _finished(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def draw(folder: Path, count: int, side: int) -> Path:
    """Write smooth random JPEGs with some noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.int16)
        noisy = (smooth + rng.integers(-16, 17, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{index}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    typer.run(main)
