"""The page of `watch` and its routes: what they answer, to whom, and what they never read."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.command import run
from fixtures.pages import Tags
from fixtures.pictures import digests
from fixtures.runs import make_light_run
from serving.service import Service, watching

from imgtranslate import cli

ROWS = [{"step": step, "gan_ab": 0.5} for step in (10, 20)]
SAY_LOADED = (
    "import atexit, sys\n"
    "atexit.register(lambda: print('loaded', *{m.split('.')[0] for m in sys.modules}))\n"
    "from imgtranslate.cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    made = make_light_run(folder / "<script><b>", rows=ROWS, samples=(10,))
    made.report.write_text("<script>1</script>")
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    before = digests(folder)
    with watching(folder) as service:
        yield service
    assert digests(folder) == before


def key_in(service: Service) -> str:
    (found,) = json.loads(service.ask("GET", "/runs")[1])["runs"]
    return str(found["key"])


def test_the_page_begins_with_the_list_and_loads_nothing_from_elsewhere(service: Service) -> None:
    status, content, headers = service.ask("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Tags(content.decode())
    (policy,) = [a["content"] or "" for _, a in page.tags if "http-equiv" in a]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("style-src").startswith("'sha256-")
    assert rules.pop("script-src").startswith("'sha256-")
    assert rules.pop("img-src") == "'self' data:"
    assert rules.pop("connect-src") == "'self'"
    assert rules == dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    code = page.inside["style"] + page.inside["script"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", code)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(", code)
    (found,) = json.loads(page.inside["data"])["runs"]
    assert (found["name"], found["step"]) == ("<script><b>", 20)


def test_a_run_is_asked_for_by_its_key(service: Service, folder: Path) -> None:
    key = key_in(service)
    status, content, headers = service.ask("GET", f"/runs/{key}")
    assert (status, headers["content-type"]) == (200, "application/json")
    found = json.loads(content)
    assert [curve["name"] for curve in found["curves"]] == ["gan_ab"]
    ((step, _),) = found["samples"]
    status, content, headers = service.ask("GET", f"/runs/{key}/samples/{step}?1")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert content == next(folder.glob("*/samples/*.png")).read_bytes()


def test_a_report_is_shown_without_a_way_to_the_runs(service: Service) -> None:
    status, content, headers = service.ask("GET", f"/runs/{key_in(service)}/report")
    assert (status, content) == (200, b"<script>1</script>")
    assert headers["content-security-policy"].startswith(
        "sandbox allow-scripts; default-src 'none'"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/runs/secret.txt",
        "/runs/0123456789abcdef",
        "/runs/KEY/samples/11",
        "/runs/KEY/samples/99999999999999999999999",
        "/runs/KEY/samples/..%2f..%2f..%2fsecret.txt",
        "/runs/KEY/config.toml",
        "/runs/..%2fsecret.txt/report",
        "/runs/%2e%2e/%2e%2e/secret.txt",
        "/runs/%00/report",
        "/runs/%ff%fe/samples/1",
        "//etc/passwd",
    ],
)
def test_no_other_path_answers(service: Service, path: str) -> None:
    status, content, _ = service.ask("GET", path.replace("KEY", key_in(service)))
    assert status == 404
    assert list(json.loads(content)) == ["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_answered(service: Service, method: str) -> None:
    for path in ("/", "/runs", f"/runs/{key_in(service)}"):
        status, content, _ = service.ask(method, path, b"{}")
        assert status == 405
        assert b"method not allowed" in content


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/KEY", "/runs/KEY/samples/10"])
def test_other_sites_are_refused(service: Service, path: str) -> None:
    path = path.replace("KEY", key_in(service))
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{service.port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "localhost", "Origin": "http://evil.localhost"},
    ):
        status, content, answered = service.ask("GET", path, headers=headers)
        assert status == 403, headers
        assert b"horses" not in content
        assert answered["cross-origin-resource-policy"] == "same-origin"
    _, _, answered = service.ask("GET", path, headers={"Host": "localhost"})
    assert answered["cache-control"] == "no-store"
    assert answered["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in answered


def test_a_name_can_be_allowed(folder: Path) -> None:
    with watching(folder, names=["pictures.local"]) as service:
        assert service.ask("GET", "/runs", headers={"Host": "pictures.local:80"})[0] == 200


def test_rows_that_are_added_are_shown(tmp_path: Path) -> None:
    made = make_light_run(tmp_path / "run", rows=ROWS)
    with watching(made.folder) as service:
        first = json.loads(service.ask("GET", "/runs")[1])["runs"][0]
        made.append_metrics({"step": 30, "gan_ab": 0.25})
        for _ in range(200):
            second = json.loads(service.ask("GET", "/runs")[1])["runs"][0]
            if second["version"] != first["version"]:
                break
        assert (first["step"], second["step"]) == (20, 30)


# The command


@contextlib.contextmanager
def started(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running command, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_LOADED, "watch", "--port", "0", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_and_no_torch_is_loaded(
    folder: Path, number: signal.Signals
) -> None:
    with started(folder) as (process, address):
        port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", address)[1])  # type: ignore[index]
        service = Service(port, [], threading.Event(), threading.Thread())
        assert service.ask("GET", f"/runs/{key_in(service)}")[0] == 200
        idle = service.socket(b"GET /runs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        idle.close()
    assert (process.returncode, err) == (128 + number, "")
    loaded = set(out.rpartition("loaded ")[2].split())
    assert not loaded & {"torch", "torchvision", "onnxruntime", "openvino"}


def test_wrong_use_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        for arguments, said in [
            ((folder / "none",), "none: no such folder. Name a run, or a folder of runs"),
            ((folder / "secret.txt",), "secret.txt: no such folder"),
            ((folder, "--port", taken), f"--port {taken}: not available: Address already in use"),
            ((folder, "--host", "256.1.1.1"), "--host 256.1.1.1: not an address"),
        ]:
            assert run("watch", *arguments) == 2
            out, err = capsys.readouterr()
            assert out == ""
            assert said in err
            assert err.count("\n") == 1


def test_without_a_name_the_folder_of_all_runs_is_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("watch") == 2
    assert capsys.readouterr().err.startswith("error: runs: no such folder")


def test_the_extra_is_named_where_it_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert run("watch", folder) == 2
    assert capsys.readouterr().err == (
        "error: watch: needs starlette. Run pip install 'imgtranslate[serve]'\n"
    )
