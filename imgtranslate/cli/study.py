"""``imgtranslate study``."""

from pathlib import Path
from typing import Annotated

import typer

from imgtranslate.cli.options import Device, Gpu, RunFolder, device_of, directions_from
from imgtranslate.cli.terminal import examples, progress_bar, result

EPILOG = examples(
    "imgtranslate study runs/horses2zebras",
    "imgtranslate study runs/horses2zebras --compare runs/other -o which.html",
)


def study(
    run: RunFolder,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            help="Model or run to compare with: people choose the better of two translations.",
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(min=1, max=100, metavar="N", help="Most pairs that people judge."),
    ] = 40,
    start: Annotated[
        str,
        typer.Option("--from", metavar="a|b", help="Domain of the pictures that are translated."),
    ] = "a",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Page to write; an existing file is replaced.",
            show_default="RUN/study.html",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Random seed of pairs and their order.")
    ] = 0,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Write a page on which people tell real pictures from translated ones.

    The page shows a real picture and a fake for one second and asks which was real.
    At the end it gives the share of wrong answers with its interval, and a CSV file.
    Answers stay in the browser.
    """
    from imgtranslate.evaluation.study import write_study

    with progress_bar("translating") as progress:
        page = write_study(
            run,
            compare=compare,
            output=output,
            count=count,
            direction=directions_from(start)[0],
            seed=seed,
            device=device_of(device, gpu),
            progress=progress,
        )
    result(str(page))
