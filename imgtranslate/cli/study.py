"""``imgtranslate study``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.completion import complete_run
from imgtranslate.cli.options import Device, Gpu, device_of, directions_from, option
from imgtranslate.cli.terminal import examples, printable, progress_bar, result
from imgtranslate.errors import UsageError, counted

if TYPE_CHECKING:
    from imgtranslate.evaluation.study_answers import Collected

EPILOG = examples(
    "imgtranslate study runs/horses2zebras",
    "imgtranslate study runs/horses2zebras --compare runs/other -o which.html",
    "imgtranslate study --collect answers/*.csv",
)
FEW_PEOPLE = 5


def study(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|FILE.csv...",
            help="Folder of a run; with --collect, the files that the page saved, one a person.",
            autocompletion=complete_run,
        ),
    ],
    collect: Annotated[
        bool, option("", "Gather the answers of several people to one study.", "--collect")
    ] = False,
    compare: Annotated[
        Path | None,
        option(
            "RUN|FILE",
            "Model or run to compare with: people choose the better of two translations.",
        ),
    ] = None,
    count: Annotated[int, option("N", "Most pairs that people judge.", min=1, max=100)] = 40,
    start: Annotated[
        str, option("a|b", "Domain of the pictures that are translated.", "--from")
    ] = "a",
    output: Annotated[
        Path | None,
        option(
            "FILE",
            "Page to write; an existing file is replaced.",
            "--output",
            "-o",
            show_default="RUN/study.html",
        ),
    ] = None,
    seed: Annotated[int, option("N", "Random seed of pairs and their order.", min=0)] = 0,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Write a page on which people tell real pictures from translated ones.

    The page shows a real picture and a fake for one second and asks which was
    real. At the end it gives the share of wrong answers with its interval, and a
    CSV file. Answers stay in the browser. With --collect, print the result of
    many such files: the share for each model with its interval, and the agreement
    of the people.
    """
    if collect:
        if compare is not None or output is not None:
            raise UsageError("--collect: reads answers and writes no page. Leave other options out")
        from imgtranslate.evaluation.study_answers import collect as collect_answers

        for line in _lines(collect_answers(inputs)):
            result(printable(line))
        return
    if len(inputs) > 1:
        raise UsageError(f"RUN: {len(inputs)} given. Name one, or gather answers with --collect")

    from imgtranslate.evaluation.study import write_study

    with progress_bar("translating") as progress:
        page = write_study(
            inputs[0],
            compare=compare,
            output=output,
            count=count,
            direction=directions_from(start)[0],
            seed=seed,
            device=device_of(device, gpu),
            progress=progress,
        )
    result(str(page))


def _lines(found: "Collected") -> Iterator[str]:
    answers = found.people * found.trials
    real = found.mode == "fooled"
    people = counted(found.people, "person", "people")
    yield f"{'real or fake' if real else 'which is better'}: {people}, {found.trials} pairs each"
    width = max(len(share.model) for share in found.shares)
    for share in found.shares:
        low, high = share.interval
        yield (
            f"  {share.model:<{width}}  {'taken for real' if real else 'preferred'} in "
            f"{share.value:.1%} of {answers:,} answers (95 % interval {low:.1%} to {high:.1%})"
        )
    if found.same is not None:
        kappa = "not defined" if found.kappa is None else f"{found.kappa:.2f}"
        yield f"  by person  {min(found.by_person):.1%} to {max(found.by_person):.1%}"
        yield f"  agreement  {found.same:.1%} of the answers of two people; Fleiss' kappa {kappa}"
    if found.people < FEW_PEOPLE:
        yield f"  few people  with fewer than {FEW_PEOPLE}, the interval says little about others"
