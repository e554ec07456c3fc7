"""What the pages name exists: commands, options, fields. ``test_docs_run`` runs the commands."""

import dataclasses
import importlib
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


def benchmark_lines(page: Path) -> list[tuple[str, str]]:
    """List each benchmark of a page with its options, and with those of the table below it."""
    module, found = "", []
    for line in page.read_text("utf-8").splitlines():
        if command := re.search(r"python -m (benchmarks\.\w+)([^`]*)", line):
            module = command[1]
            found.append((module, command[2]))
        elif row := re.match(r"\| `(--[^`]+)`", line):
            found.append((module, row[1]))
    return found


BENCHMARKS = sorted({line for page in PAGES for line in benchmark_lines(page) if line[0]})


@pytest.mark.parametrize(("module", "options"), BENCHMARKS)
def test_commands_of_benchmarks_parse(module: str, options: str) -> None:
    app = typer.Typer()
    app.command()(importlib.import_module(module).main)
    typer.main.get_command(app).make_context(module, shlex.split(options, comments=True))


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
