"""One picture, translated by a tiny network in every engine that is installed.

Each test runs in a process of its own, so that a package that crashes or hangs is a finding.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtranslate.errors import one_line

LARGEST_DIFFERENCE = 1.0  # of two engines, in levels of 8 bits
PATIENCE = 180  # seconds for a test, most of which imports packages
REMEDIES = {
    "model file": "Install imgtranslate again: pip install -U --force-reinstall imgtranslate",
    "torch": "Install it again, as pytorch.org says for this machine: pip install -U torch",
    "torchvision": "Install versions that fit each other: pip install -U torch torchvision",
    "ONNX Runtime": "Install it again: pip install -U onnxruntime",
    "OpenVINO": "Install it again: pip install -U openvino",
    "GPU": "Update the driver, or train and translate with the CPU: --device cpu",
}
OTHER_INSTRUCTIONS = "Install a version or build of it that is made for older CPUs"


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """The result of one test."""

    name: str
    state: str  # ok, failed or not installed
    seconds: float | None = None  # with the start of a process and all imports
    difference: float | None = None  # from the first engine that ran, in levels of 8 bits
    reason: str = ""  # of a failure
    remedy: str = ""


# Tests


def run_self_tests(packages: Mapping[str, str]) -> tuple[list[SelfTest], dict[str, Any]]:
    """Translate one picture with a tiny network in each engine; also return the facts of torch."""
    with tempfile.TemporaryDirectory(prefix="imgtranslate-") as name:
        folder = Path(name)
        tests = [run_test("model file", folder)]
        if tests[0].state != "ok":
            return tests, {}
        tests += [run_test("torch", folder), run_test("torchvision", folder)]
        facts = folder / "torch.json"
        torch = json.loads(facts.read_text("utf-8") if facts.is_file() else "{}")
        tests += [run_test(f"GPU {gpu['device']}", folder) for gpu in torch.get("devices", [])]
        tests.append(run_test("ONNX Runtime", folder))
        if packages.get("openvino"):
            tests.append(run_test("OpenVINO", folder))
        else:
            tests.append(SelfTest(name="OpenVINO", state="not installed"))
        return _compared(tests, folder), torch


def run_test(name: str, folder: Path) -> SelfTest:
    """Run one test in a process of its own, which imports packages as this one does."""
    code = "import sys; from imgtranslate.doctor import self_test as t; t.self_test(*sys.argv[1:])"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, name, str(folder)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _failed(name, f"no answer within {PATIENCE} s")
    if done.returncode < 0:
        number = -done.returncode
        cause = signal.Signals(number).name if number in [*signal.Signals] else str(number)
        return _failed(name, f"crashed by {cause}", OTHER_INSTRUCTIONS if cause == "SIGILL" else "")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").split("\n")
        said = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
        return _failed(name, said[-1] if said else f"exit status {done.returncode}")
    return SelfTest(name=name, state="ok", seconds=round(time.perf_counter() - began, 2))


def _failed(name: str, reason: str, remedy: str = "") -> SelfTest:
    remedy = remedy or REMEDIES["GPU" if name.startswith("GPU") else name]
    reason = without_paths(one_line(reason))
    return SelfTest(name=name, state="failed", reason=reason, remedy=remedy)


def _compared(tests: list[SelfTest], folder: Path) -> list[SelfTest]:
    """Add the differences of the translations."""
    import numpy as np

    first: Any = None
    compared = []
    for test in tests:
        file = _result_of(test.name, folder)
        if test.state != "ok" or not file.is_file():
            compared.append(test)
            continue
        output = np.load(file).astype(np.float64)
        first = output if first is None else first
        difference = float(np.abs(output - first).max()) * 127.5
        if difference <= LARGEST_DIFFERENCE:
            kept = SelfTest(
                name=test.name, state="ok", seconds=test.seconds, difference=round(difference, 4)
            )
        else:
            kept = _failed(test.name, f"differs by {difference:.1f} of 255 levels")
        compared.append(kept)
    return compared


def _result_of(name: str, folder: Path) -> Path:
    return folder / f"{name.replace(':', '-')}.npy"


def self_test(name: str, folder: str) -> None:
    """Run one test in this process. Any exception is a failure."""
    import numpy as np

    place, model = Path(folder), Path(folder, "model.safetensors")
    if name == "model file":
        _write_model(model)
        np.save(place / "input.npy", np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)))
        return
    if name == "torchvision":
        import torch
        from torchvision.ops import nms  # type: ignore[import-untyped]

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)  # compiled code of torchvision
        return
    values, output = np.load(place / "input.npy").astype(np.float32), None
    if name == "ONNX Runtime":
        from imgtranslate.engines.graph_engine import GraphEngine

        output = GraphEngine.load(model).run(values)
    elif name == "OpenVINO":
        from imgtranslate.engines.network_graph import generator_graph
        from imgtranslate.engines.openvino_runtime import answer_of, compile_model
        from imgtranslate.model_files.checkpoint import load_arrays, read_model_header
        from imgtranslate.model_files.export_header import IMAGE, TRANSLATED

        graph = generator_graph(read_model_header(model)).model(load_arrays(model))
        output = answer_of(compile_model(graph.SerializeToString()), {IMAGE: values})[TRANSLATED]
    else:
        from imgtranslate.engines.torch_engine import TorchEngine

        device = name.removeprefix("GPU ") if name.startswith("GPU ") else "cpu"
        output = TorchEngine.load(model, device=device).run(values)
        if name == "torch":
            (place / "torch.json").write_text(json.dumps(describe_torch()), encoding="utf-8")
    np.save(_result_of(name, place), output)


def _write_model(path: Path) -> None:
    """Write a tiny generator, without torch."""
    import numpy as np
    from safetensors.numpy import save_file

    from imgtranslate.engines.network_graph import generator_graph
    from imgtranslate.model_files.checkpoint import METADATA_KEY, ModelHeader, header_json
    from imgtranslate.settings.config import ResnetConfig

    header = ModelHeader(
        generator=ResnetConfig(base_channels=8, num_blocks=1),
        in_channels=3,
        out_channels=3,
        direction="ab",
        source="a",
        target="b",
        load_size=32,
        crop_size=32,
        method="cyclegan",
        step=0,
    )
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.normal(0, 0.1, shape).astype(np.float32)
        for name, (_, shape) in generator_graph(header).layout.items()
    }
    save_file(tensors, path, metadata={METADATA_KEY: header_json(header)})


def describe_torch() -> dict[str, Any]:
    """Describe the build of torch, its threads, and the GPUs that it can use."""
    import torch

    devices = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            name = torch.cuda.get_device_name(number)
            devices.append({"device": f"cuda:{number}", "name": name, "free": free, "total": total})
    elif torch.backends.mps.is_available():
        devices.append({"device": "mps", "name": "Apple GPU", "free": None, "total": None})
    return {
        "version": torch.__version__,  # with the kind of build, such as +cpu
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "devices": devices,
    }


# Privacy


def without_paths(text: str) -> str:
    """Remove the folders of paths and the name of the user from a text."""
    homes = [os.environ.get(name, "") for name in ("HOME", "USERPROFILE")]
    for place in sorted({sys.prefix, sys.base_prefix, str(Path.cwd()), *homes}, key=len)[::-1]:
        if len(place) > 1:
            text = text.replace(place, "…")
    text = re.sub(r"(?:…|(?<![\w…/]))/(?:[^\s'\":,;()/]+/)+", "…/", text)
    text = re.sub(r"\b[A-Za-z]:\\(?:[^\s'\":,;()\\]+\\)+", "…/", text)
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")}
    for user in users | {Path(home).name for home in homes}:
        if len(user) > 2:
            text = re.sub(rf"\b{re.escape(user)}\b", "user", text)
    return text
