"""The loader without a network: no cache, a cache in memory, and a cache in a folder, in turn.

``python -m benchmarks.cache --a horses --b zebras --json`` prints one object: the seconds of the
first pass, the median seconds of a later one, and how many times as fast as without a cache it is.
"""

import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.data import draw, seconds_of
from imgtranslate.data.cache import open_caches
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, batches
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.settings.parsing import build_settings


def main(
    images: Annotated[int, typer.Option(help="Pictures of each side.")] = 250,
    side: Annotated[int, typer.Option(help="Side of the drawn pictures, px.")] = 256,
    a: Annotated[Path | None, typer.Option(help="Pictures of A, instead of drawn ones.")] = None,
    b: Annotated[Path | None, typer.Option(help="Pictures of B, instead of drawn ones.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that read; 0: a thread.")] = 0,
    runs: Annotated[int, typer.Option(help="Later passes of each.")] = 5,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time passes over the pictures by each kind of cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = (a or draw(folder / "a", images, side), b or draw(folder / "b", images, side))
        data = {"a": str(places[0]), "b": str(places[1]), "held_out": 0}
        kinds: dict[str, dict[str, Any]] = {
            "none": {"cache_memory": 0},
            "memory": {},
            "folder": {"cache": str(folder / "cache")},
        }
        datasets = {kind: _dataset(data | kinds[kind], images, workers) for kind in kinds}
        passes = [
            {kind: _seconds_of_pass(datasets[kind], number, images, workers) for kind in kinds}
            for number in range(runs + 1)
        ]
    first, later = passes[0], passes[1:]
    row = {
        kind: {
            "first_s": round(first[kind], 3),
            "later_s": round(statistics.median(each[kind] for each in later), 3),
            "ratio": round(statistics.median(each["none"] / each[kind] for each in later), 2),
        }
        for kind in kinds
    }
    found = {"images": images, "workers": workers, "runs": runs, **row}
    typer.echo(json.dumps(found, indent=None if as_json else 2))


def _dataset(data: dict[str, Any], images: int, workers: int) -> SampleDataset:
    settings = build_settings(preset="paper", layers=[{"data": data}])
    a, b = (
        replace(domain, files=domain.files[:images])
        for domain in find_domains(settings.data, paired=False)
    )
    caches = open_caches((a, b), settings.data, workers=workers)
    return SampleDataset(a, b, settings, paired=False, caches=caches)


def _seconds_of_pass(dataset: SampleDataset, number: int, images: int, workers: int) -> float:
    return seconds_of(
        batches(
            dataset,
            first_position=number * images,
            split=BatchSplit(batch_size=1),
            num_batches=images,
            workers=workers,
            device=torch.device("cpu"),
        )
    )


if __name__ == "__main__":
    typer.run(main)
