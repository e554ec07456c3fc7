"""HTML pages of one file each, which need no network and run only their own script.

A page is its template with style and script inside, and one block of JSON. Text from outside
stands in that block alone and reaches the page as text, never as markup; the content security
policy allows this style, this script and pictures inside the file, and nothing else.
"""

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, Literal

Page = Literal["report", "study"]
LONGEST_TEXT = 160  # characters
_STYLES: dict[Page, tuple[str, ...]] = {
    "report": ("base", "report"),
    "study": ("base", "study"),
}
_SCRIPTS: dict[Page, tuple[str, ...]] = {
    "report": ("base", "training", "report"),
    "study": ("base", "study"),
}


def render(page: Page, data: Mapping[str, Any], *, title: str) -> str:
    """Put ``data``, plain values and finite numbers, into a page."""
    style = "".join(read_part(f"{name}.css") for name in _STYLES[page])
    script = "".join(read_part(f"{name}.js") for name in _SCRIPTS[page])
    return Template(read_part(f"{page}.html")).substitute(
        title=html.escape(shown(title)),
        policy=_policy(style=style, script=script),
        style=style,
        script=script,
        data=json_block(data),
    )


def shown(text: str, *, limit: int = LONGEST_TEXT) -> str:
    """Spell out control codes, and cut the middle of a long text, for display on a page."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(plain) <= limit:
        return plain
    return f"{plain[: limit // 3]}…{plain[len(plain) - (limit - limit // 3 - 1) :]}"


def number(value: float | None) -> float | None:
    """Round to six digits; None for a number that JSON cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


def read_part(name: str) -> str:
    """Read a file of this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def json_block(data: Mapping[str, Any]) -> str:
    """Write JSON in ASCII in which no tag, comment or entity can begin."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _policy(*, style: str, script: str) -> str:
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
