"""The published training and test scripts beside ours, as whole processes.

``--reference`` names a checkout of junyanz/pytorch-CycleGAN-and-pix2pix, ``--cut`` one of
taesungp/contrastive-unpaired-translation. Their scripts run unchanged, in turn with ours, on the
same pictures. The seconds of a step are those of a long training less those of a short one, divided
by the steps between them, and likewise those of a translated picture. Our translations use the
weights that the peer has trained. Our trainings have the precision of a new run, which may be bf16;
``--precision fp32`` is that of the peers.
``python -m benchmarks.peers --reference DIR --cut DIR --json`` prints one object.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image

from benchmarks.tables import Row, to_table
from imgtranslate.images import list_images

SHORT = 2  # steps, or pictures, of the short process
CASES = ("cyclegan", "pix2pix", "cut", "fastcut")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The checkouts, the pictures and the sizes of all cases."""

    reference: Path | None
    cut: Path | None
    python: str
    folder: Path  # with the pictures, and for all outputs
    size: int
    base_channels: int
    steps: int  # between the short and the long training
    pictures: int  # between the short and the long translation
    runs: int
    device: str
    cpu_time: bool
    precision: str = "auto"  # of our trainings


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The time and the peak memory of a process."""

    seconds: float
    mib: float


Process = Callable[[int], Cost]  # from the number of steps or pictures


def main(
    reference: Annotated[Path | None, typer.Option(help="Checkout of CycleGAN/pix2pix.")] = None,
    cut: Annotated[Path | None, typer.Option(help="Checkout of CUT.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with trainA and trainB; drawn if not given.")
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the pictures, px; 128 or 256.")] = 256,
    base_channels: Annotated[int, typer.Option(help="Of all networks.")] = 64,
    steps: Annotated[int, typer.Option(help="Steps that are timed of each training.")] = 10,
    pictures: Annotated[int, typer.Option(help="Pictures timed of each translation.")] = 30,
    runs: Annotated[int, typer.Option(help="Of each, in turn.")] = 3,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="Of our trainings: auto, fp32, bf16.")] = "auto",
    python: Annotated[
        str, typer.Option(help="Interpreter with the packages that the peers require.")
    ] = sys.executable,
    case: Annotated[
        list[str] | None, typer.Option(help=f"Only this; repeatable: {', '.join(CASES)}.")
    ] = None,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Seconds of the CPU: where others use it too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare whole trainings and translations with the published scripts."""
    if size not in (128, 256):
        raise typer.BadParameter("--size: the reference has UNets for 128 and 256 px alone")
    rows: dict[str, list[Row]] = {"training": [], "translating": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, data, size=size, train=SHORT + steps, test=SHORT + pictures)
        setting = Setting(
            reference=reference and reference.absolute(),
            cut=cut and cut.absolute(),
            python=python,
            folder=folder,
            size=size,
            base_channels=base_channels,
            steps=steps,
            pictures=pictures,
            runs=runs,
            device=device,
            cpu_time=cpu_time,
            precision=precision,
        )
        for one in case or CASES:
            if (cut if "cut" in one else reference) is None:
                continue
            for title, measure in (("training", training), ("translating", translating)):
                if (one, title) == ("fastcut", "translating"):
                    continue  # the same generator as CUT's
                try:
                    row = {"case": one, **measure(setting, one)}
                except RuntimeError as error:
                    row = {"case": one, "error": str(error)}
                rows[title].append(row)
                typer.echo(f"{title}: {json.dumps(row)}", err=True)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    typer.echo(f"{size} px, {base_channels} channels, {device}, {runs} runs")
    for title, found in rows.items():
        typer.echo(f"\n{title}\n\n{to_table(found)}")


def training(setting: Setting, case: str) -> Row:
    """Compare trainings of one epoch; the weights of the peer's last one are kept."""
    runs = itertools.count()

    def peers(count: int) -> Cost:
        options = [*_peer_options(setting, case), f"--max_dataset_size={count}", "--no_html"]
        options += ["--n_epochs=1", "--n_epochs_decay=0", "--save_epoch_freq=1"]
        options += [f"--load_size={setting.size * 286 // 256}", "--display_id=0"]
        return run([setting.python, "train.py", *options], cwd=_checkout(setting, case), of=setting)

    def ours(count: int) -> Cost:
        paired = case == "pix2pix"
        pictures = ["--pairs", "pairs/train"] if paired else ["--data", "."]
        networks = ["generator.depth=8" if setting.size == 256 else "generator.depth=7"]
        networks = networks if paired else ["generator.num_blocks=9"]
        sizes = [
            f"data.crop_size={setting.size}",
            f"data.load_size={setting.size * 286 // 256}",
            f"generator.base_channels={setting.base_channels}",
            f"discriminator.base_channels={setting.base_channels}",
            f"train.steps={count}",
            "data.held_out=0",
            *networks,
        ]
        options = ["--method", "pix2pix-paper" if paired else case, *pictures]
        options += ["--precision", setting.precision]
        options += ["--out", f"runs/{case}-{next(runs)}", "--device", setting.device]
        options += [part for each in sizes for part in ("--set", each)]
        return run([*OURS, "train", *options], cwd=setting.folder, of=setting)

    return compared(setting, peers, ours, more=setting.steps, unit="step")


def translating(setting: Setting, case: str) -> Row:
    """Compare translations by the same weights, which the peer has trained."""
    weights = _weights(setting, case)
    model = setting.folder / f"{case}.safetensors"
    statistics_of = ["--norm-statistics", "picture"] if case == "pix2pix" else []
    run([*OURS, "import", str(weights), "-o", str(model), *statistics_of], of=setting)

    def peers(count: int) -> Cost:
        options = [*_peer_options(setting, case, test=True), f"--num_test={count}"]
        options += [f"--load_size={setting.size}", f"--results_dir={setting.folder / 'results'}"]
        return run([setting.python, "test.py", *options], cwd=_checkout(setting, case), of=setting)

    def ours(count: int) -> Cost:
        output = setting.folder / f"translated/{case}"
        options = [str(setting.folder / "testA"), "--model", str(model), "--limit", str(count)]
        options += ["-o", str(output), "--format", "png", "--overwrite"]
        return run([*OURS, "translate", *options, "--device", setting.device], of=setting)

    row = compared(setting, peers, ours, more=setting.pictures, unit="picture")
    return row if case == "pix2pix" else row | {"levels_apart": _apart(setting, case)}


def compared(setting: Setting, peers: Process, ours: Process, *, more: int, unit: str) -> Row:
    """Run short and long processes of both in turn."""
    costs: list[tuple[Cost, Cost, Cost, Cost]] = []
    for _ in range(setting.runs):
        short = peers(SHORT), ours(SHORT)
        costs.append((*short, peers(SHORT + more), ours(SHORT + more)))
    steps = [
        ((c.seconds - a.seconds) / more, (d.seconds - b.seconds) / more) for a, b, c, d in costs
    ]
    ratios = [one / other for one, other in steps]

    def middle(values: Sequence[float], digits: int = 3) -> float:
        return round(statistics.median(values), digits)

    return {
        f"peer_{SHORT}_s": middle([each[0].seconds for each in costs]),
        f"ours_{SHORT}_s": middle([each[1].seconds for each in costs]),
        f"peer_{unit}_s": middle([each[0] for each in steps], 4),
        f"ours_{unit}_s": middle([each[1] for each in steps], 4),
        "ratio": middle(ratios),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "peer_mib": middle([each[2].mib for each in costs], 0),
        "ours_mib": middle([each[3].mib for each in costs], 0),
        "runs": len(costs),
    }


OURS = [sys.executable, "-m", "imgtranslate"]


def run(command: Sequence[str], *, of: Setting, cwd: Path | None = None) -> Cost:
    """Run a process to its end; raise ``RuntimeError`` with its last line if it fails."""
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines() or [""]
            raise RuntimeError(f"{' '.join(command[:4])}: {said[-1][:300]}")
    if of.cpu_time:
        seconds = usage.ru_utime + usage.ru_stime
    return Cost(seconds=seconds, mib=usage.ru_maxrss / 2**10)


def draw(folder: Path, data: Path | None, *, size: int, train: int, test: int) -> None:
    """Write both sides, and pairs of them side by side, as the reference expects them."""
    rng = np.random.default_rng(0)
    for name, count in (("train", train), ("test", test)):
        sides = []
        for letter in "AB":
            given = list_images(data / f"train{letter}") if data else []
            target = folder / f"{name}{letter}"
            target.mkdir()
            sides.append(target)
            for index in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
                if given:
                    picture = Image.open(given[index % len(given)]).convert("RGB")
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
                picture.save(target / f"{index:03}.jpg", quality=90)
        (folder / "pairs" / name).mkdir(parents=True)
        for one, other in zip(*map(list_images, sides), strict=True):
            both = np.hstack([np.asarray(Image.open(path)) for path in (one, other)])
            Image.fromarray(both).save(folder / "pairs" / name / one.name, quality=90)


def _checkout(setting: Setting, case: str) -> Path:
    found = setting.cut if "cut" in case else setting.reference
    if found is None or not (found / "train.py").is_file():
        raise RuntimeError(f"{found}: no train.py there")
    return found


def _peer_options(setting: Setting, case: str, *, test: bool = False) -> list[str]:
    """Return the options of the peer's script that are the same in training and test."""
    options = [f"--name={case}", f"--checkpoints_dir={setting.folder / 'checkpoints'}"]
    options += [f"--crop_size={setting.size}", f"--ngf={setting.base_channels}"]
    options += [f"--ndf={setting.base_channels}"]
    options += ["--gpu_ids=-1" if setting.device == "cpu" else "--gpu_ids=0"]
    root = setting.folder / "pairs" if case == "pix2pix" else setting.folder
    match case:
        case "cyclegan" if test:
            options += ["--model=test", "--model_suffix=_A", "--no_dropout"]
            root = setting.folder / "testA"
        case "cyclegan":
            options += ["--model=cycle_gan"]
        case "pix2pix":
            options += ["--model=pix2pix", f"--netG=unet_{setting.size}", "--direction=AtoB"]
        case "cut":
            options += ["--model=cut", "--CUT_mode=CUT"]
        case _:
            options += ["--model=cut", "--CUT_mode=FastCUT"]
    return [*options, f"--dataroot={root}"]


def _weights(setting: Setting, case: str) -> Path:
    """Find the weights that a training saved.

    CUT on a CPU saves names that its own test script does not load: their prefix is removed.
    """
    folder = setting.folder / "checkpoints" / case
    if case == "cyclegan":
        return folder / "latest_net_G_A.pth"
    path = folder / "latest_net_G.pth"
    if not path.is_file():
        raise RuntimeError(f"{path}: the training has saved no weights")
    weights = torch.load(path, weights_only=True)
    torch.save({name.removeprefix("module."): tensor for name, tensor in weights.items()}, path)
    return path


def _apart(setting: Setting, case: str) -> int:
    """Return the largest difference between the results; the peers truncate, ours are rounded."""
    folder = setting.folder / "results" / case / "test_latest" / "images"
    largest = 0
    for path in list_images(setting.folder / f"translated/{case}"):
        peers = folder / (
            f"{path.stem}_fake.png" if case == "cyclegan" else f"fake_B/{path.stem}.png"
        )
        one, other = (np.asarray(Image.open(each), int) for each in (peers, path))
        largest = max(largest, int(np.abs(one - other).max()))
    return largest


if __name__ == "__main__":
    typer.run(main)
