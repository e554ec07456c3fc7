"""What the pages name exists: commands, options, fields. ``test_docs_run`` runs the commands."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import typer

from imgtranslate import cli
from imgtranslate.model_files.checkpoint import ModelHeader, StateHeader

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def command_lines(page: Path) -> list[str]:
    found = re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(found).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("imgtranslate ")]


LINES = sorted({line for page in PAGES for line in command_lines(page)})


@pytest.mark.parametrize("line", LINES)
def test_command_lines_parse(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    with COMMANDS[name].make_context(name, arguments):  # raises on what is not declared
        pass


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_page_of_a_command_names_no_option_that_does_not_exist(name: str) -> None:
    options = {opt for command in COMMANDS.values() for p in command.params for opt in p.opts}
    text = (DOCS / f"{name}.md").read_text("utf-8")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= options | {"--help"}


@pytest.mark.parametrize("header", [ModelHeader, StateHeader])
def test_page_of_the_format_names_every_field(header: type) -> None:
    text = (DOCS / "checkpoint-format.md").read_text("utf-8")
    words = set(re.findall(r"\w+", text))
    assert {field.name for field in dataclasses.fields(header)} <= words
