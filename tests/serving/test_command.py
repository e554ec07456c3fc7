"""`imgtranslate serve` as a command: what it says, how it ends, what it refuses to begin."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.command import run
from fixtures.models import save_model
from fixtures.pictures import png
from serving.service import Gate, head, running, save_negative

from imgtranslate import cli
from imgtranslate.serving import models
from imgtranslate.serving.models import list_models, load_models, pixels_in_memory
from imgtranslate.serving.server import address_of, bind

SAY_LOADED = (
    "import atexit, sys\n"
    "atexit.register(lambda: print('loaded', *{m.split('.')[0] for m in sys.modules}))\n"
    "from imgtranslate.cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    save_model(folder / "ab.safetensors")
    save_negative(folder / "ab.onnx")
    return folder


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running command, and its address."""
    place = folder / "nowhere"
    place.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_LOADED, "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()
    assert not list(place.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_export_is_served_without_torch_until_a_signal(
    folder: Path, number: signal.Signals
) -> None:
    with started(folder, "--model", str(folder / "ab.onnx")) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        with urllib.request.urlopen(f"{address}translate", png()) as answer:
            assert answer.read(8) == b"\x89PNG\r\n\x1a\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "onnxruntime" in out
    assert not {"torch", "torchvision"} & set(out.split())
    assert err.splitlines()[0] == "horses2zebras: horses → zebras on cpu with ONNX Runtime"
    assert re.fullmatch(r"200 horses2zebras 12x10 \d\.\d\d s", err.splitlines()[1])
    assert err.splitlines()[2:] == [
        "stopping after this picture. Press Ctrl-C again to stop at once"
    ]


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with started(folder, "--model", str(folder / "ab.onnx")) as (process, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            body = png((800, 800))
            client.sendall(head(len(body), path="/translate?resize=4000") + body)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None  # unless it was heard, two signals may pass for one
            assert any("again to stop" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - start < 3
    assert "Traceback" not in err


def test_wrong_use_is_one_line_and_nothing_starts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / "ab.onnx"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        for arguments, said in [
            ((), "--model: not given"),
            (("--model", tmp_path / "none.onnx"), "none.onnx: no such file"),
            (("--model", tmp_path), "no ab.safetensors in this folder"),
            (("--model", model, "--port", taken), f"--port {taken}: not available: Address alr"),
            (
                ("--model", model, "--host", "256.1.1.1"),
                "--host 256.1.1.1: not an address of this machine",
            ),
            (("--model", model, "--host", "a" * 70 + ".b"), "not an address of this machine"),
            (("--model", model, "--host", "192.0.2.1"), "--host 192.0.2.1"),
            (("--model", model, "--port", "70000"), "--port"),
            (("--model", model, "--device", "cuda"), "--device cuda: "),
        ]:
            assert run("serve", *arguments) == 2, arguments
            out, err = capsys.readouterr()
            assert out == ""
            assert said in err
            assert err.count("\n") == 1


def test_the_extra_is_named_where_it_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run("serve", "--model", folder / "ab.onnx") == 2
    assert "Run pip install 'imgtranslate[serve]'" in capsys.readouterr().err


def test_help_needs_no_server(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY_LOADED, "serve", "--help"],
        check=True, capture_output=True, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
    )  # fmt: skip
    assert "'imgtranslate[serve]'" in done.stdout
    loaded = set(done.stdout.rpartition("loaded ")[2].split())
    assert not loaded & {"fastapi", "starlette", "uvicorn", "torch"}


def test_an_address_is_one_to_open() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with bind("0.0.0.0", 0) as listener:
        assert f"http://{socket.gethostname()}:" in address_of(listener)


def test_the_machine_is_known_by_its_own_names() -> None:
    name = socket.gethostname()
    with running([Gate().served()]) as service:
        for host in (name, f"{name.upper()}:80", f"{name.partition('.')[0]}.local"):
            assert service.ask("GET", "/healthz", headers={"Host": host})[0] == 200


def test_pixels_are_bounded_by_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no strip of any picture is put into a file."""
    paths = list_models([folder / "ab.onnx", folder / "ab.safetensors"])
    both = load_models(paths, device="cpu", notice=lambda _: None)
    monkeypatch.setattr(models, "available_memory", lambda: 10**9)
    export, model = (pixels_in_memory([each]) for each in both)
    assert export == 10**9 // (2 * (16 * 4 + 16 * 6))
    (folder / "ab/model.xml").parent.mkdir()
    (folder / "ab/model.xml").touch()
    assert pixels_in_memory([replace(both[0], path=folder / "ab")]) == export
    assert 3 * 4 * model <= 10**9 // 4
    assert pixels_in_memory(both) == min(export, model)
    monkeypatch.setattr(models, "available_memory", lambda: 0)
    assert pixels_in_memory(both) == 1
