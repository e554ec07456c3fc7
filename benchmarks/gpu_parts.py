"""The parts of ``benchmarks.gpu``: each yields rows of figures, and ends before its deadline."""

import gc
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import torch
from PIL import Image
from torch import nn

import benchmarks.translate as folder_benchmark
import imgtranslate.translation.translate as translation
from benchmarks.step import build_batch, build_pair, settings_of
from benchmarks.tables import Row
from imgtranslate.data.cache import open_caches
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import Batch, SampleDataset, batches, choose_workers
from imgtranslate.data.sampling import Purpose, random_at
from imgtranslate.errors import ImgTranslateError
from imgtranslate.exporting.export import export_model
from imgtranslate.images import list_images
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import load_tensors
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings
from imgtranslate.training.events import Event, Progress
from imgtranslate.training.loop import Pace
from imgtranslate.training.request import Request
from imgtranslate.training.train import plan_training, resume, start, train
from imgtranslate.translation.codes import Model
from imgtranslate.translation.translator import EngineName, Precision, load

P = ParamSpec("P")
BATCHES = (1, 8)  # pictures of each side in a step
LONGEST = 20  # pairs of blocks that are timed of each variant
FEWEST_STEPS = 5  # for the pace of a training
FEW = 16  # pictures of each side where a part needs few


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The pictures, device and sizes of all parts, and the end of this one."""

    data: Path
    out: Path
    device: str
    size: int
    base_channels: int
    deadline: float  # as of time.time()

    @property
    def blocks(self) -> int:
        """The residual blocks of a generator: the paper's, and 2 in miniature."""
        return 9 if self.size > 128 else 6 if self.size > 64 else 2

    @property
    def on_gpu(self) -> bool:
        """Whether the device has CUDA's clock and memory."""
        return self.device.startswith("cuda")

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline - time.time()

    def settings(self, *, batch: int = 1, changes: list[str] | None = None) -> Settings:
        """Return the settings of CycleGAN at these sizes."""
        sizes = (self.size, self.base_channels, self.blocks, batch)
        return settings_of("cyclegan", *sizes, changes or [])


Part = Callable[[Setting], Iterator[Row]]


# The device, and the versions of the software


def device(setting: Setting) -> Iterator[Row]:
    """Describe the machine."""
    rows = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
    }
    if setting.on_gpu:
        found = torch.cuda.get_device_properties(setting.device)
        rows |= {
            "GPU": found.name,
            "compute capability": f"{found.major}.{found.minor}",
            "memory, GiB": str(round(found.total_memory / 2**30, 1)),
            "multiprocessors": str(found.multi_processor_count),
            "CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        }
    yield from ({"name": name, "value": value} for name, value in rows.items())


# The training step beside the textbook's


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The precision and memory layout of a step; the textbook has the same precision."""

    tf32: bool = False
    bf16: bool = False
    channels_last: bool = False  # of ours alone
    compiled: bool = False  # ours alone, on a GPU with CUDA graphs


VARIANTS = {
    "fp32": Variant(),
    "fp32 with TF32": Variant(tf32=True),
    "bf16": Variant(tf32=True, bf16=True),
    "bf16, channels-last": Variant(tf32=True, bf16=True, channels_last=True),
}
COMPILED = {"bf16, compiled": Variant(tf32=True, bf16=True, compiled=True)}


def steps(setting: Setting) -> Iterator[Row]:
    """Compare the eager step with the textbook's."""
    yield from _steps(setting, VARIANTS)


def compiled(setting: Setting) -> Iterator[Row]:
    """Compare the compiled step with the eager textbook's."""
    yield from _steps(setting, COMPILED)


def _steps(setting: Setting, variants: dict[str, Variant]) -> Iterator[Row]:
    rest = len(BATCHES) * len(variants)
    for batch in BATCHES:
        for name, variant in variants.items():
            row = {"step": name, "batch": batch}
            seconds = setting.left() / rest
            yield _attempt(row, _step, setting, variant, batch=batch, seconds=seconds)
            rest -= 1
            gc.collect()
            if setting.on_gpu:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()


def _step(setting: Setting, variant: Variant, *, batch: int, seconds: float) -> Row:
    """Measure a variant: first losses, memory, and the seconds of both steps in turn."""
    began = time.time()

    # Both with the same weights, and a batch for each layout
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = variant.tf32
    torch.backends.cudnn.benchmark = True  # the textbook's convolutions are chosen as ours
    changes = [f"train.precision={'bf16' if variant.bf16 else 'fp32'}"]
    if variant.compiled:  # each size anew, because torch would make the second one dynamic
        torch.compiler.reset()
        changes.append("train.compile=on")
    settings = setting.settings(batch=batch, changes=changes)
    where = torch.device(setting.device)
    textbook, ours = build_pair(settings, where)
    plain = build_batch(settings, where, seed=0)
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    for network in ours.networks.values():
        network.to(memory_format=layout)
    real_a, real_b = (side.to(memory_format=layout) for side in (plain.real_a, plain.real_b))
    own = Batch(real_a, real_b)
    rng = random_at(settings.train.seed, Purpose.POOL, 0)

    def step_textbook() -> dict[str, torch.Tensor]:
        with torch.autocast(where.type, torch.bfloat16, enabled=variant.bf16):
            return textbook.step(plain, rng)

    def step_ours() -> None:
        ours.step(own, learning_rate=settings.optimizer.lr)

    # The first steps of ours, with the time that compiling takes, and then of the textbook. Peaks
    # are without the networks of the other: weights alone at first, with Adam's state later.
    first, found = _seconds(step_ours, setting), ours.take_mean_losses()
    ours_mib = _peak(step_ours, setting) - _mib_of(textbook.nets.values())
    wanted = {name: float(loss.detach()) for name, loss in step_textbook().items()}
    textbook_mib = _peak(step_textbook, setting) - 3 * _mib_of(ours.networks.values())
    apart = max(abs(found[name] / wanted[name] - 1) for name in wanted)
    memory = {"ours_mib": round(ours_mib), "textbook_mib": round(textbook_mib)}

    # Blocks of steps in turn: within a block the host may run ahead of the GPU
    block = 5 if setting.on_gpu else 1
    pairs: list[tuple[float, float]] = []
    while len(pairs) < 3 or (len(pairs) < LONGEST and time.time() - began < 0.7 * seconds):
        both = (_seconds(step, setting, count=block) for step in (step_textbook, step_ours))
        pairs.append((next(both) / block, next(both) / block))
    ratios = [pair[0] / pair[1] for pair in pairs]
    textbook_s, ours_s = (statistics.median(each) for each in zip(*pairs, strict=True))
    return {
        "textbook_s": round(textbook_s, 5),
        "ours_s": round(ours_s, 5),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "pairs": len(pairs),
        "first_step_s": round(first, 2),
        "losses_apart": f"{apart:.1e}",
        **(memory if setting.on_gpu else {}),
    }


def _seconds(step: Callable[[], object], setting: Setting, *, count: int = 1) -> float:
    """Time some steps, from an idle GPU to the end of their last kernel."""
    _finish(setting)
    began = time.perf_counter()
    for _ in range(count):
        step()
    _finish(setting)
    return time.perf_counter() - began


def _finish(setting: Setting) -> None:
    if setting.on_gpu:
        torch.cuda.synchronize()


def _peak(step: Callable[[], object], setting: Setting) -> float:
    """Run two steps, and return the peak memory since the last call in MiB; 0 on a CPU."""
    step()
    step()
    if not setting.on_gpu:
        return 0.0
    peak = torch.cuda.max_memory_allocated() / 2**20
    torch.cuda.reset_peak_memory_stats()
    return peak


def _mib_of(networks: Iterable[nn.Module]) -> float:
    weights = (weight for network in networks for weight in network.parameters())
    return sum(float(weight.nbytes) for weight in weights) / 2**20


# The share of a step that waits for pictures


def waiting(setting: Setting) -> Iterator[Row]:
    """Measure waiting in the first epoch, and in later ones, which read from the cache."""
    where = torch.device(setting.device)
    auto = choose_workers(setting.settings(changes=["data.workers=auto"]), where)
    cases = [(batch, workers) for batch in BATCHES for workers in sorted({0, auto or 1})]
    rest = 2 * len(cases)
    with tempfile.TemporaryDirectory() as name:
        few = _few(setting.data, Path(name))
        for batch, workers in cases:
            for epoch, data in (("first", setting.data), ("later", few)):
                row = {"batch": batch, "workers": workers, "epoch": epoch}
                seconds = setting.left() / rest
                yield _attempt(
                    row, _wait, setting, data, batch=batch, workers=workers, seconds=seconds
                )
                rest -= 1


def _wait(setting: Setting, data: Path, *, batch: int, workers: int, seconds: float) -> Row:
    """Train for some seconds; where the pictures are few, fill the cache with them first."""
    began = time.time()
    changes = [f"data.{letter}={data / f'train{letter.upper()}'}" for letter in "ab"]
    changes += ["data.held_out=0", f"data.load_size={setting.size * 286 // 256}"]
    settings, where = setting.settings(batch=batch, changes=changes), torch.device(setting.device)
    domains, learner = find_domains(settings.data, paired=False), Learner(settings, where)
    caches = open_caches(domains, settings.data, workers=workers)
    dataset = SampleDataset(*domains, settings, paired=False, caches=caches)
    fill = -(-FEW // batch) if data != setting.data else 0

    def stream(first: int, count: int) -> Iterator[Batch]:
        return batches(
            dataset,
            first_position=first * batch,
            num_batches=count,
            workers=workers,
            device=where,
            split=learner.split,
        )

    for _ in stream(0, fill):
        pass
    pace = Pace()
    for read in pace.waiting_for(stream(fill, 10**6)):
        learner.step(read, learning_rate=settings.optimizer.lr)
        _finish(setting)
        pace.tick()
        if pace.steps >= FEWEST_STEPS and (
            pace.steps >= 120 or time.time() - began > 0.7 * seconds
        ):
            break
    step_s = pace.seconds_per_step()
    return {"waiting": round(pace.waiting_share(), 4), "step_s": round(step_s, 5)}


def _few(data: Path, folder: Path) -> Path:
    """Copy the first pictures of each side."""
    for side in ("trainA", "trainB", "testA", "testB"):
        (folder / side).mkdir()
        for path in list_images(data / side)[:FEW]:
            shutil.copy(path, folder / side)
    return folder


# A training that is stopped and resumed


def resuming(setting: Setting) -> Iterator[Row]:
    """Compare a resumed training with one that ran through, and that one with its repetition."""
    half = 6
    sizes = _training_settings(setting)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = _few(setting.data, folder)

        def run(out: str, count: int) -> Path:
            return train(
                data=few, out=folder / out, settings=sizes, device=setting.device, stop=after(count)
            ).run

        whole, again, stopped = run("whole", 2 * half), run("again", 2 * half), run("half", half)
        yield {"compared": "the same training twice", **_apart(whole, again)}
        seen: list[float] = []

        def watch(event: Event) -> None:
            if isinstance(event, Progress):
                seen.append(time.time())

        began = time.time()
        resume(stopped, device=setting.device, report=watch, stop=after(half))
        first = {"first_step_s": round(seen[0] - began, 2)}
        yield {"compared": "through, and resumed", **_apart(whole, stopped), **first}


def after(count: int) -> Callable[[], bool]:
    """Return a ``stop`` that ends a training after some steps."""
    steps = iter(range(1, 10**9))
    return lambda: next(steps) >= count


def _training_settings(setting: Setting) -> dict[str, Any]:
    return {
        "data.load_size": setting.size * 286 // 256,
        "data.crop_size": setting.size,
        "generator.num_blocks": setting.blocks,
        "generator.base_channels": setting.base_channels,
        "discriminator.base_channels": setting.base_channels,
    }


def _apart(one: Path, other: Path) -> Row:
    """Return the largest difference of the weights, relative to the largest weight."""
    first, second = (load_tensors(Run(folder).state) for folder in (one, other))
    names = [name for name in first if name.startswith(("generator", "discriminator"))]
    pairs = [(first[name].double(), second[name].double()) for name in names]
    largest = max(float(one.abs().max()) for one, _ in pairs)
    apart = max(float((one - other).abs().max()) for one, other in pairs)
    equal = first.keys() == second.keys() and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )
    return {"bit-identical": equal, "weights_apart": f"{apart / largest:.1e}"}


# A folder translated


def translate(setting: Setting) -> Iterator[Row]:
    """Translate the test pictures of A in each precision, alone and in batches."""
    precisions: tuple[tuple[str, Precision, bool], ...] = (
        ("fp32", "fp32", False),
        ("fp32 with TF32", "fp32", True),
        ("fp16", "fp16", True),
    )
    with tempfile.TemporaryDirectory() as name:
        folder, shown, network, arrays = _folder(setting, Path(name))
        model = folder_benchmark.save(network, shown, folder / "ab.safetensors")
        for label, precision, tf32 in precisions:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
            for batch in (1, translation.BATCH):
                translation.BATCH = batch  # the largest that the folder's translation makes
                row = {"engine": "torch", "precision": label, "batch": batch}
                yield _attempt(
                    row, _translate, setting, model, network, arrays, precision=precision
                )
            translation.BATCH = 8


def onnx(setting: Setting) -> Iterator[Row]:
    """Translate with ONNX Runtime, on the GPU if it has the CUDA provider."""
    import onnxruntime  # type: ignore[import-untyped]

    yield {"engine": "onnxruntime", "version": onnxruntime.__version__}
    yield {"providers": ", ".join(onnxruntime.get_available_providers())}
    with tempfile.TemporaryDirectory() as name:
        folder, shown, network, arrays = _folder(setting, Path(name))
        model = folder_benchmark.save(network, shown, folder / "ab.safetensors")
        exported = export_model(model, folder / "ab.onnx").path
        yield _attempt(
            {"engine": "onnxruntime", "precision": "fp32"},
            _translate,
            setting,
            exported,
            network,
            arrays,
            reference=model,
        )


def _folder(
    setting: Setting, folder: Path
) -> tuple[Path, folder_benchmark.Setting, nn.Module, list[np.ndarray]]:
    """Write the pictures in one size, and build a network with random weights."""
    shown = folder_benchmark.Setting(
        size=setting.size,
        base_channels=setting.base_channels,
        blocks=setting.blocks,
        images=min(64, len(list_images(setting.data / "testA"))),
        device=setting.device,
        suffix=".jpg",
        pictures=setting.data / "testA",
    )
    network = folder_benchmark.build_network(shown)
    return folder, shown, network, folder_benchmark.draw(shown, folder / "in")


def _translate(
    setting: Setting,
    path: Path,
    network: nn.Module,
    arrays: list[np.ndarray],
    *,
    precision: Precision = "fp32",
    reference: Path | None = None,
) -> Row:
    """Time the folder beside the bare network, and compare a picture with the CPU's."""
    source, output = path.parent / "in", path.parent / "out"
    engine: EngineName = "onnx" if reference else "torch"
    translator = load(path, device=setting.device, precision=precision, engine=engine)
    exact = load(reference or path, device="cpu", engine="torch")
    picture = Image.fromarray(arrays[0])
    levels = np.asarray(translator(picture), int) - np.asarray(exact(picture), int)
    model = Model(translator=translator)
    pairs = [
        (
            folder_benchmark.loop_over(network, arrays, device=setting.device),
            folder_benchmark.translate(model, source, output),
        )
        for _ in range(4)
    ][1:]
    textbook_s, ours_s = (statistics.median(each) for each in zip(*pairs, strict=True))
    return {
        "textbook_s": round(textbook_s, 4),
        "ours_s": round(ours_s, 4),
        "ratio": round(statistics.median(one / other for one, other in pairs), 3),
        "pictures_per_s": round(len(arrays) / ours_s, 1),
        "levels_apart": int(np.abs(levels).max()),
    }


# The tests on the device


def tests(setting: Setting) -> Iterator[Row]:
    """Run the tests that compare a device with the CPU."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += ["-W", "default"]  # the tests are of the device, not of the versions of packages
    environment = os.environ | {"TEST_DEVICE": setting.device}
    done = subprocess.run(
        [*command, "tests/test_device.py"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    yield from ({"result": line} for line in lines if line.startswith(("FAILED", "ERROR")))
    yield {"result": lines[-1].strip("= ") if lines else f"exit status {done.returncode}"}


# A real training with the time that is left


def training(setting: Setting) -> Iterator[Row]:
    """Measure the pace, then train with a schedule that fits, and write the report."""
    began, share = time.time(), setting.left()
    run, sizes = setting.out / "run", _training_settings(setting)
    paces: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Progress) and event.speed:
            paces.append(1 / event.speed.steps_per_second)

    with tempfile.TemporaryDirectory() as name:
        plan = plan_training(
            Request(data=setting.data, out=Path(name) / "pilot", settings=sizes),
            device=setting.device,
            report=watch,
        )
        until = time.time() + min(15.0, 0.15 * share)
        pilot = start(
            plan, report=watch, stop=lambda: time.time() > until and len(paces) > FEWEST_STEPS
        )
    spent = round(time.time() - began, 1)
    yield {"training": "pilot", "steps": pilot.step, "step_s": round(paces[-1], 5), "s": spent}

    # The rest, without what the report at the end takes
    end = setting.deadline - 0.2 * share
    count = max(10, int(0.85 * (end - time.time()) / paces[-1]))
    often = max(1, count // 8)
    schedule = {
        "schedule.constant_steps": count // 2,
        "schedule.decay_steps": count - count // 2,
        "train.sample_every": often,
        "train.validate_every": often,
        "train.log_every": max(1, min(50, count // 20)),
    }
    settings, out = Request(data=setting.data, out=run, settings=sizes | schedule).resolve()
    result = start(
        replace(plan, settings=settings, out=out),
        report=watch,
        stop=lambda: time.time() > end,
    )
    yield {
        "training": "run" if result.finished else "run, stopped at its deadline",
        "steps": result.step,
        "step_s": round(paces[-1], 5),
        "s": round(result.seconds, 1),
        "validation": result.best,
        "report": result.report.name if result.report else "",
    }


def pictures(setting: Setting) -> Iterator[Row]:
    """Translate the test pictures with the trained run."""
    run = setting.out / "run"
    for direction, side in (("ab", "testA"), ("ba", "testB")):
        began, output = time.time(), setting.out / "translated" / direction
        outcomes = translation.translate_folder(
            setting.data / side,
            output,
            model=Run(run).model(direction),
            device=setting.device,
        )
        written = sum(outcome.status == "written" for outcome in outcomes)
        yield {"direction": direction, "written": written, "s": round(time.time() - began, 1)}


def _attempt(row: Row, measure: Callable[P, Row], *arguments: P.args, **options: P.kwargs) -> Row:
    """Add the figures to a row, or the reason for which there are none."""
    try:
        return row | measure(*arguments, **options)
    except (ImgTranslateError, ImportError, RuntimeError) as error:
        line = re.sub(r"\s+", " ", str(error).strip().partition("\n")[0])
        return row | {"error": f"{type(error).__name__}: {line[:200]}"}


PARTS: dict[str, Part] = {
    "device": device,
    "steps": steps,
    "compiled": compiled,
    "waiting": waiting,
    "resume": resuming,
    "translate": translate,
    "onnx": onnx,
    "tests": tests,
    "training": training,
    "pictures": pictures,
}
