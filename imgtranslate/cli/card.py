"""``imgtranslate card``."""

from pathlib import Path
from typing import Annotated

from imgtranslate.cli.options import RunFolder, option
from imgtranslate.cli.terminal import examples, result, say, say_notice
from imgtranslate.errors import counted

EPILOG = examples(
    "imgtranslate card runs/horses2zebras",
    "imgtranslate card runs/horses2zebras -o README.md --overwrite",
)


def card(
    run: RunFolder,
    output: Annotated[
        Path | None,
        option(
            "FILE",
            "Card to write; its picture is written to samples/ beside it.",
            "--output",
            "-o",
            show_default="RUN/README.md",
        ),
    ] = None,
    overwrite: Annotated[
        bool, option("", "Replace an existing card and picture.", "--overwrite")
    ] = False,
) -> None:
    """Write a model card: the README of a model that you hand on or publish.

    It has the data, settings, figures, verdicts, a picture, limits and commands
    of a run, and the front matter that model hubs read. It names folders without
    their paths. Places that need your words are marked TODO.
    """
    from imgtranslate.evaluation.card.card import write_card

    found = write_card(
        run,
        output=output,
        overwrite=overwrite,
        notice=lambda line: say_notice(f"note: {line}"),
    )
    result(str(found.path))
    say(f"{counted(found.todos, 'place')} marked TODO need your words")
    files = [found.path.name, *found.models]
    files += [f"samples/{found.sample.name}"] if found.sample else []
    say(f"publish: {', '.join(files)}; other files of the run name your folders")
