"""The parts of the pipeline: order, memory, groups; shards; names of temporary files."""

import io
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import translate
from fixtures.models import HEADER, save_model
from fixtures.pictures import digests, save_picture
from PIL import Image

from imgtranslate.errors import UsageError
from imgtranslate.images import Values
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.translation import stages
from imgtranslate.translation.codes import Model
from imgtranslate.translation.outputs import Output
from imgtranslate.translation.partitions import WHOLE, Shard, parse_shard, shard_of_process
from imgtranslate.translation.plan import Job, plan_translation
from imgtranslate.translation.stages import Options, Outcome
from imgtranslate.translation.translate import (
    BATCH,
    Room,
    grouped,
    in_order,
    read_ahead,
    run_jobs,
    write_behind,
)
from imgtranslate.translation.translator import Translator

# Stages


def test_reading_goes_ahead_as_far_as_there_is_room_and_keeps_the_order() -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        time.sleep(0.01 if number % 2 else 0)
        return number

    ahead = read_ahead(
        read, range(1000), workers=3, size=lambda _: 10, room=Room(most=5, budget=45)
    )
    assert [next(ahead) for _ in range(20)] == list(range(20))
    time.sleep(0.1)
    assert max(begun) <= 20 + 4
    ahead.close()
    time.sleep(0.05)
    assert max(begun) <= 20 + 4


def test_reading_that_nobody_waits_for_is_not_begun() -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        return number

    room = Room(most=20, budget=100)
    ahead = read_ahead(read, range(100), workers=1, size=lambda _: 1, room=room)
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert len(begun) < 10


def test_large_results_are_read_one_by_one() -> None:
    room = Room(most=8, budget=100)
    assert room.places == 1
    room.seen(10)
    assert room.places == 8
    room.seen(30)
    assert room.places == 3
    room.seen(1000)
    assert room.places == 1


def test_writing_goes_on_behind_and_is_finished_when_nobody_listens() -> None:
    written: list[int] = []
    gate = threading.Event()

    def write(number: int) -> int:
        gate.wait(5)
        written.append(number)
        return number

    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 3:
                gate.set()
            yield number

    behind = write_behind(
        write, items(), workers=1, size=lambda _: 1, room=Room(most=3, budget=100)
    )
    assert next(behind) == 0
    assert 3 <= max(made) <= 4
    behind.close()
    assert written == list(range(max(made) + 1))


def test_groups_are_formed_across_the_stream_and_none_waits_for_ever() -> None:
    assert list(grouped("abacbaad", key=str, most=lambda _: 2, window=4)) == [
        ["a", "a"],
        ["b", "b"],
        ["a", "a"],
        ["c"],
        ["d"],
    ]
    assert list(grouped("abcdef", key=str, most=lambda _: 2, window=3)) == [
        ["a"], ["b"], ["c"], ["d"], ["e"], ["f"]
    ]  # fmt: skip
    assert list(in_order([(2, "c"), (0, "a"), (1, "b"), (3, "d")])) == ["a", "b", "c", "d"]


class FakeEngine:
    """An identity that remembers the shapes that it was given, and may have little memory."""

    header: ModelHeader = HEADER

    def __init__(self, *, device: str, nan_for: int | None = None) -> None:
        self.device = device
        self.shapes: list[tuple[int, ...]] = []
        self._nan_for = nan_for

    def run(self, values: Values, z: Values | None = None) -> Values:
        assert z is None
        self.shapes.append(values.shape)
        return values * np.nan if len(values) == self._nan_for else values

    def encode(self, values: Values) -> Values:
        raise NotImplementedError


def model_of(engine: FakeEngine) -> Model:
    return Model(translator=Translator(engine))


def translated(engine: FakeEngine, folder: str, output: str) -> list[Outcome]:
    jobs = plan_translation([folder], models=[engine.header], output=Output(text=output))
    return list(run_jobs(jobs, models=[model_of(engine)]))


def test_a_gpu_gets_batches_of_equal_size_and_the_cpu_single_pictures(there: Path) -> None:
    for index in range(20):
        save_picture(there / f"in/{index:02}.png", size=(16 + 8 * (index % 2), 16), seed=index)
    (there / "in/05.png").write_bytes(b"")
    save_picture(there / "in/99.png", size=(2000, 1100))
    gpu, cpu = FakeEngine(device="cuda:0"), FakeEngine(device="cpu")
    outcomes = translated(gpu, "in", "gpu")
    assert [outcome.input for outcome in outcomes] == sorted((Path("in")).iterdir())
    assert [outcome.status for outcome in outcomes].count("failed") == 1
    assert sorted(shape[0] for shape in gpu.shapes) == [1, 1, 2, 8, 8]
    assert translated(cpu, "in", "cpu")[5].status == "failed"
    assert {shape[0] for shape in cpu.shapes} == {1}
    assert digests(there / "gpu") == digests(there / "cpu")
    for path in (there / "gpu").iterdir():
        with Image.open(path) as after, Image.open(there / "in" / path.name) as before:
            assert after.tobytes() == before.tobytes()


def test_a_batch_that_fails_is_run_one_by_one(there: Path) -> None:
    for index in range(BATCH):
        save_picture(there / f"in/{index}.png", seed=index)
    engine = FakeEngine(device="cuda:0", nan_for=BATCH)
    assert {outcome.status for outcome in translated(engine, "in", "out")} == {"written"}
    assert [shape[0] for shape in engine.shapes] == [BATCH] + [1] * BATCH


# Shards


@pytest.mark.parametrize("stage", ["resized", "encode_image", "write_image", "draw_grid"])
def test_a_picture_that_the_memory_cannot_hold_fails_alone(
    there: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(stages, stage, short)
    job = Job(
        source=save_picture(there / "in.png"),
        target="-" if stage == "encode_image" else there / "out.png",
        sample=None if stage == "draw_grid" else 0,
    )
    options = Options(resize=8 if stage == "resized" else None, stdout=io.BytesIO())
    (outcome,) = run_jobs([job], models=[model_of(FakeEngine(device="cpu"))], options=options)
    assert (outcome.status, outcome.reason) == (
        "failed",
        "too large for the available memory. Resize or crop it first",
    )


def test_what_may_be_huge_may_be_made_huge(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    source = save_picture(there / "in.png", size=(12, 10))
    job = Job(source=source, target=there / "out.png")
    options = Options(resize=20, allow_huge=True)
    (outcome,) = run_jobs([job], models=[model_of(FakeEngine(device="cpu"))], options=options)
    assert outcome.size == (24, 20)


def test_a_huge_picture_may_be_allowed(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    job = Job(source=save_picture(there / "in.png", size=(12, 10)), target=there / "out.png")
    (outcome,) = run_jobs([job], models=[model_of(FakeEngine(device="cpu"))])
    line = "120 pixels, more than the limit of 100. Resize it, or allow it with `allow_huge`"
    assert (outcome.status, outcome.reason) == ("failed", line)


def test_a_share_depends_on_the_name_alone() -> None:
    names = [Path(f"a/{index}.jpg") for index in range(1000)]
    shares = [[n for n in names if Shard(number=i, count=16).holds(n)] for i in range(1, 17)]
    assert sorted(itertools.chain.from_iterable(shares)) == sorted(names)
    assert all(30 < len(share) < 100 for share in shares)
    assert Shard(number=4, count=16).holds(Path("photos/1.jpg"))  # this must never change


@pytest.mark.parametrize("text", ["0/16", "17/16", "3", "3/", "a/b", "-1/3", "1/0", "٣/٤", "1/3\n"])
def test_a_share_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="`shard`"):
        parse_shard(text)


def test_the_share_of_a_process_of_torchrun() -> None:
    environment = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}
    assert shard_of_process(environment) == Shard(number=3, count=4)
    assert shard_of_process({"RANK": "2", "WORLD_SIZE": "4"}) == WHOLE
    with pytest.raises(UsageError, match="RANK=x"):
        shard_of_process({**environment, "RANK": "x"})


# Killed and continued

WAYS = ("empty", "text", "cut", "folder", "bomb", "flipped", "header", "link", "gone", "zeros")


def broken(path: Path, way: str) -> None:
    content = save_picture(path, size=(24, 24)).read_bytes()
    path.unlink()
    match way:
        case "empty":
            path.touch()
        case "text":
            path.write_text("a shopping list")
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "folder":
            path.with_suffix(".jpg").mkdir()
            (path.with_suffix(".jpg") / "x.png").write_bytes(b"x")
        case "bomb":
            Image.new("1", (20_000, 20_000)).save(path)
        case "flipped":
            path.write_bytes(content[:60] + b"\xff" * 20 + content[80:])
        case "header":
            path.write_bytes(content[:8] + b"\0" * 40)
        case "link":
            path.symlink_to("nowhere.png")
        case "gone":
            path.symlink_to(path.name)
        case "zeros":
            path.write_bytes(bytes(1000))


def a_tree(folder: Path, *, count: int, bad: int) -> None:
    for index in range(count):
        path = folder / f"{index % 7}/{index % 3} ü/{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index % (count // bad) == 1:
            broken(path, WAYS[index // (count // bad) % len(WAYS)])
        else:
            save_picture(path, size=(16 + index % 5, 12), seed=index)


def killed(arguments: list[str | Path], *, after: int, output: Path) -> bool:
    """Start a run and kill it when so many files are there; whether it was killed in time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "imgtranslate", "translate", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        if sum(path.is_file() for path in output.rglob("*")) >= after:
            process.kill()
            break
        time.sleep(0.005)
    return process.wait() == -9


@pytest.mark.slow
def test_killed_three_times_and_continued_gives_the_same_bytes(there: Path) -> None:
    count = int(os.environ.get("IMGTRANSLATE_TEST_PICTURES", "300"))
    bad = count // 100 * 10 if count < 1000 else 30
    model = save_model(there / "m.safetensors")
    a_tree(there / "in", count=count, bad=bad)
    undisturbed = ["in", "--model", model, "-o", "one"]
    assert translate(*undisturbed, "--device", "cpu") == 1
    disturbed: list[str | Path] = ["in", "--model", model, "-o", "two", "--skip-existing"]
    for share in (1, 2, 3):
        assert killed(disturbed, after=count * share // 5, output=there / "two")
    assert translate(*disturbed) == 1
    assert digests(there / "two") == digests(there / "one")
    assert len(digests(there / "one")) == count - bad
