import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgtranslate

PACKAGE = Path(imgtranslate.__file__).parent
PATHS = {
    ".".join(("imgtranslate", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}
PARTS = {name.split(".")[1] for name in TREES if "." in name}


def part_of(module: str) -> str:
    """What a module of the package belongs to: ``cli``, ``config``; nothing for the package."""
    return module.partition(".")[2].partition(".")[0]


def imports(module: str, tree: ast.AST | None = None) -> set[str]:
    """What a module imports, on top, in functions and for its types, as absolute names.

    Of ``from a import b`` both ``a`` and ``a.b``: b may be a module.
    """
    found: set[str] = set()
    for node in ast.walk(tree or TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = origin(module, node)
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return found


def origin(module: str, node: ast.ImportFrom) -> str:
    """Where names come from; a dot stands for the package that the module lies in."""
    if node.level == 0:
        return node.module or ""
    above = module.split(".")
    lost = node.level - 1 if PATHS[module].name == "__init__.py" else node.level
    return ".".join([*above[: len(above) - lost], *([node.module] if node.module else [])])


def imported_parts(module: str) -> set[str]:
    ours = {name for name in imports(module) if name.split(".")[0] == "imgtranslate"}
    return {part_of(name) for name in ours} & PARTS


def modules_of(part: str) -> Iterator[str]:
    return (name for name in TREES if part_of(name) == part)


# Directions

WORKFLOWS = {"training", "translation", "evaluation", "exporting", "serving", "demo"}
MAY_IMPORT = {  # the bottom: nothing else of the package, beside itself
    "_version": set(),
    "errors": set(),
    "files": {"errors"},
    "memory": {"errors"},
    "device": {"errors"},
    "losses": set(),
    "networks": set(),
    "settings": {"errors"},
    "builders": {"networks", "settings"},
    "images": {"errors", "files"},
    "metrics": {"errors", "files", "images", "model_files", "settings"},
    "model_files": {"_version", "builders", "errors", "files", "settings"},
    "pages": {"images"},
    "runs": {"data", "errors", "files", "images", "model_files", "settings"},
    "data": {"_version", "errors", "files", "images", "memory", "settings"},
    "data_check": {"data", "errors", "images", "settings"},
    "engines": {
        "builders",
        "device",
        "errors",
        "images",
        "memory",
        "model_files",
        "networks",
        "settings",
    },
    "methods": {"builders", "data", "errors", "losses", "networks", "settings"},
}
NEVER_IMPORT = {
    "translation": {"builders", "data", "losses", "methods", "networks", "training"},
    "training": {"cli", "exporting", "serving", "translation", "demo"},
    "evaluation": {"cli", "exporting", "serving", "training"},
    "exporting": {"cli", "losses", "methods", "serving", "training"},
    "serving": {"builders", "data", "losses", "methods", "networks", "training"},
}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_the_bottom_imports_nothing_from_above(part: str) -> None:
    modules = list(modules_of(part))
    assert modules
    for module in modules:
        assert imported_parts(module) <= MAY_IMPORT[part] | {part}, module


@pytest.mark.parametrize("part", NEVER_IMPORT)
def test_imports_go_one_way(part: str) -> None:
    modules = list(modules_of(part))
    assert modules
    for module in modules:
        assert not imported_parts(module) & NEVER_IMPORT[part], module


def test_only_the_command_line_stands_above_the_workflows() -> None:
    for module in TREES:
        if part_of(module) not in {"cli", "__main__"}:
            assert "cli" not in imported_parts(module), module


def test_modules_are_not_imported_by_a_text() -> None:
    for module in TREES:
        if module != "imgtranslate":  # whose names are loaded on first use
            named = {n for n in imports(module) if not n.startswith("importlib.metadata")}
            assert not any(name.split(".")[0] == "importlib" for name in named), module
        assert "__import__" not in called(module), module


def test_the_walk_sees_every_form_of_import() -> None:
    tree = ast.parse(
        "import torch.nn\n"
        "from imgtranslate import cli\n"
        "def f():\n    from ..methods.step import ImagePool\n    from . import folders\n"
        "if TYPE_CHECKING:\n    from imgtranslate.training.train import train\n"
    )
    assert imports("imgtranslate.data.cache", tree) >= {
        "torch.nn",
        "imgtranslate.cli",
        "imgtranslate.methods.step",
        "imgtranslate.data.folders",
        "imgtranslate.training.train",
    }
    assert len(TREES) > 40
    assert imported_parts("imgtranslate.builders") == {"settings", "networks"}


# What only some may do


def called(module: str) -> set[str]:
    """Functions and methods that a module calls, as written: ``print``, ``torch.load``."""
    calls = (node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call))
    return {ast.unparse(call.func) for call in calls}


def attributes(module: str) -> set[str]:
    nodes = (node for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute))
    return {ast.unparse(node) for node in nodes}


STREAMS = {"stdin", "stdout", "stderr", "__stdout__", "__stderr__"}


def test_only_the_command_line_writes_to_the_terminal() -> None:
    streams = {f"sys.{stream}" for stream in STREAMS}
    for module in TREES:
        if part_of(module) == "cli":
            continue
        assert not called(module) & {"print", "input", "os.write", "warnings.warn"}, module
        assert not (attributes(module) | imports(module)) & streams, module
        outside = {name.split(".")[0] for name in imports(module)}
        assert not outside & {"rich", "typer", "click", "tqdm"}, module


COMMANDS_TO_COPY = {  # modules that write whole command lines, the same for every reader
    "imgtranslate.demo.demo",  # runs them, and shows them
    "imgtranslate.doctor.self_test",  # says how to mend an installation
    "imgtranslate.evaluation.card.sections",  # tells readers of a card how to use the model
    "imgtranslate.evaluation.report.checks",  # the report lists commands that fill its gaps
    "imgtranslate.evaluation.report.provenance",  # and the one that repeats the run
    "imgtranslate.evaluation.report.report",
    "imgtranslate.runs.info",  # lists what can be done with a file
}


def test_only_the_command_line_names_flags() -> None:
    """Elsewhere a text names settings and parameters, for which the command line shows flags."""
    naming = {
        module: text
        for module, tree in TREES.items()
        if part_of(module) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for text in [node.value]
        if re.search(r"(?<![\w-])(--[a-z]|-o\b)", text)
    }
    assert naming.keys() == COMMANDS_TO_COPY, naming


def test_nothing_is_unpickled() -> None:
    for module in TREES:
        outside = {name.split(".")[0] for name in imports(module)}
        assert not outside & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
        assert not called(module) & {"eval", "exec", "compile"}, module
        for call in ast.walk(TREES[module]):
            if isinstance(call, ast.Call):
                assert is_safe(call), f"{module}, line {call.lineno}"


def is_safe(call: ast.Call) -> bool:
    """Whether a call of torch or numpy that may unpickle is told not to."""
    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if ast.unparse(call.func) in {"torch.load", "torch.hub.load"}:
        return options.get("weights_only") == "True"
    return options.get("allow_pickle", "False") == "False"


@pytest.mark.parametrize(
    ("source", "safe"),
    [
        ("torch.load(path)", False),
        ("torch.load(path, weights_only=False)", False),
        ("torch.load(path, weights_only=True)", True),
        ("np.load(path)", True),
        ("np.load(path, allow_pickle=True)", False),
    ],
)
def test_loading_is_told_from_unpickling(source: str, safe: bool) -> None:
    call = ast.parse(source, mode="eval").body
    assert isinstance(call, ast.Call)
    assert is_safe(call) is safe


PAGE = PACKAGE.parent / "docs" / "layout.md"


def test_the_page_of_the_layout_lists_every_room() -> None:
    tree = PAGE.read_text("utf-8").split("```")[1]
    listed = set(re.findall(r"^  (\w+)(?:/|\.py) ", tree, re.MULTILINE))
    assert listed == PARTS - {"__main__", "_version"}


def test_the_page_of_the_layout_names_no_module_that_does_not_exist() -> None:
    named = set(re.findall(r"`(\w[\w/]*\.py)`", PAGE.read_text("utf-8")))
    assert len(named) > 10
    assert all((PACKAGE / name).is_file() or (PACKAGE.parent / name).is_file() for name in named), (
        named
    )


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "core", "helpers", "helper", "common", "misc", "tools"}
    for module in TREES:
        assert not set(module.split(".")) & drawers, module


def test_the_bottom_knows_no_torch() -> None:
    for module in (
        "images",
        "images.figures",
        "errors",
        "files",
        "settings.config",
        "metrics.pixels",
        "metrics.brightness",
        "metrics.estimate",
        "evaluation.cycle_check.degradations",
        "evaluation.cycle_check.scores",
        "translation.translator",
    ):
        outside = {name.split(".")[0] for name in imports(f"imgtranslate.{module}")}
        assert not outside & {"torch", "torchvision"}, module


# What is loaded when

HEAVY = {
    "torch",
    "torchvision",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pydantic",
    "safetensors",
    "tifffile",
    "imagecodecs",
}


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh Python has loaded after ``code``."""
    tail = "\nimport sys\nprint('loaded', *{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code + tail], check=True, capture_output=True, text=True
    )
    return set(run.stdout.rpartition("loaded ")[2].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import imgtranslate; imgtranslate.__version__; dir(imgtranslate)")
    assert "imgtranslate" in loaded
    assert not loaded & (HEAVY | {"numpy", "PIL", "typer", "rich"})


def test_the_bottom_loads_no_torch() -> None:
    loaded = loaded_by(
        "from imgtranslate import errors, images\n"
        "from imgtranslate.model_files import checkpoint\n"
        "from imgtranslate.settings import config, parsing\n"
        "from imgtranslate.translation import translator\n"
        "parsing.build_settings(layers=[{'data': {'a': 'a', 'b': 'b'}}])"
    )
    assert "pydantic" in loaded
    assert not loaded & {"torch", "torchvision", "onnxruntime"}


SAY = (
    "import sys\n"
    "from imgtranslate import cli\n"
    "def say(*arguments):\n"
    "    sys.argv = ['imgtranslate', *arguments]\n"
    "    try:\n"
    "        cli.main()\n"
    "    except SystemExit as end:\n"
    "        assert end.code == 0, arguments\n"
)


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by(SAY + "say('--help')")
    assert "typer" in loaded
    assert not loaded & (HEAVY | {"numpy", "PIL"})


def test_the_help_of_every_command_loads_nothing_heavy() -> None:
    loaded = loaded_by(
        SAY + "names = [command.name for command in cli.app.registered_commands]\n"
        "assert {'train', 'translate'} <= set(names)\n"
        "for name in names: say(name, '--help')\n"
        "say('--version')"
    )
    heavy = HEAVY - {"pydantic"}  # which Typer itself may load
    assert not loaded & (heavy | {"numpy", "PIL"})


def test_help_is_said_on_stdout() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "imgtranslate", "--help"], capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    for command in ("train", "translate"):
        assert command in run.stdout


# Public names

PUBLIC = {
    "CheckpointError": "imgtranslate.errors",
    "DataError": "imgtranslate.errors",
    "ImageError": "imgtranslate.errors",
    "ImgTranslateError": "imgtranslate.errors",
    "NotebookProgress": "imgtranslate.training.notebook",
    "Translator": "imgtranslate.translation.translator",
    "UsageError": "imgtranslate.errors",
    "__version__": "imgtranslate._version",
    "cycle_check": "imgtranslate.evaluation.cycle_check.check",
    "export": "imgtranslate.exporting.export",
    "load": "imgtranslate.translation.translator",
    "resume": "imgtranslate.training.train",
    "train": "imgtranslate.training.train",
    "translate_folder": "imgtranslate.translation.translate",
    "write_demo_data": "imgtranslate.demo.scenes",
}


def test_the_public_names_are_these() -> None:
    assert imgtranslate.__all__ == sorted(PUBLIC)
    assert dir(imgtranslate) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_found_where_it_is_made(name: str) -> None:
    made = vars(importlib.import_module(PUBLIC[name]))[name]
    assert getattr(imgtranslate, name) is made


def test_all_of_it_can_be_imported_by_a_star() -> None:
    names: dict[str, object] = {}
    exec("from imgtranslate import *", names)
    assert set(PUBLIC) <= set(names)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'imgtranslate' has no attribute 'Translater'"):
        _ = imgtranslate.Translater
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from imgtranslate import Translater")


# Tests


def test_no_test_imports_from_another_test() -> None:
    """What two of them need lies in their room, or in tests/fixtures."""
    for path in Path(__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            assert not source.rpartition(".")[2].startswith("test_"), path
