"""From a cold start to one picture: ``imgtranslate translate`` compared with a minimal script.

The script builds a generator of the same size from plain torch modules and runs it once on noise.
With ``--engine onnx`` it reads a picture with Pillow, runs the export in ONNX Runtime and writes
the result. Whole processes are timed, in turn. ``python -m benchmarks.startup --json`` prints one
object.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.translate import Setting, build_network, draw, save
from imgtranslate.exporting.export import export_model

BARE = """
import torch
from torch import nn

def conv(i, o, k, s=1, p=0):
    return [nn.Conv2d(i, o, k, s, p), nn.InstanceNorm2d(o), nn.ReLU(True)]

class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        pad = nn.ReflectionPad2d(1)
        self.b = nn.Sequential(pad, *conv(c, c, 3), pad, nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c))
    def forward(self, x):
        return x + self.b(x)

def up(i, o):
    return [nn.ConvTranspose2d(i, o, 3, 2, 1, 1), nn.InstanceNorm2d(o), nn.ReLU(True)]

c = {base}
net = nn.Sequential(
    nn.ReflectionPad2d(3), *conv(3, c, 7), *conv(c, 2 * c, 3, 2, 1), *conv(2 * c, 4 * c, 3, 2, 1),
    *[Block(4 * c) for _ in range({blocks})], *up(4 * c, 2 * c), *up(2 * c, c),
    nn.ReflectionPad2d(3), nn.Conv2d(c, 3, 7), nn.Tanh()).eval()
with torch.inference_mode():
    net(torch.rand(1, 3, {size}, {size}) * 2 - 1)
"""

BARE_ONNX = """
import numpy as np
import onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession({model!r}, providers=["CPUExecutionProvider"])
x = np.array(Image.open({source!r})).astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
y = session.run(None, {{"image": x}})[0][0].transpose(1, 2, 0)
Image.fromarray(np.rint(np.clip((y + 1) * 127.5, 0, 255)).astype(np.uint8)).save({output!r})
"""


def main(
    size: Annotated[int, typer.Option(help="Side of the picture, px.")] = 256,
    base_channels: int = 64,
    blocks: int = 9,
    runs: Annotated[int, typer.Option(help="Starts of each, in turn.")] = 5,
    engine: Literal["auto", "torch", "onnx"] = "auto",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Time both processes from their start to their end."""
    setting = Setting(
        size=size, base_channels=base_channels, blocks=blocks, images=1, device="cpu", suffix=".jpg"
    )
    script = BARE.format(base=base_channels, blocks=blocks, size=size)
    help_ = [sys.executable, "-m", "imgtranslate", "--help"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save(build_network(setting), setting, folder / "ab.safetensors")
        draw(setting, folder / "in")
        (source,) = (folder / "in").iterdir()
        if engine == "onnx":
            model = export_model(model, folder / "ab.onnx").path
            script = BARE_ONNX.format(
                model=str(model), source=str(source), output=str(folder / "bare.png")
            )
        bare = [sys.executable, "-c", script]
        options = ["--model", str(model), "-o", str(folder / "out.png"), "--overwrite"]
        options += ["--engine", "torch"] if engine == "torch" else []
        ours = [sys.executable, "-m", "imgtranslate", "translate", str(source), *options]
        times = [(_seconds(bare), _seconds(ours), _seconds(help_)) for _ in range(runs + 1)][1:]
    textbook_s, ours_s, help_s = (statistics.median(column) for column in zip(*times, strict=True))
    row = {
        "engine": engine,
        "textbook_s": round(textbook_s, 3),
        "ours_s": round(ours_s, 3),
        "ratio": round(statistics.median(t / o for t, o, _ in times), 3),
        "difference_s": round(statistics.median(o - t for t, o, _ in times), 3),
        "help_s": round(help_s, 3),
        "runs": runs,
    }
    typer.echo(json.dumps(row) if as_json else "\n".join(f"{k:14}{v:>8}" for k, v in row.items()))


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(main)
