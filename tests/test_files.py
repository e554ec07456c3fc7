import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgtranslate.errors import ImgTranslateError
from imgtranslate.files import remove_leftovers, replacing, replacing_folder, write_text


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".png")
    with replacing(target) as first:
        first.write_bytes(b"first")
        with replacing(target) as second:
            assert second != first
            second.write_bytes(b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fill_the_disk() -> None:
        with replacing(target) as temporary:
            temporary.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ImgTranslateError, match=r"a\.txt: cannot be written: the disk is full\. "):
        fill_the_disk()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for number in range(2):
        with replacing_folder(target) as temporary:
            assert list(temporary.iterdir()) == []
            (temporary / str(number)).touch()

    def fail() -> None:
        with replacing_folder(target) as temporary:
            (temporary / "half").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in target.iterdir()] == ["1"]
    assert list(tmp_path.iterdir()) == [target]


def die_while_writing(target: Path, kind: str = "replacing") -> Path:
    """Leave what a killed process leaves beside ``target``."""
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys, pathlib; from imgtranslate import files\n"
            f"with files.{kind}(pathlib.Path(sys.argv[1])) as path:\n"
            "    (path / 'x' if path.is_dir() else path).write_bytes(b'half'); os._exit(9)",
            str(target),
        ],
        check=False,
    )
    assert dead.returncode == 9
    (left,) = target.parent.iterdir()
    return left


@pytest.mark.parametrize("kind", ["replacing", "replacing_folder"])
def test_what_dead_processes_left_is_removed_by_the_next_write(tmp_path: Path, kind: str) -> None:
    left = die_while_writing(tmp_path / "a.png", kind)
    (tmp_path / left.name.replace("-", "-elsewhere", 1)).touch()
    (tmp_path / ".imgtranslate-notes.tmp").touch()
    with replacing(tmp_path / "b.png") as mine:
        mine.touch()
        remove_leftovers(tmp_path)
        assert not left.exists()
        assert mine.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_is_tidied_without_being_asked(tmp_path: Path) -> None:
    left = die_while_writing(tmp_path / "a.png")
    write_text(tmp_path / "b.txt", "text")
    assert not left.exists()


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_a_file_of_another_machine_is_removed_after_a_day(
    tmp_path: Path, hours: int, stays: bool
) -> None:
    """Its processes cannot be seen from here; containers are machines too."""
    left = die_while_writing(tmp_path / "a.png")
    other = left.rename(left.with_name(left.name.replace("-", "-elsewhere", 1)))
    then = time.time() - hours * 3600
    os.utime(other, (then, then))
    remove_leftovers(tmp_path)
    assert other.exists() is stays


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_sync_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ImgTranslateError, match="permission denied"):
        write_text(tmp_path / "a.txt", "text")
