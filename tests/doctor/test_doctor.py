import json
import os
from pathlib import Path

import numpy as np
import pytest
from fixtures.command import run

from imgtranslate.doctor import diagnosis, self_test

MISFIT = "RuntimeError('operator torchvision::nms does not exist')"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules stand before the installed packages in every test process."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is run, and OpenVINO is not there."""

    def passed(name: str, folder: Path) -> self_test.SelfTest:
        self_test.self_test(name, str(folder)) if name == "model file" else None
        return self_test.SelfTest(name=name, state="ok", seconds=0.5)

    monkeypatch.setattr(self_test, "run_test", passed)
    found = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda n: "" if n == "openvino" else found(n))


def break_torchvision(package: Path, code: str) -> None:
    (package / "torchvision").mkdir()
    (package / "torchvision/__init__.py").write_text(code)
    (package / "torch.py").write_text("")  # the real one takes seconds


def test_the_engines_agree(tmp_path: Path) -> None:
    """Each test in this process."""
    pytest.importorskip("openvino")
    names = ("torch", "ONNX Runtime", "OpenVINO")
    for name in ("model file", *names):
        self_test.self_test(name, str(tmp_path))
    tests = [self_test.SelfTest(name=name, state="ok") for name in names]
    compared = self_test._compared(tests, tmp_path)
    assert [test.state for test in compared] == ["ok"] * 3
    assert all(test.difference is not None and test.difference < 0.1 for test in compared)
    output = np.load(tmp_path / "torch.npy")
    assert output.std() > 0.2  # not a picture that any network gives
    np.save(tmp_path / "OpenVINO.npy", output + 2 / 127.5)
    last = self_test._compared(tests, tmp_path)[-1]
    assert (last.state, last.reason) == ("failed", "differs by 2.0 of 255 levels")
    assert json.loads((tmp_path / "torch.json").read_text())["threads"] >= 1


def test_a_test_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    for name in ("model file", "ONNX Runtime"):
        test = self_test.run_test(name, tmp_path)
        assert (test.name, test.state, test.reason) == (name, "ok", "")
    assert (tmp_path / "ONNX Runtime.npy").is_file()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"raise {MISFIT}", "RuntimeError: operator torchvision::nms does not exist"),
        (
            "raise OSError('/usr/lib/jane/_C.so: undefined symbol: _ZN3c105ErrorC2E')",
            "OSError: …/_C.so: undefined symbol: _ZN3c105ErrorC2E",
        ),
        (
            "raise ImportError('DLL load failed\\nwhile importing _C')",
            "ImportError: DLL load failed",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed by SIGSEGV"),
        ("raise SystemExit(3)", "exit status 3"),
    ],
)
def test_a_torchvision_that_does_not_fit_is_one_line(
    tmp_path: Path, package: Path, code: str, reason: str
) -> None:
    break_torchvision(package, code)
    test = self_test.run_test("torchvision", tmp_path)
    assert (test.state, test.reason) == ("failed", reason)
    assert test.remedy.endswith("pip install -U torch torchvision")


def test_a_build_for_another_cpu_has_its_own_remedy(tmp_path: Path, package: Path) -> None:
    break_torchvision(package, "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    test = self_test.run_test("torchvision", tmp_path)
    assert (test.reason, test.remedy) == ("crashed by SIGILL", self_test.OTHER_INSTRUCTIONS)


def test_a_package_that_hangs_is_ended(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "PATIENCE", 1)
    break_torchvision(package, "import time; time.sleep(60)")
    assert self_test.run_test("torchvision", tmp_path).reason == "no answer within 1 s"


def test_a_broken_torch_is_diagnosed_and_the_others_are_tested(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda n: "" if n == "openvino" else found(n))
    (package / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open')")
    assert run("doctor") == 1
    out, err = capsys.readouterr()
    assert "torch: FAILED, OSError: libcudart.so.12: cannot open" in out
    assert "ONNX Runtime: ok" in out
    assert "OpenVINO: not installed" in out
    first, second = err.splitlines()
    assert first.startswith("failed: torch: OSError: libcudart.so.12: cannot open. Install it")
    assert second.startswith("failed: torchvision: OSError")


@pytest.mark.usefixtures("quick")
def test_the_text_fits_80_columns_and_names_what_matters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("KMP_AFFINITY", "/home/jane/x")
    assert run("doctor") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) < 80
    assert "imgtranslate  0.1.0" in out
    words = " ".join(out.split())  # lines wrap elsewhere where other extras are missing
    for word in ("torch ", "torchvision ", "pillow ", "OMP_NUM_THREADS=1", "KMP_AFFINITY=(set)"):
        assert word in words
    assert "openvino (lacks openvino)" in words


@pytest.mark.usefixtures("quick")
def test_nothing_private_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options in ([], ["--json"]):
        assert run("doctor", *options) == 0
        out = capsys.readouterr().out
        assert str(Path.home()) not in out.replace('"', " ") or str(Path.home()) == "/"
        assert str(Path.cwd()) not in out
        assert os.uname().nodename not in out
        assert str(tmp_path) not in out


@pytest.mark.usefixtures("quick")
def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["packages"]["torch"]
    assert found["extras"]["openvino"] == ["openvino"]
    names = [test["name"] for test in found["self_tests"]]
    assert names == ["model file", "torch", "torchvision", "ONNX Runtime", "OpenVINO"]
    assert found["memory_available"] > 0


@pytest.mark.usefixtures("quick")
def test_old_packages_and_a_gpu_that_torch_does_not_find_are_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnosis, "_requirements", lambda: ["torch>=999.1", "numpy>=1.26"])
    found = diagnosis.diagnose()
    (note,) = found.notes
    assert note.startswith("torch ")
    assert note.endswith("imgtranslate needs 999.1. Run pip install -U torch")
    told = {"devices": [], "version": "2.6.0+cpu"}
    found = diagnosis.Diagnosis(
        **{**vars(found), "driver": "550.54", "torch": told, "outdated": {}}
    )
    (note,) = found.notes
    assert "driver, 550.54, but torch 2.6.0+cpu finds no GPU" in note


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/home/jane/x/_C.so: no", "…/_C.so: no"),
        ("C:\\Users\\jane\\torch\\c10.dll is missing", "…/c10.dll is missing"),
        ("cannot read '/data/secret/a b.png'", "cannot read '…/a b.png'"),
        ("1/2 of all and/or none", "1/2 of all and/or none"),
    ],
)
def test_paths_lose_their_folders(text: str, wanted: str) -> None:
    assert self_test.without_paths(text) == wanted


def test_the_home_folder_and_its_owner_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/Jane Doe")
    text = self_test.without_paths("/home/Jane Doe/env/lib/x.so is not owned by Jane Doe")
    assert "Jane" not in text


@pytest.mark.slow
def test_the_doctor_finds_this_installation_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert all(test["state"] in ("ok", "not installed") for test in found["self_tests"])
    assert found["torch"]["instructions"]
