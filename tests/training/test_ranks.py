"""Trainings of several processes as people start them, here on the CPU."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from imgtranslate.cli import run
from imgtranslate.cli.options import device_of_rank
from imgtranslate.errors import UsageError
from imgtranslate.model_files.checkpoint import load_tensors, read_state_header
from imgtranslate.settings.compatibility import check_sharing
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training.processes import Launch, launch_of

LAUNCH = "import sys; from imgtranslate.training.processes import launch; "
LAUNCH += "sys.exit(launch(sys.argv[1:], processes=2))"
BY_GPU = [sys.executable, "-c", LAUNCH]  # what --gpu 0,1 does
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "data.held_out": 1,
    "generator.base_channels": 4,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "method.pool_size": 3,
    "train.batch_size": 4,
    "train.log_every": 1,
    "train.validate_every": 3,
    "train.precision": "fp32",
}
META = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "1", "WORLD_SIZE": "2"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    for side in ("horses", "zebras"):
        (home / side).mkdir()
        for index in range(11):
            values = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(values).save(home / side / f"{index}.png")
    return home


def arguments(home: Path, out: Path, *, steps: int, **changes: Any) -> list[str]:
    settings = SMALL | {name.replace("__", "."): value for name, value in changes.items()}
    sets = [part for item in settings.items() for part in ("--set", "{}={}".format(*item))]
    sides = ["--a", str(home / "horses"), "--b", str(home / "zebras"), "--out", str(out)]
    return ["train", *sides, "--device", "cpu", "--steps", str(steps), *sets]


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_one_command_trains_in_two_processes(home: Path, tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    done = subprocess.run(
        [*BY_GPU, *arguments(home, two, steps=4)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{two}\n"
    assert done.stderr.count("training ") == 1
    assert "2 processes, cpu" in done.stderr
    assert "Traceback" not in done.stderr
    assert run(arguments(home, one, steps=4)) == 0
    for found, wanted in zip(rows(two), rows(one), strict=True):
        assert found.keys() == wanted.keys()
        tolerance = 1e-5 if wanted["step"] == 1 else 1e-3
        assert found == pytest.approx(wanted, rel=tolerance), wanted["step"]
    assert sorted(p.name for p in two.iterdir()) == sorted(p.name for p in one.iterdir())
    found, wanted = (load_tensors(out / "state.safetensors") for out in (two, one))
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].allclose(tensor, atol=1e-3), name


# Faults, in minutes: each begins three processes


def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process, what it says on stderr piped."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        yield process


def wait_for_step(out: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while not ((out / "metrics.jsonl").exists() and len(rows_so_far(out)) >= step):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows_so_far(out: Path) -> list[str]:
    return (out / "metrics.jsonl").read_text().splitlines()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def rank_of(launcher: int, rank: int) -> int:
    """The process of that rank among a launcher's children."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise LookupError(rank)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_ends_all_with_one_line(lost: int, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for process in started([*BY_GPU, *arguments(home, out, steps=100_000, train__save_every=5)]):
        wait_for_step(out, 20)
        os.kill(rank_of(process.pid, lost), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said.count("error: ") == 1, said
        assert f"continue with --resume {out}" in said
        assert "Traceback" not in said
    step = read_state_header(out / "state.safetensors").step
    assert step >= 15
    assert run(["train", "--resume", str(out), "--steps", str(step + 2), "--device", "cpu"]) == 0


@pytest.mark.slow
def test_a_fault_of_one_process_is_told_once(home: Path, tmp_path: Path) -> None:
    copied, out = Path(shutil.copytree(home, tmp_path / "home")), tmp_path / "run"
    for process in started([*BY_GPU, *arguments(copied, out, steps=100_000)]):
        wait_for_step(out, 5)
        (copied / "horses" / "3.png").write_bytes(b"no picture")
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said.count("error: ") == 1, said
        assert "3.png" in said
        assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_a_signal_stops_all_at_one_step(
    number: int, status: int, home: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for process in started([*BY_GPU, *arguments(home, out, steps=100_000, data__workers=1)]):
        wait_for_step(out, 5)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == status, said
        assert said.count(f"--resume {out}") == 1
        assert said.count("stopping after this step") == 1
        assert "Traceback" not in said
    assert read_state_header(out / "state.safetensors").step == rows(out)[-1]["step"]


@pytest.mark.slow
def test_a_restart_by_torchrun_goes_on(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*TORCHRUN, "--max-restarts=1", "-m", "imgtranslate"]
    for process in started([*command, *arguments(home, out, steps=200, train__save_every=5)]):
        wait_for_step(out, 20)
        os.kill(rank_of(process.pid, 1), signal.SIGKILL)
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said
        assert "started by this launch" in said
    whole = tmp_path / "whole"
    subprocess.run([*BY_GPU, *arguments(home, whole, steps=200)], check=True)
    assert rows(out) == rows(whole)  # as if nothing had been lost
    found, wanted = (load_tensors(each / "state.safetensors") for each in (out, whole))
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


@pytest.mark.slow
def test_two_machines_train_together(home: Path, tmp_path: Path) -> None:
    """Each with a launcher of its own and one process."""
    out = tmp_path / "run"
    meeting = ["--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1"]
    meeting += [f"--master-port={free_port()}", "-m", "imgtranslate"]
    machines = [
        subprocess.Popen(
            [*TORCHRUN[:3], f"--node-rank={node}", *meeting, *arguments(home, out, steps=3)]
        )
        for node in (0, 1)
    ]
    assert [machine.wait(120) for machine in machines] == [0, 0]
    assert [row["step"] for row in rows(out)] == [1, 2, 3]


@pytest.mark.slow
def test_the_command_of_the_page_runs(home: Path, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "many-gpus.md"
    (line,) = re.findall(r"^torchrun --standalone .*$", page.read_text("utf-8"), re.MULTILINE)
    for side in ("horses", "zebras"):
        (tmp_path / side).symlink_to(home / side)
    small = ["--preset", "tiny", "--size", "16", "--steps", "2", "--device", "cpu"]
    command = [*TORCHRUN[:3], *shlex.split(line)[1:], *small]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "runs/two/ab.safetensors").exists()


@pytest.mark.slow
def test_a_run_of_another_launch_is_refused(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(arguments(home, out, steps=1)) == 0
    done = subprocess.run(
        [*BY_GPU, *arguments(home, out, steps=4)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: ") == 1
    assert "--resume" in done.stderr
    assert done.stderr.count("\n") == 1


# What is refused, and how processes know of each other


@pytest.mark.parametrize(
    ("changes", "processes", "line"),
    [
        ({"train.batch_size": 3}, 2, "train.batch_size 3: .* use train.batch_size 4"),
        ({"train.batch_size": 6, "train.accumulate": 2}, 2, "not a multiple of 4"),
        ({"generator.norm": "batch", "train.batch_size": 2}, 2, "generator.norm batch"),
        ({"discriminator.norm": "batch", "train.batch_size": 2}, 2, "discriminator.norm batch"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    changes: dict[str, Any], processes: int, line: str
) -> None:
    with pytest.raises(UsageError, match=line):
        check_sharing(settings_of(changes), processes)


def settings_of(changes: dict[str, Any], method: str | None = None) -> Any:
    tree: dict[str, Any] = {"data": {"a": "a", "b": "b"}}
    for name, value in changes.items():
        section, _, key = name.partition(".")
        tree.setdefault(section, {})[key] = value
    return build_settings(method=method, preset="tiny", layers=[tree])


def test_bicyclegan_needs_equal_shares_of_both_halves() -> None:
    with pytest.raises(UsageError, match=r"two halves each.*train.batch_size 4"):
        check_sharing(settings_of({"train.batch_size": 2}, "bicyclegan"), 2)
    check_sharing(settings_of({"train.batch_size": 4}, "bicyclegan"), 2)


def test_parts_that_do_not_divide_are_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match=r"train.batch_size 3: .* for 2 micro-batches"):
        settings_of({"train.batch_size": 3, "train.accumulate": 2})


def test_a_launcher_is_known_by_what_it_sets() -> None:
    assert launch_of({}) == Launch()
    named = {**META, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "job"}
    assert launch_of(named) == Launch(rank=1, size=2, local_rank=0, name="job")
    found = launch_of({**META, "TORCHELASTIC_RUN_ID": "none"})
    assert str(os.getppid()) in found.name
    with pytest.raises(UsageError, match="torchrun"):
        launch_of({**META, "WORLD_SIZE": "two"})


def test_every_process_of_a_machine_has_a_gpu_of_its_own() -> None:
    assert [device_of_rank("auto", ["2", "5"], rank) for rank in (0, 1)] == ["cuda:2", "cuda:5"]
    assert device_of_rank("cuda", [], 1) == "cuda:1"
    assert device_of_rank("cpu", [], 1) == "cpu"
    with pytest.raises(UsageError, match="--gpu 0: fewer GPUs than processes"):
        device_of_rank("auto", ["0"], 1)
    with pytest.raises(UsageError, match="mps"):
        device_of_rank("mps", [], 1)


def test_gpus_are_looked_for_before_anything_is_started(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    sides = ["--a", str(home / "horses"), "--b", str(home / "zebras")]
    assert run(["train", *sides, "--gpu", "0,1"]) == 2
    assert "torch finds no GPU" in capsys.readouterr().err
    assert run(["train", *sides, "--gpu", "0,0"]) == 2
    assert "names a GPU twice" in capsys.readouterr().err
