"""Output to the terminal: wrapping, counting, and ``--quiet`` of every command."""

import io
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
from fixtures.pictures import save_picture, save_soft_pictures
from fixtures.runs import make_run
from rich.cells import cell_len

from imgtranslate import cli
from imgtranslate.cli.terminal import in_words, result, say, say_command, say_error, with_quiet
from imgtranslate.errors import counted

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


class Terminal(io.StringIO):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self.of_terminal = encoding
        self.buffer = io.BytesIO()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.of_terminal

    def isatty(self) -> bool:
        return True


def said_in_40_columns(monkeypatch: pytest.MonkeyPatch, line: str, *command: str) -> str:
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", "40")
        patch.setattr(sys, "stderr", terminal)
        say_command(line, *command) if command else say(line)
    return terminal.getvalue()


def test_a_long_line_is_wrapped_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "warning: 7 pictures, n02381460_1486.jpg the first, are grey among colour pictures"
    lines = said_in_40_columns(monkeypatch, line).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 40
    assert all(each.startswith("  ") for each in lines[1:])
    assert " ".join(each.strip() for each in lines) == line


def test_wide_characters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said_in_40_columns(monkeypatch, "走る馬 " * 12).splitlines()
    assert max(map(cell_len, lines)) <= 40


def test_a_long_word_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_in_40_columns(monkeypatch, f"wrote {'x' * 60}").split() == ["wrote", "x" * 60]


def test_a_command_in_lines_is_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["train", "--a", "./my horses", "--b", "./zebras", "--out", "r" * 60, "--seed", "0"]
    shown = said_in_40_columns(monkeypatch, "$", *command)
    assert shown.splitlines()[0] == "$ imgtranslate train --a './my horses' \\"
    assert shlex.split(shown.replace("\\\n", "")) == ["$", "imgtranslate", *command]


def test_a_pipe_gets_a_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    model = "my run/" * 20
    say_command("use  ", "translate", "in.jpg", "--model", model)
    said = capsys.readouterr().err
    assert said == f"use   imgtranslate translate in.jpg --model {model!r}\n"


def test_a_pipe_gets_lines_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 100)
    assert capsys.readouterr().err == "word " * 100 + "\n"


def test_an_arrow_that_cannot_be_encoded_is_spelled(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal("cp1252")
    monkeypatch.setattr(sys, "stderr", terminal)
    say("horses → zebras")
    assert terminal.getvalue() == "horses -> zebras\n"


def test_results_are_harmless_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    result("a\x1b[31m\nb")
    assert shown.getvalue() == "a\\x1b[31m\nb\n"


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (2000, "2,000 steps")]
)
def test_nouns_agree_with_their_numbers(number: int, said: str) -> None:
    assert counted(number, "step") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1.0 days"),
        (1_564_680, "18.1 days"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


CODES = ("\x1b]0;title\x07", "\x1b[44;5m", "\u202e", "\x9b5m", "\x08")  # none is ours


def test_no_command_lets_a_name_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = Terminal()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, shown)
    monkeypatch.setenv("TERM", "xterm-256color")
    evil = "".join(CODES) + "[red]"
    aside = [save_picture(tmp_path / f"{evil}{n}.png", size=(20, 20)) for n in (1, 2)]
    names = (f"[/]horses{evil}", f"[/]zebras{evil}")
    run = str(make_run(tmp_path / evil, held_out=(aside, aside), names=names))
    folders = ["--a", f"{evil}/a", "--b", f"{evil}/b", "--preset", "tiny", "--size", "16"]
    Path(f"{evil}.png").touch()
    pictures = ["translate", f"{evil}1.png", f"{evil}.png", "--model", run, "-o", f"out{evil}"]
    for status, *command in (
        (0, "train", *folders, "--check", "--set", f"data.name_a={json.dumps(names[0])}"),
        (2, "train", *folders, "--out", run),
        (1, *pictures),
        (1, *pictures, "--json", "--overwrite"),
        (0, "cycle-check", "--run", run),
        (0, "evaluate", run, run),
        (0, "info", f"{run}/ab.safetensors"),
        (2, "info", evil),
        (2, f"--{evil}"),
        (2, evil),
        (2, "train", "--set", f"{evil}=1"),
    ):
        before = shown.tell()
        assert cli.run(command) == status, command
        printed = shown.getvalue()[before:]
        assert printed, command
        assert not any(code in printed for code in CODES), command
        if "--json" in command:
            objects = [json.loads(found) for found in re.findall(r"\{.*\}", printed)]
            assert [each["status"] for each in objects] == ["written", "failed"]
    assert r"\x1b]0;title\x07" in shown.getvalue()


# --quiet


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_quiet(name: str) -> None:
    options = {opt: param for param in COMMANDS[name].params for opt in param.opts}
    assert options["--quiet"].help == "Print results and errors only."


def test_quiet_leaves_results_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def inner() -> None:
        say("progress of the inner command")

    def outer() -> None:
        say("progress")
        result("result")
        say_error("error: no")
        with_quiet(inner)(quiet=False)  # a command within a quiet command is quiet

    with_quiet(outer)(quiet=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("result\n", "error: no\n")
    say("afterwards")
    assert capsys.readouterr().err == "afterwards\n"


def test_a_quiet_training_prints_its_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (save_soft_pictures(tmp_path / side) for side in ("horses", "zebras"))
    out = tmp_path / "run"
    command = ["train", "--a", str(a), "--b", str(b), "--out", str(out), "--preset", "tiny"]
    options = ["--size", "16", "--base-channels", "2", "--steps", "2", "--device", "cpu"]
    blocks = ["--set", "generator.num_blocks=0", "--set", "discriminator.num_layers=1"]
    assert cli.run([*command, *options, *blocks, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{out}\n", "")
    assert cli.run([*command, "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
