import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures.pictures import save_picture

from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import LastingStream
from imgtranslate.model_files.checkpoint import read_state_header

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

INTERRUPTED_AT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from imgtranslate.__main__ import main
sys.argv = ["imgtranslate", "info", "nowhere"]
main()
"""


@pytest.mark.parametrize(
    ("module", "status"), [("typer", -signal.SIGINT), ("safetensors", 130)], ids=["early", "late"]
)
def test_ctrl_c_while_modules_load_shows_no_traceback(module: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT.format(module=module)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (status, "")


def test_the_program_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imgtranslate", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("imgtranslate ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_requests_a_stop(number: signal.Signals, capsys: pytest.CaptureFixture) -> None:
    before = signal.getsignal(number)
    with stop_on_signals("stopping") as stopped:
        os.kill(os.getpid(), number)
        assert stopped.wait(60)
        assert signal.getsignal(number) == before  # so a second one ends the process
    assert stopped.exit_code == 128 + number
    assert capsys.readouterr().err == "stopping. Press Ctrl-C again to stop at once\n"


def test_a_process_of_nohup_goes_on() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals("stopping") as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped.is_set()
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stream_outlives_its_reader() -> None:
    reading, writing = os.pipe()
    with LastingStream(os.fdopen(writing, "wb"), encoding="utf-8", line_buffering=True) as stream:
        assert stream.write("one\n") == 4
        assert os.read(reading, 100) == b"one\n"
        os.close(reading)
        for _ in range(3):
            assert stream.write("x" * 20_000 + "\n") == 20_001
            stream.flush()


def test_the_check_reports_within_ten_seconds_without_a_terminal(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imgtranslate.cli import train_display
    from imgtranslate.training.events import Checking

    now = 1000.0
    monkeypatch.setattr(train_display.time, "monotonic", lambda: now)
    monkeypatch.setattr(train_display, "is_terminal", lambda: False)
    display = train_display.TrainingDisplay()
    said = []
    for done in range(1, 40):
        now += 1
        display.show(Checking(done=done, total=40_000))
        if capsys.readouterr().err:
            said.append(done)
    assert said == [2, 18, 34]


@pytest.mark.slow
def test_a_closed_terminal_saves_like_sigterm(tmp_path: Path) -> None:
    import pty

    for side in "ab":
        for seed in range(4):
            save_picture(tmp_path / side / f"{seed}.png", seed=seed, size=(40, 40))
    sides = ["--a", str(tmp_path / "a"), "--b", str(tmp_path / "b"), "--device", "cpu"]
    size = ["--preset", "tiny", "--size", "32", "--base-channels", "4", "--steps", "1900"]
    out = ["--out", str(tmp_path / "run"), "--set", "train.log_every=1"]
    process, terminal = pty.fork()
    if process == 0:
        program = [sys.executable, "-m", "imgtranslate", "train"]
        os.execv(sys.executable, [*program, *sides, *size, *out])
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        os.read(terminal, 1000)
    time.sleep(1)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 129
    assert read_state_header(tmp_path / "run" / "state.safetensors").step > 0
