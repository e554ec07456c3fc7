"""A training step beside the textbook's, on the same weights and batches, in turn in one process.

``python -m benchmarks.step --method cyclegan --size 64 --base-channels 32 --json`` prints one
object: medians, the median of the pairs' ratios, and the least and the greatest ratio. With
``--method cut --beside cyclegan`` it compares the steps of two methods.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
import typer

from benchmarks.stock import copy_weights
from benchmarks.textbook import Textbook, build_textbook
from imgtranslate.cli.train import parse_assignment
from imgtranslate.data.loader import Batch
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.step import choose_precision
from imgtranslate.settings.config import Settings, Tree
from imgtranslate.settings.parsing import build_settings, merge, nested

WARM_UP = 2  # steps of each
Steps = tuple[Callable[[], None], Callable[[], None]]


def main(
    method: Annotated[
        str, typer.Option(help="cyclegan, pix2pix, bicyclegan, cut, fastcut.")
    ] = "cyclegan",
    beside: Annotated[
        str | None, typer.Option(help="A method whose step of ours replaces the textbook's.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the pictures, px.")] = 64,
    base_channels: Annotated[int, typer.Option(help="Of generators and discriminators.")] = 32,
    blocks: Annotated[int, typer.Option(help="Of CycleGAN's generators.")] = 9,
    batch: Annotated[int, typer.Option(help="Pictures of each side a step.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    runs: Annotated[int, typer.Option(help="Of each, in turn.")] = 15,
    warm_up: Annotated[int, typer.Option(help="Steps of each before that.")] = WARM_UP,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of ours."),
    ] = None,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Seconds of the CPU: where others use it too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare a training step with the textbook's."""
    sizes = (size, base_channels, blocks, batch)
    settings = settings_of(method, *sizes, assignments or [])
    if beside is None:
        steps = build_steps(settings, torch.device(device))
    else:
        other = settings_of(beside, *sizes, [])
        steps = our_step(other, torch.device(device)), our_step(settings, torch.device(device))
    clock = _seconds_on_gpu if device.startswith("cuda") else _seconds
    clock = _cpu_seconds if cpu_time else clock
    textbook, ours = measured(steps, clock, runs=runs, warm_up=warm_up)
    ratios = [t / o for t, o in zip(textbook, ours, strict=True)]
    row = {
        f"{beside or 'textbook'}_s": round(statistics.median(textbook), 4),
        "ours_s": round(statistics.median(ours), 4),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "runs": runs,
    }
    if as_json:
        typer.echo(json.dumps(row))
        return
    typer.echo(f"{method}, {size} px, {base_channels} channels, batch {batch}, {device}")
    for name, value in row.items():
        typer.echo(f"{name:12}{value:>10}")


def settings_of(
    method: str, size: int, base_channels: int, blocks: int, batch: int, assignments: list[str]
) -> Settings:
    """The method's own, at this size; BicycleGAN's batch is of at least one for each half."""
    sizes = {
        "data": {"a": "a", "b": "b", "crop_size": size},
        "generator": {"base_channels": base_channels},
        "discriminator": {"base_channels": base_channels},
        "train": {"batch_size": batch},
    }
    resnet = method in ("cyclegan", "cut", "fastcut")
    own: Tree = {"generator": {"num_blocks": blocks}} if resnet else {}
    if method == "bicyclegan":
        own = {"encoder": {"base_channels": base_channels}}
    chosen = merge(sizes, own, nested(dict(map(parse_assignment, assignments))))
    return build_settings(method=method, layers=[chosen])


def build_pair(settings: Settings, device: torch.device) -> tuple[Textbook, Learner]:
    """Both with the same weights."""
    ours, textbook = Learner(settings, device), build_textbook(settings)
    for name, network in textbook.nets.items():
        copy_weights(ours.networks[name], network.to(device))
    return textbook, ours


def build_batch(settings: Settings, device: torch.device, *, seed: int) -> Batch:
    """Random pictures."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, settings.train.batch_size, 3, settings.data.crop_size, settings.data.crop_size)
    a, b = torch.rand(shape, generator=generator).to(device) * 2 - 1
    return Batch(a, b)


def build_steps(settings: Settings, device: torch.device) -> Steps:
    """One step of the textbook, and one of ours; each call learns from the next batch."""
    precision = choose_precision(settings.train, device)
    settings = replace(settings, train=replace(settings.train, precision=precision))
    textbook, ours = build_pair(settings, device)
    batches = [build_batch(settings, device, seed=seed) for seed in range(4)]
    rate, seed = settings.optimizer.lr, settings.train.seed
    counts = iter(range(10**9))

    def step_textbook() -> None:
        number = next(counts)
        textbook.step(batches[number % 4], random_at(seed, Purpose.POOL, number))

    def step_ours() -> None:
        ours.step(batches[ours.steps_done % 4], learning_rate=rate)

    return step_textbook, step_ours


def our_step(settings: Settings, device: torch.device) -> Callable[[], None]:
    """One step of ours; each call learns from the next batch."""
    ours = Learner(settings, device)
    batches = [build_batch(settings, device, seed=seed) for seed in range(4)]

    def step() -> None:
        ours.step(batches[ours.steps_done % 4], learning_rate=settings.optimizer.lr)

    return step


def measured(
    steps: Steps, clock: Callable[[Callable[[], None]], float], *, runs: int, warm_up: int
) -> tuple[list[float], list[float]]:
    """Seconds of each step, in turn."""
    for _ in range(warm_up):
        for step in steps:
            step()
    pairs = [(clock(steps[0]), clock(steps[1])) for _ in range(runs)]
    textbook, ours = zip(*pairs, strict=True)
    return list(textbook), list(ours)


def _seconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _cpu_seconds(step: Callable[[], None]) -> float:
    """Of all threads of this process; what other programs take does not count."""
    start = time.process_time()
    step()
    return time.process_time() - start


def _seconds_on_gpu(step: Callable[[], None]) -> float:
    """From the step's first kernel to its last; what the host did in between counts."""
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


if __name__ == "__main__":
    typer.run(main)
