"""``imgtranslate info``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from imgtranslate.cli.terminal import examples, printable, result

EPILOG = examples(
    "imgtranslate info ab.safetensors",
    "imgtranslate info runs/horses2zebras --json",
)


def info(
    path: Annotated[
        Path, typer.Argument(metavar="FILE|RUN", help="A model, export, training state or run.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a file is, its origin and how to use it, without loading weights."""
    from imgtranslate.runs.info import describe

    found = describe(path)
    if as_json:
        result(json.dumps(found.to_json()))
        return
    result(printable(f"{found.path}: {_KINDS[found.kind]}"))
    width = max(map(len, found.facts))
    for name, value in found.facts.items():
        result(printable(f"  {name:<{width}}  {value}"))
    for command in found.use:
        result(printable(f"  $ {command}"))


_KINDS = {
    "run": "a run",
    "model": "a model",
    "export": "an exported model",
    "state": "a training state",
}
