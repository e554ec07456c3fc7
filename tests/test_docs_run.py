import dataclasses
import os
import re
import shlex
import shutil
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
from fixtures.pages import empty_runtime
from PIL import Image

from imgtranslate import cli
from imgtranslate.settings.config import fields_of
from imgtranslate.settings.parsing import SECTIONS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVERS = ("serve", "watch")  # commands that end by a signal
SMALL = shlex.split("--preset tiny --size 32 --steps 2 --device cpu")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("imgtranslate ")]


def adapted(command: list[str]) -> list[str]:
    """The same command on the CPU and small; a run that is begun anew takes its place."""
    text = shlex.split(re.sub(r" --gpu [\d,]+", "", shlex.join(command)))
    if text[0] == "train" and "--resume" not in text:
        return [*text, *SMALL]
    return [*text, "--port", "0"] if text[0] in SERVERS else text


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once a service is ready."""
    for name in SERVERS:
        ready = f"{cli.__name__}.{name}.result"
        monkeypatch.setattr(ready, lambda _: os.kill(os.getpid(), signal.SIGINT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for side in ("horses", "zebras"):
        (tmp_path / side).mkdir()
        for index in range(12):
            picture = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
            picture.save(tmp_path / side / f"{index}.png")
        for shard in range(2):
            with tarfile.open(tmp_path / f"{side}-00{shard}.tar", "w") as tar:
                for index in range(6 * shard, 6 * shard + 6):
                    tar.add(tmp_path / side / f"{index}.png", f"{index}.png")
    picture.save(tmp_path / "in.jpg")
    for side in ("labels", "photos"):
        shutil.copytree(tmp_path / "horses", tmp_path / side)
    (tmp_path / "facades").mkdir()
    for path in (tmp_path / "horses").iterdir():
        picture.resize((80, 40)).save(tmp_path / "facades" / path.name)
    empty_runtime(tmp_path / "package")
    head = "trial,scored,real,answer,fooled"
    for name, answer in (("anna", "left,0"), ("ben", "right,1")):
        (tmp_path / "answers").mkdir(exist_ok=True)
        (tmp_path / f"answers/{name}.csv").write_text(f"{head}\n1,1,left,{answer}\n")
    (tmp_path / "pairs.csv").write_text("horses/1.png,zebras/1.png\nhorses/2.png,zebras/2.png\n")
    return tmp_path


def run_python(page: Path) -> None:
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})


def train(folder: Path) -> None:
    assert cli.run(["train", "--a", "horses", "--b", "zebras", *SMALL]) == 0
    assert (folder / "runs/horses2zebras/ab.safetensors").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("interrupted")
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    if not any(
        "train" in command and {"./horses", "horses"} & {*command} for command in commands(page)
    ):
        train(folder)
    for command in commands(page):
        if command not in (["demo"], ["doctor"]):  # slow: they have tests of their own
            status = 130 if command[0] in SERVERS else 0
            assert cli.run(adapted(command)) == status, shlex.join(command)
    if page.stem in {"python", "translate"}:
        run_python(page)


def test_the_python_lines_of_the_readme_run(folder: Path) -> None:
    train(folder)
    run_python(ROOT / "README.md")
    with Image.open(folder / "zebra.png") as zebra:
        assert zebra.size == (40, 40)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), (page.name, link)


def test_the_table_lists_every_setting_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    row = r"^\| `([\w.]+)`(?: \(`--[\w-]+`\))? \| ([^|,]+?)(?:,[^|]*)? \|"
    found = dict(re.findall(row, text, re.MULTILINE))
    wanted: dict[str, str] = {}
    for section, classes in SECTIONS.items():
        for field in (field for cls in classes for field in fields_of(cls)):
            wanted.setdefault(f"{section}.{field.name}", spelled(field.default))
    assert found == wanted


def spelled(default: object) -> str:
    if default is dataclasses.MISSING:
        return "required"
    if default is None:
        return "none"
    if default == "":
        return '""'
    if default == ():
        return "[]"
    return str(default).lower() if isinstance(default, bool) else str(default)
