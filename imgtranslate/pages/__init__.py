"""HTML pages of one file each, which need no network and run only their own script.

A page is its template with style and script inside, and one block of JSON. Text from outside
stands in that block alone and reaches the page as text, never as markup; the content security
policy allows this style, this script and pictures inside the file, and nothing else. The page of
`watch` also loads runs and pictures from the server that sent it.
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

Page = Literal["report", "study", "watch"]
LONGEST_TEXT = 160  # characters
_STYLES: dict[Page, tuple[str, ...]] = {
    "report": ("base", "report"),
    "study": ("base", "study"),
    "watch": ("base", "report", "watch"),
}
_SCRIPTS: dict[Page, tuple[str, ...]] = {
    "report": ("base", "training", "report"),
    "study": ("base", "study"),
    "watch": ("base", "training", "watch"),
}
_SOURCES: dict[Page, str] = {  # of pictures and data
    "report": "img-src data:",
    "study": "img-src data:",
    "watch": "img-src 'self' data:; connect-src 'self'",
}


def render(page: Page, data: Mapping[str, Any], *, title: str) -> str:
    """Put ``data``, plain values and finite numbers, into a page."""
    style = "".join(read_part(f"{name}.css") for name in _STYLES[page])
    script = "".join(read_part(f"{name}.js") for name in _SCRIPTS[page])
    return Template(read_part(f"{page}.html")).substitute(
        title=html.escape(shown(title)),
        policy=_policy(page, style=style, script=script),
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


def _policy(page: Page, *, style: str, script: str) -> str:
    return (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; {_SOURCES[page]}; "
        f"style-src {_digest(style)}; script-src {_digest(script)}"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
