"""``imgtranslate info``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from imgtranslate.cli.completion import complete_model
from imgtranslate.cli.options import option
from imgtranslate.cli.terminal import examples, printable, result

EPILOG = examples(
    "imgtranslate info ab.safetensors",
    "imgtranslate info runs/horses2zebras --json",
)


def info(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|RUN",
            help="Model, export, training state or run to describe.",
            autocompletion=complete_model,
        ),
    ],
    as_json: Annotated[bool, option("", "Print one JSON object.", "--json")] = False,
) -> None:
    """Describe a model, export, training state or run, and list the commands that use it.

    Only headers are read, so large files take no longer than small ones.
    """
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
