"""The help of ``train``, its list of settings, and hints at help: all from the settings."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from imgtranslate import cli
from imgtranslate.cli.settings_help import explain_flag, page
from imgtranslate.cli.terminal import FLAGS
from imgtranslate.settings.listing import list_settings
from imgtranslate.settings.presets import METHODS, PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
COMMANDS = [command.name for command in cli.app.registered_commands]


def help_of(command: str, *, columns: int) -> str:
    code = f"from imgtranslate import cli; cli.run(['{command}', '--help'])"
    environment = {"COLUMNS": str(columns), "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    ).stdout


def squeezed(text: str) -> str:
    """Join the wrapped lines of a panel."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("columns", [80, 120])
def test_the_help_of_train_names_every_choice_and_fits_the_terminal(columns: int) -> None:
    text = help_of("train", columns=columns)
    assert all(len(line) <= columns for line in text.splitlines())
    words = {*METHODS, *PRESETS, *(w for s in list_settings().values() for w in s.choices)}
    assert words <= {*re.findall(r"[\w-]+", text)}
    plain = squeezed(text)
    assert "method.gan_mode lsgan, vanilla, hinge, wgangp" in plain
    assert "--preset paper, fast, tiny" in plain
    assert "discriminator.kind patchgan, multiscale, averaging, pixel" in plain
    assert "square crops to train on. [1 to 65536; default 256, 128 (fast), 64 (tiny)]" in plain


def test_every_option_of_train_is_explained() -> None:
    command = typer.main.get_command(cli.app).commands["train"]  # type: ignore[attr-defined]
    for option in command.params:
        assert option.help or explain_flag(option.opts[0]), option.opts
        assert not (option.help and option.opts[0] in FLAGS.values()), option.opts


@pytest.mark.parametrize("flag", FLAGS.values())
def test_a_flag_is_explained_by_its_setting(flag: str) -> None:
    text = explain_flag(flag)
    assert text is not None
    assert not re.search(r"\b(data|train|optimizer|schedule|generator)\.\w", text) or "load" in text


def test_an_option_that_is_no_setting_explains_itself() -> None:
    assert explain_flag("--check") is None


def test_the_help_of_the_presets_gives_their_figures() -> None:
    text = squeezed(help_of("train", columns=200))
    fast, tiny = PRESETS["fast"], PRESETS["tiny"]
    epochs = fast["schedule"]["epochs"] + fast["schedule"]["decay_epochs"]
    steps = tiny["schedule"]["constant_steps"] + tiny["schedule"]["decay_steps"]
    assert f"fast: for a laptop, {fast['data']['crop_size']} px, {epochs} epochs" in text
    assert f"tiny: for a trial, {tiny['data']['crop_size']} px, {steps} steps" in text


def test_settings_are_listed_without_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run(["train", "--list-settings"]) == 0
    out, err = capsys.readouterr()
    assert "--set NAME=VALUE" in err
    assert all(len(line) <= 80 for line in out.splitlines())
    entries = dict(re.findall(r"^  ([\w.]+) = (.*(?:\n      .*)+)", out, re.MULTILINE))
    assert list(entries) == [*list_settings()]
    for name, setting in list_settings().items():
        entry = " ".join(entries[name].split())
        assert entry.startswith(setting.defaults)
        assert setting.explanation in entry
        assert f"[{setting.values}]" in entry
        assert FLAGS.get(name, "") in entry
    assert not [*tmp_path.iterdir()]


def test_settings_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--list-settings", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(out)}
    assert err == ""
    assert [*rows] == [*list_settings()]
    assert rows["generator.num_blocks"] == {
        "name": "generator.num_blocks",
        "flag": None,
        "default": 9,
        "other_defaults": {"fast": 6, "tiny": 3},
        "kinds": ["resnet"],
        "type": "integer",
        "choices": [],
        "limits": {"ge": 0, "le": 64},
        "explanation": "Residual blocks; unless set, 6 up to a crop of 128 px, else 9",
    }
    assert rows["train.precision"]["choices"] == ["auto", "fp32", "bf16"]
    assert rows["train.precision"]["flag"] == "--precision"


def test_json_alone_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "--json"]) == 2
    said = capsys.readouterr().err
    assert said == "error: --json: works with --check and --list-settings. Add one of them\n"


def test_the_page_of_the_settings_is_up_to_date() -> None:
    text = PAGE.read_text("utf-8")
    assert text == page(), "run the command that the page names"


def test_the_page_is_written_by_the_command_that_it_names() -> None:
    command = re.search(r"`python (-m [\w.]+) > docs/settings.md`", PAGE.read_text("utf-8"))
    assert command is not None
    run = subprocess.run(
        [sys.executable, *command[1].split()],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.stdout == page()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.run(arguments) == 2
    return capsys.readouterr().err.rstrip("\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_option_leads_to_the_help_of_its_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, command, "--nope")
    assert said.startswith("error: No such option: --nope")
    assert said.endswith(f". See imgtranslate {command} --help")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nope"], "No such option: --nope. See imgtranslate --help"),
        (
            ["train", "--sede", "3"],
            "(Possible options: --seed, --set, --sheet). See imgtranslate train --help",
        ),
        (["tarin"], "No such command 'tarin'. Did you mean 'train'? See imgtranslate --help"),
        (["train", "--size", "x"], "See imgtranslate train --help"),
        (["train", "--size"], "See imgtranslate train --help"),
        (["info"], "See imgtranslate info --help"),
    ],
)
def test_a_wrong_line_gets_the_nearest_match_and_a_hint(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments).endswith(said)
