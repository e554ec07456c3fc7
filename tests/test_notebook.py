"""The notebook of the docs, run from top to bottom in a kernel."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import imgtranslate

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
STEPS = 40


def test_the_notebook_is_stored_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    names = set(re.findall(r"imgtranslate\.(\w+)", "".join("".join(c["source"]) for c in cells)))
    assert names <= set(imgtranslate.__all__)
    assert {"train", "load", "cycle_check", "export"} <= names


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("nbclient", "ipykernel"))), reason="needs the extra docs"
)
@pytest.mark.filterwarnings("ignore")  # of jupyter, about its connection and its folders
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1]), *sys.path]))
    for variable in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(r"^STEPS = \d+", f"STEPS = {STEPS}", cell.source)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises on an error in a cell

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    pages = [output["data"].get("text/html", "") for output in outputs if "data" in output]
    assert f"{STEPS} steps in " in text
    assert any(f"step {STEPS} of {STEPS}" in page for page in pages)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    assert "translated 16 pictures" in text
    assert "import onnxruntime" in text
    folder = tmp_path / "notebook-demo"
    assert {"ab.onnx", "cycle.png", "pictures", "run", "translated"} <= {
        path.name for path in folder.iterdir()
    }
    assert not any(output.get("name") == "stderr" for output in outputs), outputs
