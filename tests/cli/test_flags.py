from typing import Any

import pytest
import typer

from imgtranslate import cli
from imgtranslate.cli.terminal import FLAGS, with_flags
from imgtranslate.cli.train import parse_assignment
from imgtranslate.errors import UsageError
from imgtranslate.settings.parsing import build_settings, nested

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(("setting", "flag"), FLAGS.items())
def test_a_setting_is_named_by_its_flag(setting: str, flag: str) -> None:
    assert flag in {opt for param in COMMANDS["train"].params for opt in param.opts}
    assert with_flags(f"{setting} 3: not accepted") == f"{flag} 3: not accepted"
    assert with_flags(f"{setting}: not given. Set {setting}") == f"{flag}: not given. Set {flag}"


def test_a_parameter_is_named_by_its_flag() -> None:
    assert (
        with_flags("`pairs`: cannot be combined with `a`") == "--pairs: cannot be combined with --a"
    )
    assert with_flags("`allow_huge` true") == "--allow-huge true"
    assert with_flags("`device` mps: use `device` cpu") == "--device mps: use --device cpu"
    assert with_flags("`device` cuda:9: use `device` cuda:3") == "--gpu 9: use --gpu 3"
    assert with_flags("`output` a.gif: contradicts `file_format` png") == (
        "-o a.gif: contradicts --format png"
    )
    assert with_flags("Use `existing` overwrite or `existing` skip") == (
        "Use --overwrite or --skip-existing"
    )
    assert with_flags("skip them with `data.skip_unreadable=true`") == (
        "skip them with --set data.skip_unreadable=true"
    )


@pytest.mark.parametrize(
    "message",
    [
        "method.lambda_a -1.0: not accepted",
        "data.channels: no such name. Did you mean data.channels_c?",
        "/photos/data.a: no such folder",
        "data.a/x.png, data.a.tar, my-data.a, data.a-b: cannot be read",
        "x.onnx: not what `imgtranslate export` writes",
    ],
)
def test_other_words_stay(message: str) -> None:
    assert with_flags(message) == message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.x=3", 3),
        ("data.x=-3", -3),
        ("data.x=0.2", 0.2),
        ("data.x=1e-3", 1e-3),
        ("data.x=true", True),
        ("data.x=True", "True"),
        ("data.x=auto", "auto"),
        ("data.x='3'", "3"),
        ('data.x="a=b"', "a=b"),
        ("data.x=a=b", "a=b"),
        ("data.x=my photos", "my photos"),
        ("data.x=C:\\photos", "C:\\photos"),
        ("data.x=", ""),
        (" data.x = 3 ", 3),
    ],
)
def test_an_assignment_is_toml_or_else_plain_text(text: str, value: Any) -> None:
    name, parsed = parse_assignment(text)
    assert (name, parsed) == ("data.x", value)
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["", "data.x", "x=3", "=3", ".x=3", "data.=3", "3=data.x"])
def test_what_is_no_assignment_is_answered_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assignment(text)
    assert str(caught.value).startswith(f"--set {text}: not of the form section.name=value")
    assert "For example --set" in str(caught.value)


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 5000], ids=["digits", "nested"])
def test_an_assignment_too_long_to_read_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=r"^(--set|train\.seed) "):
        build_settings(layers=[nested(dict([parse_assignment(f"train.seed={value}")]))])
