"""``translate`` of a folder compared with the bare network in a loop over decoded arrays.

Both run in one process, in turn, on the same weights and pictures, without start-up. The bare
network is eager torch, whichever ``--engine`` translates. An export in 8 bits leaves layers in
float where 8 bits are too inexact, which random weights make common: give a trained ``--model``,
and ``--pictures`` like those that it was trained on.
``python -m benchmarks.translate --json`` prints one object.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from PIL import Image
from torch import nn

from imgtranslate.builders import build_generator
from imgtranslate.exporting.export import export_model
from imgtranslate.images import list_images
from imgtranslate.model_files import checkpoint
from imgtranslate.model_files.checkpoint import ModelHeader, load_tensors, read_model_header
from imgtranslate.model_files.export_header import ExportForm
from imgtranslate.networks import initialise
from imgtranslate.settings.config import ResnetConfig
from imgtranslate.translation.codes import Model
from imgtranslate.translation.outputs import Output
from imgtranslate.translation.plan import plan_translation
from imgtranslate.translation.stages import Options
from imgtranslate.translation.translate import run_jobs
from imgtranslate.translation.translator import load

Engine = Literal["auto", "torch", "onnx", "onnx-int8", "openvino", "openvino-int8"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The network, pictures and engine of a measurement."""

    size: int
    base_channels: int
    blocks: int
    images: int
    device: str
    suffix: str
    engine: Engine = "auto"
    model: Path | None = None
    pictures: Path | None = None


def main(
    size: Annotated[int, typer.Option(help="Side of the pictures, px.")] = 256,
    base_channels: int = 64,
    blocks: int = 9,
    images: Annotated[int, typer.Option(help="Pictures in the folder.")] = 10,
    runs: Annotated[int, typer.Option(help="Passes of each, in turn.")] = 5,
    device: str = "cpu",
    suffix: Annotated[str, typer.Option(help="Suffix of the pictures.")] = ".jpg",
    engine: Engine = "auto",
    model: Annotated[
        Path | None, typer.Option(help="A trained ResNet; random weights if not given.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="A folder of pictures; random ones if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare the translation of a folder with the bare network over decoded arrays."""
    setting = Setting(
        size=size,
        base_channels=base_channels,
        blocks=blocks,
        images=images,
        device=device,
        suffix=suffix,
        engine=engine,
        model=model,
        pictures=pictures,
    )
    with tempfile.TemporaryDirectory() as folder:
        textbook, ours = measured(setting, Path(folder), runs=runs)
    ratios = [t / o for t, o in zip(textbook, ours, strict=True)]
    row = {
        "engine": engine,
        "textbook_s": round(statistics.median(textbook), 4),
        "ours_s": round(statistics.median(ours), 4),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_least": round(min(ratios), 4),
        "ratio_most": round(max(ratios), 4),
        "runs": runs,
    }
    if as_json:
        typer.echo(json.dumps(row))
        return
    typer.echo(f"{images} pictures, {size} px, {base_channels} channels, {blocks} blocks, {device}")
    for name, value in row.items():
        typer.echo(f"{name:12}{value:>10}")


def measured(setting: Setting, folder: Path, *, runs: int) -> tuple[list[float], list[float]]:
    """Time passes over the whole folder, the textbook's and ours in turn."""
    network = build_network(setting)
    model = setting.model or save(network, setting, folder / "ab.safetensors")
    arrays = draw(setting, folder / "in")
    engine: Literal["auto", "torch"] = "torch" if setting.engine == "torch" else "auto"
    exported = _exported(model, setting, folder)
    translator = load(exported, device=setting.device, engine=engine)
    loaded = Model(translator=translator)
    textbook, ours = [], []
    for run in range(-1, runs):  # one to warm up
        seconds = loop_over(network, arrays, device=setting.device)
        own_seconds = translate(loaded, folder / "in", folder / "out")
        if run >= 0:
            textbook.append(seconds)
            ours.append(own_seconds)
    return textbook, ours


def _exported(model: Path, setting: Setting, folder: Path) -> Path:
    """Export the model for the engine; in 8 bits, calibrate it on the folder's pictures."""
    if setting.engine == "auto" or setting.engine == "torch":  # mypy narrows this
        return model
    form = ExportForm(format=setting.engine)
    path = folder / ("ab" if form.is_openvino else "ab.onnx")
    calibrate = folder / "in" if form.is_int8 else None
    return export_model(model, path, form=form, calibrate=calibrate, min_psnr=0).path


@torch.inference_mode()
def loop_over(network: nn.Module, arrays: list[np.ndarray], *, device: str) -> float:
    """Time the textbook: each decoded array through the network and its result to the host."""
    network.to(device).eval()
    start = time.perf_counter()
    for array in arrays:
        values = torch.from_numpy(array).permute(2, 0, 1)[None].to(device).float() / 127.5 - 1
        network(values).cpu().numpy()
    return time.perf_counter() - start


def translate(model: Model, folder: Path, output: Path) -> float:
    """Time the command once the model is loaded: plan, read, run, write."""
    start = time.perf_counter()
    jobs = plan_translation(
        [folder],
        models=[model.translator.header],
        output=Output(text=str(output)),
        existing="overwrite",
    )
    outcomes = list(run_jobs(jobs, models=[model], options=Options(existing="overwrite")))
    seconds = time.perf_counter() - start
    if any(outcome.status != "written" for outcome in outcomes):
        raise RuntimeError("a picture was not written")
    return seconds


def build_network(setting: Setting) -> nn.Module:
    """Build the generator of the model, or one with random weights."""
    if setting.model is not None:
        header = read_model_header(setting.model)
        network = build_generator(header.generator, in_channels=3, out_channels=3)
        network.load_state_dict(load_tensors(setting.model))
        return network
    config = ResnetConfig(base_channels=setting.base_channels, num_blocks=setting.blocks)
    network = build_generator(config, in_channels=3, out_channels=3)
    initialise(network, init="normal", gain=0.02, generator=torch.Generator().manual_seed(0))
    return network


def save(network: nn.Module, setting: Setting, path: Path) -> Path:
    """Write the model that ``translate`` loads."""
    header = ModelHeader(
        generator=ResnetConfig(base_channels=setting.base_channels, num_blocks=setting.blocks),
        in_channels=3,
        out_channels=3,
        direction="ab",
        source="a",
        target="b",
        load_size=setting.size,
        crop_size=setting.size,
        method="cyclegan",
        step=0,
    )
    checkpoint.save(path, network.state_dict(), header)
    return path


def draw(setting: Setting, folder: Path) -> list[np.ndarray]:
    """Write pictures of one size, given or random ones, and return them decoded."""
    folder.mkdir()
    there = list_images(setting.pictures)[: setting.images] if setting.pictures else []
    rng = np.random.default_rng(0)
    arrays = []
    for index in range(setting.images):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        if there:
            coarse = Image.open(there[index % len(there)]).convert("RGB")
        path = folder / f"{index}{setting.suffix}"
        coarse.resize((setting.size, setting.size), Image.Resampling.BICUBIC).save(path)
        with Image.open(path) as image:
            arrays.append(np.array(image.convert("RGB")))
    return arrays


if __name__ == "__main__":
    typer.run(main)
