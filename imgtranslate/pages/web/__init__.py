"""The page that runs a model: in the browser itself, or on the server that sent the page.

Its configuration is one block of JSON in ``index.html``; names from outside stand in that block
alone and reach the page as text, never as markup. The content security policy lets the page load
from its own folder and from nowhere else.
"""

import html
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, Literal

from imgtranslate.pages import json_block, read_part, shown

Engine = Literal["browser", "server"]
INDEX = "index.html"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self'; img-src 'self' blob: data:; style-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
_SCRIPTS = ("codes.js", "engines.js", "page.js", "picture.js", "png.js", "worker.js")


def page_files(engine: Engine, models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the text of every file of the page by its name, ``index.html`` among them.

    ``models``: of each ``name`` (what the engine is asked for), ``direction``, ``source``,
    ``target``, ``in_channels``, ``out_channels``, ``latent_dim``, ``crop_size``; optional
    ``max_pixels``; in the browser also ``file``, ``size`` (bytes) and ``check``.
    """
    index = Template(read_part(f"web/{INDEX}")).substitute(
        title=html.escape(shown(title_of(models))),
        policy=POLICY,
        config=json_block({"engine": engine, "models": [dict(model) for model in models]}),
    )
    scripts = {name: read_part(f"web/{name}") for name in _SCRIPTS}
    return {**scripts, "page.css": read_part("base.css") + read_part("web/page.css"), INDEX: index}


def title_of(models: Sequence[Mapping[str, Any]]) -> str:
    """Name the first model's domains, with a double arrow if the second model leads back."""
    first, last = models[0], models[-1]
    leads_back = (first["source"], first["target"]) == (last["target"], last["source"])
    return f"{first['source']} {'⇄' if leads_back else '→'} {first['target']}"
