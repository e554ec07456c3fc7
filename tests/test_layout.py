"""The directions of imports (docs/layout.md), and what may not be imported or called at all."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import imgtranslate

PACKAGE = Path(imgtranslate.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in MODULES]

BOTTOM = {"config", "errors", "images", "checkpoint", "atomic", "presets", "settings", "fitting"}
MAY_IMPORT = {  # beside the bottom; first part of the module's name
    "networks": {"networks"},
    "losses": set(),
    "builders": {"networks"},
    "data": {"data"},
    "methods": {"methods", "networks", "losses", "builders", "data"},
    "engines": {"engines", "builders", "device"},
    "translator": {"engines"},
    "published": {"builders"},
    "metrics": set(),
    "figures": set(),
    "device": set(),
    "run_folder": set(),
}
KNOW_NO_CONFIG = {"networks", "losses"}


TREES = [ast.parse(path.read_text(encoding="utf-8")) for path in MODULES]
every_module = pytest.mark.parametrize(
    ("name", "tree"), list(zip(NAMES, TREES, strict=True)), ids=NAMES
)


def imported(tree: ast.AST) -> set[str]:
    """Modules that are imported anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(str(node.module))
    return found


def own(tree: ast.AST) -> set[str]:
    """First parts of the package's modules that are imported."""
    inside = {name.removeprefix("imgtranslate.") for name in imported(tree) if "." in name}
    return {
        name.partition(".")[0]
        for name in inside
        if (PACKAGE / name.split(".")[0]).is_dir()
        or (PACKAGE / f"{name.split('.')[0]}.py").exists()
    }


def at_import(tree: ast.Module) -> set[str]:
    """Modules that importing it imports: not those in functions or for type checkers."""
    return {
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported(node)
    }


@every_module
def test_imports_go_one_way(name: str, tree: ast.Module) -> None:
    part = name.partition(".")[0]
    below = own(tree) - {"_version"}
    if part in BOTTOM:
        assert below <= BOTTOM
    elif part in KNOW_NO_CONFIG:
        assert below <= MAY_IMPORT[part]
    elif part in MAY_IMPORT:
        assert below <= MAY_IMPORT[part] | BOTTOM
    elif part == "workflows":
        assert "cli" not in below


@every_module
def test_heavy_libraries_are_imported_where_they_are_needed(name: str, tree: ast.Module) -> None:
    part = name.partition(".")[0]
    heavy = {module.partition(".")[0] for module in at_import(tree)}
    if part in {"cli", "config", "errors", "images", "checkpoint", "presets", "__init__"}:
        assert heavy.isdisjoint({"torch", "torchvision", "pydantic", "onnx", "onnxruntime"})
    assert "torchvision" not in heavy
    if part != "cli":
        assert {"rich", "typer"}.isdisjoint(heavy)


@every_module
def test_nothing_is_pickled_or_printed(name: str, tree: ast.Module) -> None:
    assert {"pickle", "marshal", "shelve", "joblib"}.isdisjoint(imported(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert called != "print" or name.startswith("cli.")
        assert called not in {"eval", "exec", "torch.save", "getattr", "setattr", "hasattr"}
        if called == "torch.load":
            assert keywords["weights_only"] == "True"
        if called in {"np.load", "numpy.load"}:
            assert keywords["allow_pickle"] == "False"


def test_there_is_no_room_for_everything() -> None:
    assert {"utils", "util", "core", "helpers", "common"}.isdisjoint(
        part for name in NAMES for part in name.split(".")
    )


@pytest.mark.parametrize("statement", ["import imgtranslate", "_help()"])
def test_help_comes_without_the_heavy_libraries(statement: str) -> None:
    program = f"""
import sys
def _help():
    from imgtranslate import cli
    assert cli.run(["train", "--help"]) == 0
{statement}
heavy = {{"torch", "torchvision", "onnx", "onnxruntime", "safetensors", "numpy"}}
assert heavy.isdisjoint(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_public_names() -> None:
    assert sorted(imgtranslate.__all__) == dir(imgtranslate)
    for name in imgtranslate.__all__:
        assert vars(imgtranslate).get(name) or imgtranslate.__getattr__(name)
    with pytest.raises(AttributeError, match="nothing_here"):
        importlib.import_module("imgtranslate").__getattr__("nothing_here")
