"""What goes wrong while a run learns: what was learnt is saved, and nothing useless stays."""

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from fixtures.pictures import save_picture

from imgtranslate.errors import ImageError, ImgTranslateError, UsageError
from imgtranslate.methods.learner import Learner
from imgtranslate.model_files.checkpoint import read_state_header
from imgtranslate.runs import folder as folder_module
from imgtranslate.training import events
from imgtranslate.training.train import resume, train

SMALL: dict[str, Any] = {
    "data.crop_size": 16,
    "data.held_out": 0,
    "data.cache_memory": 0,
    "generator.base_channels": 2,
    "generator.num_blocks": 0,
    "discriminator.base_channels": 2,
    "discriminator.num_layers": 1,
    "train.log_every": 4,
    "train.sample_every": 1000,
    "train.save_every": 1000,
    "train.steps": 100,
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for side in ("horses", "zebras"):
        for seed in range(6):
            save_picture(tmp_path / "in" / side / f"{seed}.png", seed=seed, size=(20, 20))
    return tmp_path / "in"


def learn(pictures: Path, out: Path, *, at: int = 0, then: Any = None, **changes: Any) -> list[str]:
    """Train; call ``then`` at the end of step ``at``; return the notices."""
    notices: list[str] = []

    def report(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.step == at:
            then()
        if isinstance(event, events.Notice):
            notices.append(event.text)

    a, b = pictures / "horses", pictures / "zebras"
    train(a=a, b=b, out=out, settings={**SMALL, **changes}, device="cpu", report=report)
    return notices


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_vanishes_is_named_and_what_was_learnt_is_saved(
    pictures: Path, tmp_path: Path, workers: int
) -> None:
    picture, out = pictures / "horses" / "3.png", tmp_path / "run"
    content = picture.read_bytes()
    with pytest.raises(ImageError, match=rf"3\.png: cannot be read.*continue with `resume` {out}$"):
        learn(pictures, out, at=5, then=picture.unlink, **{"data.workers": workers})
    step = read_state_header(out / "state.safetensors").step
    assert step >= 5
    picture.write_bytes(content)
    resume(out, settings={"train.steps": step + 8}, device="cpu")
    learn(pictures, tmp_path / "whole", **{"train.steps": step + 8})
    for name in ("state.safetensors", "metrics.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_picture_that_vanishes_is_skipped_on_request(pictures: Path, tmp_path: Path) -> None:
    picture = pictures / "horses" / "3.png"
    changes = {"data.skip_unreadable": True, "train.steps": 40}
    notices = learn(pictures, tmp_path / "run", at=5, then=picture.unlink, **changes)
    assert [text.count("3.png: cannot be read") for text in notices] == [1]
    assert read_state_header(tmp_path / "run" / "state.safetensors").step == 40


def test_a_reader_that_dies_saves_what_was_learnt(pictures: Path, tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())

    def kill() -> None:
        (process,) = set(multiprocessing.active_children()) - before
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

    out = tmp_path / "run"
    with pytest.raises(ImgTranslateError, match=rf"killed by signal 9.*`resume` {out}$"):
        learn(pictures, out, at=2, then=kill, **{"data.workers": 1})
    assert read_state_header(out / "state.safetensors").step >= 2


def test_a_stop_is_heard_while_a_reader_hangs(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr("imgtranslate.data.readers.ReaderThread.take", lambda *_, **__: None)
    result = train(
        a=pictures / "horses", b=pictures / "zebras", out=tmp_path / "run", settings=SMALL,
        device="cpu", stop=lambda: bool(stopped) or bool(stopped.append(True)),
    )  # fmt: skip
    assert (result.step, result.finished) == (0, False)
    monkeypatch.undo()
    assert resume(tmp_path / "run", settings={"train.steps": 2}, device="cpu").finished


def test_a_run_that_learnt_nothing_does_not_block_the_next_try(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", fail)
        with pytest.raises(ImgTranslateError, match="out of memory"):
            learn(pictures, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    learn(pictures, tmp_path / "run", **{"train.steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", fail)
        with pytest.raises(ImgTranslateError, match="out of memory"):
            resume(tmp_path / "run", settings={"train.steps": 2}, device="cpu")
    assert read_state_header(tmp_path / "run" / "state.safetensors").step == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_notice(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_module, "_lock", refuse)
    (notice,) = learn(pictures, tmp_path / "run", **{"train.steps": 1})
    assert notice.startswith(f"{tmp_path / 'run' / '.lock'}: this file system has no locks")
    told: list[events.Event] = []
    resume(tmp_path / "run", settings={"train.steps": 2}, device="cpu", report=told.append)
    assert events.Notice(text=notice) in told


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_a_lock_that_is_held_is_refused_and_the_run_is_kept(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(folder_module, "_lock", refuse)
    with pytest.raises(UsageError, match="another process is training it"):
        learn(pictures, tmp_path / "run")
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_more_workers_than_cores_are_not_started(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    (notice,) = learn(pictures, tmp_path / "run", **{"data.workers": 9, "train.steps": 1})
    assert notice == "data.workers 9: 1, one for each core, are used"


def test_the_log_of_an_interrupted_run_is_whole(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ImageError):
        learn(pictures, out, at=9, then=(pictures / "zebras" / "0.png").unlink)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4 * n + 4 for n in range(len(rows))]


def test_held_out_pictures_may_vanish(pictures: Path, tmp_path: Path) -> None:
    """They are read once, at the beginning."""
    for side in ("horses", "zebras"):
        save_picture(pictures / f"held_{side}" / "0.png", size=(20, 20))
    held_out = {"data.held_out_a": "held_horses", "data.held_out_b": "held_zebras"}
    changes = {name: str(pictures / folder) for name, folder in held_out.items()}
    changes |= {"train.steps": 6, "train.validate_every": 3, "train.sample_every": 3}
    gone = pictures / "held_horses" / "0.png"
    learn(pictures, tmp_path / "run", at=1, then=gone.unlink, **changes)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation" in row] == [3, 6]
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2
