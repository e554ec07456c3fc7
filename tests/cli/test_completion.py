"""Completion in a real bash and zsh: type, press Tab, and read the command line that results."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgtranslate import cli
from imgtranslate.cli.completion import complete_setting
from imgtranslate.settings.listing import list_settings

ROOT = Path(cli.__file__).parents[2]
PATIENCE = 90.0  # seconds
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
PREPARE = {
    "bash": "PS1=; source ./completion",
    "zsh": "PS1=; unsetopt prompt_sp zle_bracketed_paste; autoload -Uz compinit; compinit -D -u; "
    "source ./completion",
}
SHELLS = [
    pytest.param(
        shell, marks=pytest.mark.skipif(shutil.which(shell) is None, reason=f"no {shell} here")
    )
    for shell in START
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for run in ("horses2zebras", "looks", "two words", "$(touch hacked)", "a\\$(touch hacked)"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "config.toml").touch()
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "weights.safetensors").touch()
    (tmp_path / "my photo.jpg").touch()
    program = tmp_path / "bin" / "imgtranslate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m imgtranslate "$@"\n')
    program.chmod(0o755)
    return tmp_path


def completed(shell: str, folder: Path, *lines: str) -> list[list[str]]:
    """Return the words of each line after it was typed into an interactive shell; \\t is Tab."""
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TERM": "dumb",
        "HOME": str(folder),
    }
    script = subprocess.run(
        ["imgtranslate", "--show-completion", shell],
        env=environment | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (folder / "completion").write_text(script)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(START[shell][0], START[shell], environment)
    said = ""
    try:
        os.write(terminal, f"stty -echo; {PREPARE[shell]}; echo re''ady\n".encode())
        said = listen(terminal, said, "ready")
        for number, line in enumerate(lines):
            # Ctrl-A goes to the beginning of the line, which makes its words arguments of printf.
            os.write(terminal, f"{line}\x01printf '<%s>' \n".encode())
            os.write(terminal, f"echo; echo do''ne {number}\n".encode())
            said = listen(terminal, said, f"done {number}")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)
    found = [re.findall("<(.*?)>", each) for each in said.splitlines() if "<imgtranslate>" in each]
    assert len(found) == len(lines), said
    assert not (folder / "hacked").exists()
    return found


def listen(terminal: int, said: str, until: str) -> str:
    end = time.monotonic() + PATIENCE
    while not re.search(rf"^{until}\r$", said, re.MULTILINE):
        ready, _, _ = select.select([terminal], [], [], max(end - time.monotonic(), 0))
        assert ready, said
        said += os.read(terminal, 1 << 16).decode()
    return said


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_runs_files_and_settings(shell: str, folder: Path) -> None:
    typed = {
        "imgtranslate trans\t": "translate",
        "imgtranslate train --prese\t": "train --preset",
        "imgtranslate train --method bicy\t": "train --method bicyclegan",
        "imgtranslate train --preset fa\t": "train --preset fast",
        "imgtranslate train --set method.lambda_id\t": "train --set method.lambda_identity=",
        "imgtranslate train --set method.lambda_l1=1\t": "train --set method.lambda_l1=10",
        "imgtranslate train --set generator.kind=u\t": "train --set generator.kind=unet",
        "imgtranslate train --resume runs/ho\t": "train --resume runs/horses2zebras",
        "imgtranslate report l\x7f\t": "report runs/",
        "imgtranslate translate wei\t": "translate weights.safetensors",
        "imgtranslate translate in.jpg --model w\t": "translate in.jpg --model weights.safetensors",
        "imgtranslate translate my\t": "translate my photo.jpg",
    }
    found = completed(shell, folder, *typed)
    assert [" ".join(words[1:]) for words in found] == [*typed.values()]


def test_names_of_settings_come_with_their_explanations() -> None:
    names = dict(complete_setting("schedule."))
    assert names["schedule.epochs="] == list_settings()["schedule.epochs"].explanation
    assert {f"{name}=" for name in list_settings() if name.startswith("schedule.")} == set(names)
    assert complete_setting("schedule.epochs=1") != []
    assert complete_setting("nothing.") == []


def test_completion_loads_nothing_heavy(folder: Path) -> None:
    environment = os.environ | {
        "COMP_WORDS": "imgtranslate\ntrain\n--set\nmethod.",
        "COMP_CWORD": "3",
        "_IMGTRANSLATE_COMPLETE": "complete_bash",
    }
    code = "import sys; sys.argv = ['imgtranslate']; from imgtranslate import cli\n"
    code += "try: cli.main()\nfinally: print('loaded', *sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, text=True
    )
    names, _, loaded = run.stdout.partition("loaded ")
    assert "method.lambda_identity=" in names.split()
    assert {"typer"} <= {*loaded.split()}
    assert not {*loaded.split()} & {"torch", "numpy", "PIL", "onnx"}
