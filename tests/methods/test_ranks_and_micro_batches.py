"""Several ranks, or several micro-batches, learn what one process learns from the whole batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from methods.divided_batches import TWO_RANKS, learn
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have left what they learnt."""
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests/methods/divided_batches.py"), str(folder)],
            env={**os.environ, **meeting, "RANK": rank, "PYTHONPATH": str(ROOT)},
        )
        for rank in ("0", "1")
    ]
    assert [process.wait(400) for process in processes] == [0, 0]
    return folder


def assert_near(found: dict[str, Tensor], wanted: dict[str, Tensor], case: str) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.allclose(found[name], tensor, rtol=0, atol=1e-8), (case, name)


def assert_swapped(state: dict[str, Tensor], case: str) -> None:
    """A pool that was full after two steps has met many more images."""
    for name, pool in state.items():
        if name.startswith("pool"):
            assert len(pool) == 5, (case, name)


def test_two_processes_are_one_with_the_whole_batch(shared: Path) -> None:
    for case, accumulate in TWO_RANKS:
        files = [shared / f"{case}-{accumulate}-{rank}.safetensors" for rank in "01"]
        first, second = map(load_file, files)
        assert_near(first, learn(case), case)
        assert_swapped(first, case)
        for name, tensor in first.items():  # bit for bit: else they would drift apart
            assert torch.equal(second[name], tensor), (case, name)


@pytest.mark.parametrize("case", ["alternating", "pix2pix", "bicyclegan", "cut", "fastcut"])
def test_micro_batches_are_the_whole(case: str) -> None:
    assert_near(kept(learn(case, accumulate=2)), kept(learn(case)), case)


def kept(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the diversity of BicycleGAN: in micro-batches the pictures get other codes."""
    return {name: tensor for name, tensor in state.items() if name != "logged/diversity"}
