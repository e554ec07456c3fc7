import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.pictures import digests
from PIL import Image

from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.methods.process_group import ProcessGroup
from imgtranslate.model_files.checkpoint import load_tensors, read_state_header
from imgtranslate.runs.data import domains_of_run, has_changed
from imgtranslate.runs.folder import Run
from imgtranslate.training import events
from imgtranslate.training.train import resume, train
from imgtranslate.training.validation import Validation

STEPS, CUT = 16, 7  # the cut falls between two logged steps, after the pools began to swap
SMALL: dict[str, Any] = {
    "data.crop_size": 24,
    "generator.base_channels": 4,
    "generator.num_blocks": 1,
    "discriminator.base_channels": 4,
    "discriminator.num_layers": 1,
    "method.pool_size": 3,
    "train.ema_decay": 0.9,
    "train.precision": "fp32",
    "train.log_every": 3,
    "train.sample_every": 100,
    "train.save_every": 5,
}
UNET = {
    "generator.kind": "unet",
    "generator.depth": 5,
    "generator.dropout": True,
    "data.crop_size": 32,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bf16": {"train.precision": "bf16"},
    "batches": {"train.batch_size": 2},
    "workers": {"data.workers": 2},
    "dropout": UNET,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for side, count in (("horses", 5), ("zebras", 7)):
        (folder / side).mkdir()
        for index in range(count):
            values = rng.integers(0, 256, (30, 40, 3), np.uint8)
            Image.fromarray(values).save(folder / side / f"{index}.png")
    return folder


def learn(pictures: Path, out: Path, steps: int, *, stop_at: int = 0, **changes: Any) -> None:
    settings = {**SMALL, "train.steps": steps, **changes}
    if settings.get("generator.kind") == "unet":
        del settings["generator.num_blocks"]
    seen = [0]

    def count(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            seen[0] = event.step

    train(
        a=pictures / "horses",
        b=pictures / "zebras",
        out=out,
        settings=settings,
        device="cpu",
        report=count,
        stop=lambda: seen[0] == stop_at,
    )


def assert_same(found: Path, wanted: Path) -> None:
    """Weights, averages, optimizer states, pools, sums and log, bit for bit."""
    a, b = (load_tensors(run / "state.safetensors") for run in (found, wanted))
    assert a.keys() == b.keys()
    for name, tensor in b.items():
        assert torch.equal(a[name], tensor), name
    for name in ("ab.safetensors", "ba.safetensors", "metrics.jsonl"):
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopping_and_going_on_changes_nothing(
    variant: str, pictures: Path, tmp_path: Path
) -> None:
    changes = VARIANTS[variant]
    learn(pictures, tmp_path / "whole", STEPS, **changes)
    learn(pictures, tmp_path / "cut", STEPS, stop_at=CUT, **changes)
    assert read_state_header(tmp_path / "cut" / "state.safetensors").step == CUT
    assert resume(tmp_path / "cut", device="cpu").finished
    assert_same(tmp_path / "cut", tmp_path / "whole")
    state = load_tensors(tmp_path / "whole" / "state.safetensors")
    assert state["pool_a/images"].shape[0] == 3  # full, so it did swap


def test_a_run_records_the_precision_that_auto_became(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for precision in ("bf16", "fp32"):
        found = {"avx512_bf16": precision == "bf16"}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda f=found: f, raising=False)
        learn(pictures, tmp_path / precision, 1, **{"train.precision": "auto"})
        assert Run(tmp_path / precision).read_config()[0].train.precision == precision


def test_an_older_run_without_that_record_continues_in_float32(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(pictures, tmp_path / "whole", STEPS)
    learn(pictures, tmp_path / "old", STEPS, stop_at=CUT)
    old = Run(tmp_path / "old").config
    text = old.read_text()
    old.write_text(text.replace('precision = "fp32"', 'precision = "auto"'))
    assert old.read_text() != text
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    resume(tmp_path / "old", device="cpu")
    assert_same(tmp_path / "old", tmp_path / "whole")


def test_what_the_leader_tells_of_changed_pictures_is_what_others_find(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume goes on with changed pictures, on several processes too."""
    home = shutil.copytree(pictures, tmp_path / "home")
    learn(home, tmp_path / "run", 1)
    (home / "horses" / "3.png").unlink()
    told: list[Any] = []
    monkeypatch.setattr("imgtranslate.training.train.send_run", lambda *all: told.append(all))
    resume(tmp_path / "run", settings={"train.steps": 2}, device="cpu")
    ((_, learner, record),) = told
    domains = domains_of_run(learner.settings, record)
    assert not any(has_changed(domain, record) for domain in domains)


def test_others_wait_patiently_for_what_the_leader_alone_does(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next word, for which they wait ten minutes at most."""
    calls: list[str] = []

    def told(name: str, answer: Any) -> Any:
        return lambda *given: (calls.append(name), answer(*given))[1]

    monkeypatch.setattr(Validation, "measure", told("validated", lambda *_: {}))
    monkeypatch.setattr("imgtranslate.training.loop.write_samples", told("drawn", lambda *_: {}))
    monkeypatch.setattr(ProcessGroup, "wait", told("wait", lambda *_: None))
    monkeypatch.setattr(ProcessGroup, "broadcast", told("word", ProcessGroup.broadcast))
    monkeypatch.setattr(ProcessGroup, "any", told("word", ProcessGroup.any))
    learn(pictures, tmp_path / "run", 2, **{"train.validate_every": 1, "train.sample_every": 1})
    after = [pair for pair in itertools.pairwise(calls) if pair[0] in ("validated", "drawn")]
    assert after == [("validated", "wait"), ("drawn", "wait")] * 2


def test_workers_change_nothing(pictures: Path, tmp_path: Path) -> None:
    learn(pictures, tmp_path / "none", STEPS)
    learn(pictures, tmp_path / "two", STEPS, **{"data.workers": 2})
    assert_same(tmp_path / "two", tmp_path / "none")


def test_extending_a_finished_run_is_as_if_it_had_been_longer(
    pictures: Path, tmp_path: Path
) -> None:
    learn(pictures, tmp_path / "whole", STEPS)
    learn(pictures, tmp_path / "short", CUT)
    before = (tmp_path / "short" / "state.safetensors").read_bytes()
    assert resume(tmp_path / "short", device="cpu").step == CUT  # nothing left to do
    assert (tmp_path / "short" / "state.safetensors").read_bytes() == before
    resume(tmp_path / "short", settings={"train.steps": STEPS}, device="cpu")
    assert_same(tmp_path / "short", tmp_path / "whole")


def test_epochs_do_not_extend_a_schedule_in_steps(pictures: Path, tmp_path: Path) -> None:
    steps = {"schedule.constant_steps": 2, "schedule.decay_steps": 2}
    learn(pictures, tmp_path / "run", STEPS, **steps)
    with pytest.raises(ImgTranslateError, match="is in steps"):
        resume(tmp_path / "run", settings={"schedule.epochs": 9}, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"train.steps": 2},
        {"schedule.epochs": 1, "schedule.decay_epochs": 0},
        {"train.steps": 2, "data.workers": 1},
    ],
)
def test_an_end_before_the_saved_step_is_refused_and_changes_nothing(
    pictures: Path, tmp_path: Path, changes: dict[str, int]
) -> None:
    run = tmp_path / "run"
    learn(pictures, run, CUT + 1)
    before = digests(run)
    with pytest.raises(UsageError, match=f"it is at step {CUT + 1} already. Give more"):
        resume(run, settings=changes, device="cpu")
    assert digests(run) == before


def test_a_stopped_run_may_end_where_it_is(pictures: Path, tmp_path: Path) -> None:
    learn(pictures, tmp_path / "run", STEPS, stop_at=CUT)
    assert resume(tmp_path / "run", settings={"train.steps": CUT}, device="cpu").finished


def test_another_seed_is_another_run(pictures: Path, tmp_path: Path) -> None:
    learn(pictures, tmp_path / "a", 2)
    learn(pictures, tmp_path / "b", 2, **{"train.seed": 1})
    assert (tmp_path / "a/ab.safetensors").read_bytes() != (
        tmp_path / "b/ab.safetensors"
    ).read_bytes()


def test_a_full_disk_leaves_the_last_state(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(pictures, tmp_path / "run", CUT)
    before = (tmp_path / "run" / "state.safetensors").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImgTranslateError, match="disk is full"):
        resume(tmp_path / "run", settings={"train.steps": STEPS}, device="cpu")
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob(".imgtranslate-*"))


def command(pictures: Path, out: Path, steps: int) -> list[str]:
    sets = [f"{name}={value}" for name, value in SMALL.items()]
    options = [part for text in sets for part in ("--set", text)]
    sides = ["--a", str(pictures / "horses"), "--b", str(pictures / "zebras")]
    tail = ["--steps", str(steps), "--out", str(out), "--device", "cpu"]
    return [sys.executable, "-m", "imgtranslate", "train", *sides, *options, *tail]


def start_and_signal(pictures: Path, out: Path, number: int, delay: float) -> int:
    """Begin a long run, signal it some time after its folder stands, return the exit status."""
    with subprocess.Popen(command(pictures, out, 4000), stderr=subprocess.DEVNULL) as process:
        while not out.exists():
            time.sleep(0.02)
            assert process.poll() is None
        time.sleep(delay)
        process.send_signal(number)
        return process.wait(60)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_a_signal_saves_and_says_so(
    number: int, status: int, pictures: Path, tmp_path: Path
) -> None:
    assert start_and_signal(pictures, tmp_path / "run", number, 1.0) == status
    step = read_state_header(tmp_path / "run" / "state.safetensors").step
    assert step > 0
    assert resume(tmp_path / "run", settings={"train.steps": step + 2}, device="cpu").finished


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_state_to_go_on_from(pictures: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    out, delays = tmp_path / "run", rng.uniform(0, 1.5, 6)
    assert start_and_signal(pictures, out, signal.SIGKILL, delays[0]) == -signal.SIGKILL
    for delay in delays[1:]:
        again = [sys.executable, "-m", "imgtranslate", "train", "--resume", str(out)]
        with subprocess.Popen([*again, "--device", "cpu"], stderr=subprocess.DEVNULL) as process:
            time.sleep(3 + delay)
            process.kill()
        assert read_state_header(out / "state.safetensors").step >= 0
    step = read_state_header(out / "state.safetensors").step + 4
    assert resume(out, settings={"train.steps": step}, device="cpu").step == step
    whole = tmp_path / "whole"
    subprocess.run(command(pictures, whole, step), check=True, stderr=subprocess.DEVNULL)
    assert_same(out, whole)
