"""The documentation site: complete, equal to the pages of the repository, and without a network."""

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fixtures.chromium import BROWSER, browser, served
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ABOVE = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}
SEARCH = """(() => {
  document.querySelector("#__search").click();
  const input = document.querySelector(".md-search__input");
  input.focus();
  input.value = "identity loss";
  for (const kind of ["input", "keyup"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
})()"""


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", text.split("\nnav:\n")[1], re.MULTILINE)
    pages = {path.with_suffix(".md").name for path in DOCS.iterdir() if path.suffix in PAGES}
    assert sorted(named) == sorted(pages | ABOVE), "each page of docs/ once, in nav of mkdocs.yml"


PAGES = {".md", ".ipynb"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as its readers build it."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.slow
def test_nothing_in_the_site_is_loaded_from_another_host(site: Path) -> None:
    """A link of a page may lead elsewhere, when its reader clicks it."""
    pages = [*site.rglob("*.html")]
    assert len(pages) > 25
    for path in pages:
        text = re.sub(r"<a [^>]*>", "", path.read_text("utf-8"))
        assert not re.findall(r'(?:src|href|srcset|action|data)="?(?:https?:)?//[^"> ]*', text), (
            path
        )
    for path in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text("utf-8"))


@pytest.mark.slow
def test_pages_have_the_same_structure_as_in_the_repository(site: Path) -> None:
    """What CommonMark takes for a list, a table or a heading, the site does too."""
    read = MarkdownIt("commonmark").enable("table")
    different = {}
    tags = {"li", "table", "tr", "h2", "h3", "h4", "pre", "img", "em", "strong"}
    for path in sorted({*DOCS.glob("*.md"), *(ROOT / name for name in ABOVE)}):
        if path.name == "python.md":  # whose reference is added
            continue
        name = "index" if path.name == "README.md" else path.stem
        built = (site / f"{name}.html").read_text("utf-8")
        article = built.split("<article")[1].split("</article>")[0]
        wanted, found = (
            Counter(tag for tag in re.findall(r"<(\w+)", text) if tag in tags)
            for text in (read.render(path.read_text("utf-8")), article)
        )
        if found != wanted:
            different[path.name] = found - wanted, wanted - found
    assert different == {}


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_the_site_loads_and_searches_without_a_network(site: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as tab, served(site) as home:
        for start in (home, f"{site.as_uri()}/"):  # a service, and opened as a file
            for page in ("notebook.html", "python.html", "how-it-works.html", "index.html"):
                tab.call("Page.navigate", url=start + page)
                tab.wait(f"document.readyState === 'complete' && location.href.endsWith('{page}')")
            tab.wait("document.querySelector('.md-search__input')")
            tab.tell(SEARCH)
            tab.wait("document.querySelectorAll('.md-search-result__item').length > 3")
        requests = {
            event["params"]["request"]["url"]
            for event in tab.events
            if event.get("method") == "Network.requestWillBeSent"
        }
        assert f"{home}how-it-works.html" in requests
        own = (home, site.as_uri(), "data:", "blob:")
        assert all(address.startswith(own) for address in requests), requests
        assert tab.faults() == []
