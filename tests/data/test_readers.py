import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.pictures import save_picture

from imgtranslate.data import readers as module
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import Batch, SampleDataset, batches
from imgtranslate.data.readers import ReaderError, ReaderProcess, ReaderThread, start_readers
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.errors import ImageError
from imgtranslate.settings.parsing import build_settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


def dataset(folder: Path, **data: Any) -> SampleDataset:
    for side in "ab":
        for seed in range(4):
            save_picture(folder / side / f"{seed}.png", seed=seed, size=(20, 20))
    tree = {"a": str(folder / "a"), "b": str(folder / "b"), "held_out": 0, "crop_size": 16, **data}
    settings = build_settings(preset="tiny", layers=[{"data": tree}])
    return SampleDataset(*find_domains(settings.data, paired=False), settings, paired=False)


def stream(found: SampleDataset, *, workers: int, **options: Any) -> Iterator[Batch]:
    return batches(
        found,
        first_position=0,
        num_batches=500,
        workers=workers,
        device=torch.device("cpu"),
        split=BatchSplit(batch_size=2),
        **options,
    )


def count_up(first: int, every: int) -> Iterator[int]:
    yield from range(first, 20, every)


@pytest.fixture
def mine() -> Callable[[], list[int]]:
    """The processes that the test has started and that are alive."""
    before = {process.pid for process in multiprocessing.active_children()}
    return lambda: [
        process.pid
        for process in multiprocessing.active_children()
        if process.pid is not None and process.pid not in before
    ]


def gone(process: int) -> bool:
    for _ in range(600):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_each_reader_has_its_share_in_order() -> None:
    found = start_readers(count_up, workers=3)
    taken = [found[number % 3].take(seconds=60) for number in range(20)]
    for reader in found:
        reader.close()
    assert taken == list(range(20))


def test_a_reader_that_dies_is_one_line(tmp_path: Path, mine: Callable[[], list[int]]) -> None:
    drawn = stream(dataset(tmp_path), workers=2)
    next(drawn)
    victim, other = mine()
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(ReaderError, match="killed by signal 9, probably for lack of memory"):
        list(drawn)
    assert mine() == []
    assert gone(other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_readers_leave_signals_to_the_training(number: int, mine: Callable[[], list[int]]) -> None:
    reader = ReaderProcess(count_up, 0, 1)
    try:
        assert reader.take(seconds=60) == 0
        (process,) = mine()
        os.kill(process, number)
        assert [reader.take(seconds=60) for _ in range(19)] == list(range(1, 20))
    finally:
        reader.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stop_is_heard_while_a_reader_hangs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    mine: Callable[[], list[int]],
) -> None:
    end = threading.Event()
    monkeypatch.setattr(SampleDataset, "__getitem__", lambda *_: end.wait())
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    assert list(stream(dataset(tmp_path), workers=workers, stop=stop)) == []
    assert mine() == []
    end.set()


def test_a_reader_that_hangs_does_not_delay_the_exit() -> None:
    code = (
        "import sys, time, multiprocessing\n"
        "from imgtranslate.data.readers import ReaderProcess\n"
        "def hang(first, every):\n"
        "    yield 'ready'\n"
        "    time.sleep(3600)\n"
        "reader = ReaderProcess(hang, 0, 1)\n"
        "assert reader.take(seconds=60) == 'ready'\n"
        "print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "raise RuntimeError('a bug')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert gone(int(done.stdout))


def test_readers_end_with_a_killed_training_process() -> None:
    code = (
        "import itertools, multiprocessing, os, signal\n"
        "from imgtranslate.data.readers import start_readers\n"
        "found = start_readers(lambda first, every: itertools.repeat(bytes(10**6)), workers=3)\n"
        "print(*(each.pid for each in multiprocessing.active_children()), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert all(gone(int(process)) for process in done.stdout.split())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bug_in_a_reader_ends_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SampleDataset, "__getitem__", fail)
    with pytest.raises(ReaderError if workers else ZeroDivisionError):
        list(stream(dataset(tmp_path), workers=workers))


def test_fewer_readers_start_where_the_system_refuses_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(limit: int, read_all: Any, first: int, every: int) -> ReaderProcess:
        if first >= limit:
            raise OSError(24, "Too many open files")
        return ReaderProcess(read_all, first, every)

    for limit, kinds in ((5, [ReaderProcess] * 2), (1, [ReaderThread])):
        monkeypatch.setattr(module, "ReaderProcess", partial(refuse, limit))
        found = start_readers(count_up, workers=8)
        assert [type(reader) for reader in found] == kinds
        assert [found[n % len(found)].take(seconds=60) for n in range(20)] == list(range(20))
        for reader in found:
            reader.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_vanishes_is_named_or_skipped(tmp_path: Path, workers: int) -> None:
    kept = dataset(tmp_path)
    (tmp_path / "a" / "2.png").unlink()
    with pytest.raises(ImageError, match=r"2\.png: cannot be read"):
        list(stream(kept, workers=workers))
    skipping = dataset(tmp_path, skip_unreadable=True)
    (tmp_path / "a" / "2.png").unlink()
    drawn = stream(skipping, workers=workers)
    found = [next(drawn) for _ in range(8)]
    faults = {fault for batch in found for fault in batch.faults}
    assert len(faults) == 1
    assert "2.png: cannot be read" in faults.pop()
    assert {batch.real_a.shape for batch in found} == {(2, 3, 16, 16)}
    for path in (tmp_path / "b").iterdir():
        path.unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        list(drawn)
