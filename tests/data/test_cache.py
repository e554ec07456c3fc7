import gc
import itertools
import os
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import imgtranslate
from imgtranslate.data import folders
from imgtranslate.data.cache import open_caches, refuse_cache
from imgtranslate.data.folders import find_domains
from imgtranslate.data.loader import SampleDataset, batches, choose_workers
from imgtranslate.data.sampling import BatchSplit
from imgtranslate.errors import DataError, UsageError
from imgtranslate.images import Pixels, read_image
from imgtranslate.settings.config import Settings, to_tree
from imgtranslate.settings.parsing import build_settings, parse_settings
from imgtranslate.training.loop import Pace

CPU = torch.device("cpu")


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for side, count in (("a", 5), ("b", 3)):
        (tmp_path / side).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (30 + index, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / side / f"{index}.png")
    return tmp_path


def settings_of(sides: Path, **data: Any) -> Settings:
    places = {letter: str(sides / letter) for letter in "ab"}
    layer = {**places, "crop_size": 16, "colour_a": 0.3, "rotate": True, "channels_b": 1, **data}
    return build_settings(preset="tiny", layers=[{"data": layer}])


def dataset(sides: Path, **data: Any) -> SampleDataset:
    settings = settings_of(sides, **data)
    domains = find_domains(settings.data, paired=False)
    caches = open_caches(domains, settings.data, workers=0)
    return SampleDataset(*domains, settings, paired=False, caches=caches)


def plain(sides: Path) -> SampleDataset:
    settings = settings_of(sides)
    return SampleDataset(*find_domains(settings.data, paired=False), settings, paired=False)


def samples(found: SampleDataset, positions: range = range(12)) -> list[bytes]:
    return [pixels.tobytes() for position in positions for pixels in sample_at(found, position)]


def sample_at(found: SampleDataset, position: int) -> tuple[Pixels, Pixels]:
    sample = found[position]
    assert isinstance(sample, tuple), sample
    return sample


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded, in their order."""
    read: list[Path] = []

    def spy(path: Path, **options: Any) -> Any:
        read.append(path)
        return read_image(path, **options)

    monkeypatch.setattr(folders, "read_image", spy)
    return read


def cache_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pictures"))


def place(sides: Path, name: str) -> dict[str, Any]:
    return {
        "memory": {},
        "folder": {"cache": str(sides / "cache")},
        "nowhere": {"cache_memory": 0},
        "full folder": {"cache": str(sides / "cache"), "cache_disk": 0},
    }[name]


@pytest.mark.parametrize(
    ("name", "times"), [("memory", 1), ("folder", 1), ("nowhere", 3), ("full folder", 3)]
)
def test_samples_are_the_same_wherever_pictures_are_stored(
    sides: Path, decoded: list[Path], name: str, times: int
) -> None:
    wanted = samples(plain(sides), range(15))
    decoded.clear()
    assert samples(dataset(sides, **place(sides, name)), range(15)) == wanted
    assert [decoded.count(sides / "a" / f"{n}.png") for n in range(5)] == [times] * 5
    sizes = [file.stat().st_size for file in cache_files(sides / "cache")]
    assert [size > 0 for size in sizes] == {"folder": [True] * 2, "full folder": [False] * 2}.get(
        name, []
    )


def test_pictures_beyond_the_memory_are_decoded_each_time(
    sides: Path, decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgtranslate.data.cache.available_memory", lambda: 100_000)
    found = dataset(sides)
    assert found.caches is not None
    stored = found.caches[0].count
    assert 0 < stored < 5
    wanted = samples(plain(sides), range(15))
    decoded.clear()
    assert samples(found, range(15)) == wanted
    times = [decoded.count(sides / "a" / f"{n}.png") for n in range(5)]
    assert times == [1] * stored + [3] * (5 - stored)


def test_memory_that_readers_do_not_share_is_not_used(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "spawn")
    settings = settings_of(sides).data
    domains = find_domains(settings, paired=False)
    assert open_caches(domains, settings, workers=1) is None
    assert open_caches(domains, settings, workers=0) is not None


def test_a_folder_serves_later_runs(sides: Path, decoded: list[Path]) -> None:
    cache = {"cache": str(sides / "shared")}
    wanted = samples(dataset(sides, **cache))
    decoded.clear()
    assert samples(dataset(sides, **cache)) == wanted
    assert decoded == []
    samples(dataset(sides, **cache, channels_b=3))
    assert {path.parent.name for path in decoded} == {"b"}  # which is read otherwise now


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[: len(content) // 3],
    "zeros": lambda content: bytes(len(content)),
    "one bit": lambda content: content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
    "another size": lambda content: content[:20] + b"\xff\xff\xff\x7f" * 2 + content[28:],
    "other sides": lambda content: content[:20] + content[24:28] + content[20:24] + content[28:],
    "a foreign file": lambda _: b"something else" * 10,
    "shifted": lambda content: content[4096:] + content[:4096],
    "longer": lambda content: content + bytes(10**6),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_or_foreign_file_is_read_anew(
    sides: Path, decoded: list[Path], change: str
) -> None:
    cache = {"cache": str(sides / "shared")}
    wanted = samples(dataset(sides, **cache))
    lengths = [file.stat().st_size for file in cache_files(sides / "shared")]
    for file in cache_files(sides / "shared"):
        file.write_bytes(CHANGES[change](file.read_bytes()))
    decoded.clear()
    assert samples(dataset(sides, **cache)) == wanted
    assert bool(decoded) is (change != "longer")
    decoded.clear()
    assert samples(dataset(sides, **cache)) == wanted
    assert decoded == []
    now = [file.stat().st_size for file in cache_files(sides / "shared")]
    assert all(length <= 5 * 4096 for length in now)
    assert now == lengths or change in {"zeros", "longer", "shifted", "cut short"}


@pytest.mark.parametrize("touched", ["time", "size"])
def test_a_changed_picture_is_read_anew(sides: Path, decoded: list[Path], touched: str) -> None:
    found = dataset(sides)
    samples(found)
    path = sides / "a" / "1.png"
    before = path.stat()
    if touched == "time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    else:
        Image.new("RGB", (40, 30), "red").save(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    wanted = samples(plain(sides))
    decoded.clear()
    assert samples(found) == wanted
    assert decoded == [path]


def test_a_picture_that_is_gone_is_a_fault(sides: Path) -> None:
    found = dataset(sides)
    samples(found)
    (sides / "a" / "1.png").unlink()
    faults = [found[position] for position in range(5)]
    assert sum("a/1.png" in str(fault) for fault in faults if not isinstance(fault, tuple)) == 1


def test_very_long_pictures_are_not_kept(sides: Path, decoded: list[Path]) -> None:
    for path in (sides / "a").iterdir():
        Image.new("RGB", (91, 30), "red").save(path)
    found = dataset(sides)
    samples(found, range(5))
    samples(found, range(5))
    assert sum(path.parent.name == "a" for path in decoded) == 10


@pytest.mark.parametrize("name", ["memory", "folder"])
def test_no_more_is_stored_than_the_bounds_allow(tmp_path: Path, name: str) -> None:
    for letter in "ab":
        (tmp_path / letter).mkdir()
        for index in range(40):
            Image.new("RGB", (200, 100), "red").save(tmp_path / letter / f"{index}.png")
    bounds = {"cache_memory": 1, "cache_disk": 1, "load_size": 100, "held_out": 0}
    found = dataset(tmp_path, **place(tmp_path, name), **bounds)
    assert found.caches is not None
    samples(found, range(40))
    counts = [cache.count for cache in found.caches]
    assert all(0 < count < 40 for count in counts)
    assert 2**19 < 60_000 * counts[0] + 20_000 * counts[1] <= 2**20
    sizes = [file.stat().st_blocks * 512 for file in cache_files(tmp_path / "cache")]
    assert (name == "memory" and not sizes) or 2**19 < sum(sizes) <= 2**20


def test_half_of_the_free_disk_is_left_to_others(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [2 * 5 * 4096]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    cache = place(sides, "folder")
    found = dataset(sides, **cache)
    assert found.caches is not None
    counts = [each.count for each in found.caches]
    samples(found)
    stored = sum(file.stat().st_blocks * 512 for file in cache_files(sides / "cache"))
    assert 0 < stored <= 5 * 4096
    free[0] -= 2 * stored  # what is stored already counts as room
    again = dataset(sides, **cache).caches
    assert again is not None
    assert [each.count for each in again] == counts


def test_files_of_other_runs_stay(sides: Path) -> None:
    first = place(sides, "folder")
    samples(dataset(sides, **first))
    before = {file: file.read_bytes() for file in cache_files(sides / "cache")}
    samples(dataset(sides, **first, load_size=17, cache_disk=1))
    assert len(cache_files(sides / "cache")) == 4
    assert all(file.read_bytes() == content for file, content in before.items())


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_what_is_no_file_is_refused_before_training(sides: Path, what: str) -> None:
    cache = sides / "shared"
    samples(dataset(sides, cache=str(cache)))
    path = cache_files(cache)[0]
    path.unlink()
    {"link": lambda: path.symlink_to(sides / "a" / "0.png"),
     "folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}[what]()  # fmt: skip
    options: dict[str, Any] = to_tree(settings_of(sides, cache=str(cache)).data)
    given = {f"data.{key}": value for key, value in options.items()}
    with pytest.raises(DataError, match=rf"{path.name}: not a file, but .* Remove it$"):
        imgtranslate.train(settings=given, preset="tiny", device="cpu", out=sides / "run")
    assert not (sides / "run").exists()


def test_a_file_of_another_user_is_refused_before_training(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(sides, cache=str(sides / "shared"))
    samples(dataset(sides, cache=str(sides / "shared")))
    opened = Path.open

    def denied(path: Path, mode: str = "r", **options: Any) -> Any:
        if path.suffix == ".pictures" and "+" in mode:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, **options)

    monkeypatch.setattr(Path, "open", denied)
    domains = find_domains(settings.data, paired=False)
    with pytest.raises(DataError, match=r"\.pictures: cannot be written: .* with data.cache$"):
        refuse_cache(domains, settings.data)


def test_a_folder_that_cannot_be_made_is_refused(sides: Path) -> None:
    with pytest.raises(UsageError, match=r"0.png.*: cannot be written: .* with data.cache$"):
        dataset(sides, cache=str(sides / "a" / "0.png"))


def test_a_full_disk_only_stores_less(sides: Path) -> None:
    wanted = samples(plain(sides))
    found = dataset(sides, **place(sides, "folder"))
    for file in cache_files(sides / "cache"):
        file.unlink()
        file.symlink_to("/dev/full")
    assert samples(found) == samples(found) == wanted


def test_workers_share_memory_and_files(sides: Path, decoded: list[Path]) -> None:
    for name in ("memory", "folder"):
        found = dataset(sides, **place(sides, name))
        drawn = list(stream(found, 0, 12, workers=2))
        assert torch.equal(torch.cat(drawn), torch.cat(list(stream(plain(sides), 0, 12))))
        decoded.clear()
        samples(found)
        assert decoded == []


def stream(
    found: SampleDataset, first: int, count: int, *, workers: int = 0
) -> Iterator[torch.Tensor]:
    drawn = batches(
        found,
        first_position=first,
        split=BatchSplit(batch_size=1),
        num_batches=count,
        workers=workers,
        device=CPU,
    )
    return (batch.real_a for batch in drawn)


def test_many_fill_one_file_at_once(sides: Path) -> None:
    """None of them waits, and whichever writes last, what is read is right."""
    wanted = samples(plain(sides))
    found = [dataset(sides, cache=str(sides / "shared")) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(samples, found)) == [wanted] * 8


def test_a_step_does_not_wait_for_pictures_that_are_read_beside_it(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = SampleDataset.__getitem__

    def slowly(samples: SampleDataset, position: int) -> Any:
        time.sleep(0.01)
        return get(samples, position)

    monkeypatch.setattr(SampleDataset, "__getitem__", slowly)
    pace = Pace()
    for _ in pace.waiting_for(stream(dataset(sides), 0, 30)):
        time.sleep(0.03)
        pace.tick()
    assert pace.waiting_share() < 0.05


def test_a_late_step_takes_as_long_as_an_early_one(sides: Path) -> None:
    found = dataset(sides, colour_a=0.0)
    early, late = fastest(found, 200), fastest(found, 20_000)
    for _ in range(3):  # another program may have had the processor
        early, late = min(early, fastest(found, 200)), min(late, fastest(found, 20_000))
    assert late < 1.3 * early


def fastest(found: SampleDataset, first: int) -> float:
    """Seconds of the fastest of some stretches of steps."""
    drawn = stream(found, first, 20_000)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        for _ in itertools.islice(drawn, 25):
            pass
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("name", ["memory", "folder", "nowhere"])
def test_memory_stays_flat(sides: Path, name: str) -> None:
    drawn = stream(dataset(sides, **place(sides, name)), 0, 20_000)
    tracemalloc.start()
    try:
        next(itertools.islice(drawn, 300, None))
        before = held_memory(drawn)
        next(itertools.islice(drawn, 600, None))
        assert held_memory(drawn) - before < 30_000  # 25 bytes a sample
    finally:
        tracemalloc.stop()


def held_memory(drawn: Iterator[object]) -> int:
    """Bytes, without garbage, once the reading thread has read all that it reads ahead."""
    next(drawn)
    gc.collect()
    before, found = 0, -1
    while found != before:  # the thread has the interpreter for itself in the meantime
        time.sleep(0.5)
        before, found = found, tracemalloc.get_traced_memory()[0]
    return found


def test_the_number_of_workers_is_chosen(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, gpu = settings_of(sides), torch.device("cuda")
    given = parse_settings({**to_tree(settings), "data": to_tree(settings.data) | {"workers": 5}})
    for cores, processes, chosen, bounded in ((16, 1, 8, 5), (16, 4, 3, 4), (1, 1, 0, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert (choose_workers(settings, CPU), choose_workers(settings, gpu)) == (0, chosen)
        assert (choose_workers(given, CPU), choose_workers(given, gpu)) == (bounded, bounded)
