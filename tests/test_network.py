"""No command and no engine looks up a host, connects to one, or leaves files below the home folder.

Libraries start telemetry in native code, so the system calls of the whole process are recorded.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.models import save_model
from fixtures.pages import empty_runtime
from fixtures.pictures import save_picture, save_soft_pictures
from fixtures.runs import make_run

STRACE = shutil.which("strace")
CALLS = "connect,sendto,sendmsg,sendmmsg"
ADDRESS = re.compile(r"sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|sin6_addr.*?)\"([^\"]+)\"")
RUN = """
import sys, time
from imgtranslate import cli
for line in open(sys.argv[1]):
    print(line, end="", flush=True)
    assert cli.run(line.split()) == 0, line
time.sleep(1)  # some libraries send from a thread
"""
COMMANDS = """
translate in.png --model ab.safetensors --engine torch -o 1.png
export --model ab.safetensors --format onnx -o ab.onnx
export --model ab.safetensors --format openvino -o ab_openvino
translate in.png --model ab.onnx -o 2.png
translate in.png --model ab.onnx --engine openvino -o 3.png
translate in.png --model ab_openvino -o 4.png
cycle-check in.png --run run
info ab.onnx
"""
MORE_COMMANDS = """
train --a a --b b --out trained --preset tiny --steps 2 --device cpu --set data.crop_size=16
train --resume trained --steps 3
evaluate run
report run
export --model ab.safetensors --format onnx-int8 --calibrate soft --min-psnr 5 -o ab8.onnx
export --model ab.safetensors --format openvino-int8 --calibrate soft --min-psnr 5 -o ab8_openvino
export --model ab.safetensors --format pt2 -o ab.pt2
export --model ab.safetensors --format web --runtime runtime -o web
translate in.png --model ab8.onnx -o 5.png
info ab.pt2
translate in.png --model ab8_openvino -o 7.png
info ab.safetensors
card run
doctor
"""
LOGS = """
train --a a --b b --out logged --preset tiny --steps 2 --device cpu --set data.crop_size=16 \
 --set train.log_every=1 --set train.sample_every=1 --log tensorboard --log wandb --log csv
train --resume logged --steps 3
"""
SERVE = """
import re, subprocess, sys, time, urllib.request
command = [sys.executable, "-m", "imgtranslate", "serve", "--model", "ab.onnx", "--port", "0"]
service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
try:
    address = service.stdout.readline().strip() + "translate"
    picture, headers = open("in.png", "rb").read(), {"Content-Type": "image/png"}
    for _ in range(10):
        urllib.request.urlopen(urllib.request.Request(address, picture, headers)).read()
        time.sleep(1)
finally:
    service.terminate()
"""

WATCH = """
import json, subprocess, sys, urllib.request
command = [sys.executable, "-m", "imgtranslate", "watch", "run", "--port", "0"]
service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
try:
    address = service.stdout.readline().strip()
    ask = lambda path: urllib.request.urlopen(address + path).read()
    assert b"<script>" in ask("")
    for run in json.loads(ask("runs"))["runs"]:
        ask("runs/" + run["key"])
finally:
    service.terminate()
    assert service.wait() == 143
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "ab.safetensors")
    save_picture(tmp_path / "in.png")
    save_soft_pictures(tmp_path / "soft")
    for side in "ab":
        for n in range(4):
            save_picture(tmp_path / side / f"{n}.png", seed=ord(side) + n)
    make_run(tmp_path)
    empty_runtime(tmp_path / "runtime")
    (tmp_path / "home").mkdir()
    return tmp_path


def assert_no_network(folder: Path, command: list[str]) -> None:
    """Run a command in ``folder``, with an empty home folder, and look at its system calls."""
    home = folder / "home"
    choices = ("ORT_", "XDG_", "WANDB_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(choices)}
    log = folder / "calls.txt"
    trace = [STRACE, "-f", "--seccomp-bpf", "-qq", "-e", f"trace={CALLS}", "-o", str(log)]
    done = subprocess.run(
        [*(map(str, trace) if STRACE else ()), *command],
        cwd=folder,
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
    if STRACE:
        found = ADDRESS.findall(log.read_text("utf-8", "replace"))
        assert [host for _, host in found if not host.startswith(("127.", "::1"))] == []
        assert [port for port, _ in found if port == "53"] == []  # a resolver on this machine


def commands(folder: Path, lines: str) -> list[str]:
    (folder / "commands.txt").write_text(lines.lstrip(), "utf-8")
    return [sys.executable, "-c", RUN, str(folder / "commands.txt")]


def test_engines_use_no_network(folder: Path) -> None:
    pytest.importorskip("openvino")
    assert_no_network(folder, commands(folder, COMMANDS))


@pytest.mark.slow
def test_commands_use_no_network(folder: Path) -> None:
    pytest.importorskip("openvino")
    assert_no_network(folder, commands(folder, COMMANDS + MORE_COMMANDS))


@pytest.mark.slow
def test_logs_use_no_network(folder: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("wandb")
    assert_no_network(folder, commands(folder, LOGS.replace("\\\n", "")))
    assert list((folder / "logged/wandb").glob("offline-run-*"))


@pytest.mark.slow
def test_the_service_uses_no_network(folder: Path) -> None:
    assert_no_network(folder, commands(folder, "export --model ab.safetensors -o ab.onnx"))
    assert_no_network(folder, [sys.executable, "-c", SERVE])


def test_watching_uses_no_network(folder: Path) -> None:
    assert_no_network(folder, [sys.executable, "-c", WATCH])


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
def test_a_look_up_is_seen(folder: Path) -> None:
    look_up = "import socket\ntry: socket.getaddrinfo('example.com', 80)\nexcept OSError: pass"
    with pytest.raises(AssertionError):
        assert_no_network(folder, [sys.executable, "-c", look_up])


def test_a_file_below_the_home_folder_is_seen(folder: Path) -> None:
    write = "import pathlib; (pathlib.Path.home() / 'id').touch()"
    with pytest.raises(AssertionError):
        assert_no_network(folder, [sys.executable, "-c", write])
