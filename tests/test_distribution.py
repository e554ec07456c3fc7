"""The wheel and the source archive, as ``python -m build`` writes them."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import imgtranslate

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "imgtranslate"
PARTS = ("imgtranslate", "tests", "docs", "benchmarks", ".ci")
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "notebook-demo", ".ipynb_checkpoints")


def test_the_citation_has_the_version_and_the_papers() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version: {imgtranslate.__version__}\n" in text
    for paper in ("1703.10593", "1611.07004", "1711.11586", "2007.15651"):
        assert f"arXiv:{paper}" in text


def test_extras_are_in_the_readme() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    table = (ROOT / "README.md").read_text("utf-8").split("## Extras")[1].split("##")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"\w+", cell)} == set(extras)


def build(source: Path, out: Path, *forms: str) -> None:
    """Build without a network, by the setuptools of this environment."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *forms]
    subprocess.run([*command, str(source)], check=True, capture_output=True, text=True)


def files_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("build", "twine"))), reason="needs build and twine"
)
def test_the_wheel_holds_the_package_and_the_source_archive_everything(tmp_path: Path) -> None:
    # A copy: building writes into the folder.
    source = tmp_path / "source"
    source.mkdir()
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=IGNORED)
    for path in (*ROOT.glob("*.*"), ROOT / "LICENSE"):
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, source)
    out = tmp_path / "dist"
    build(source, out, "--sdist", "--wheel")
    (archive,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")

    # The wheel holds the files of the package and its metadata.
    files = files_of(wheel)
    packaged = {name for name in files if not name.split("/")[0].endswith(".dist-info")}
    found = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert packaged == {name for name in found if "/__pycache__/" not in name}
    assert {"imgtranslate/py.typed", "imgtranslate/pages/report.js"} <= packaged

    # The source archive holds tests and docs, and builds the same wheel.
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
        packed.extractall(tmp_path / "unpacked", filter="data")
    wanted = {
        path.relative_to(source).as_posix()
        for part in PARTS
        for path in (source / part).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert wanted <= names, wanted - names
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md"} <= names
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    build(unpacked, tmp_path / "again", "--wheel")
    assert files_of(tmp_path / "again" / wheel.name) == files

    # An index would accept and render both.
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(archive), str(wheel)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
