"""Additions to the documentation site, which mkdocs builds from the pages that are read here too.

They are the pages above ``docs/``, the notebook as a page, and the reference of the public names.
"""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import imgtranslate

DOCS = Path(__file__).parent
ABOVE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
REFERENCE = "python.md"  # the page that ends with the public names


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    for name in ABOVE:
        text = (DOCS.parent / name).read_text("utf-8")
        inside = re.sub(r'(\]\(|src=")docs/', r"\1", text)
        files.append(File.generated(config, name, content=inside))
    for path in sorted(DOCS.glob("*.ipynb")):
        page = notebook_page(json.loads(path.read_text("utf-8")), name=path.name)
        files.append(File.generated(config, f"{path.stem}.md", content=page))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Link pages where the site has them, and add the reference to its page."""
    linked = re.sub(r"(\]\([\w-]+)\.ipynb(#[\w-]+)?\)", r"\1.md\2)", markdown)
    linked = linked.replace("](../", "](")  # to a page above docs/
    if page.file.src_uri != REFERENCE:
        return linked
    names = [name for name in imgtranslate.__all__ if not name.startswith("_")]
    return "\n\n".join([linked, "## Reference", *(f"::: imgtranslate.{name}" for name in names)])


def notebook_page(notebook: dict[str, Any], *, name: str) -> str:
    """Write the cells of a notebook as Markdown; outputs are text and pictures."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            parts.append(_output(output))
    link = f'<p><a href="{name}" download>Download this notebook</a> and run it cell by cell.</p>'
    heading, *rest = parts
    return "\n\n".join([heading, link, *rest])


def _output(output: dict[str, Any]) -> str:
    """Write one output of a cell in the richest form that it has."""
    data = output.get("data", {})
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f'<img alt="Output" src="data:{kind};base64,{"".join(data[kind]).strip()}">'
    if "text/html" in data:
        return f'<div class="output">\n{"".join(data["text/html"]).strip()}\n</div>'
    text = "".join(data.get("text/plain", output.get("text", []))).rstrip()
    return f"```text\n{text}\n```" if text else ""
