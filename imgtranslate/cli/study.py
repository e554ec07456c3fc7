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
        typer.Option(metavar="RUN|FILE", help="Another model: which of the two is better?"),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="Scored pairs, at most.")] = 40,
    start: Annotated[
        str, typer.Option("--from", metavar="a|b", help="Where the fakes come from.")
    ] = "a",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Else RUN/study.html; replaced if there."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order.")] = 0,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Write a page on which people judge the translations blind.

    A real picture and a fake for one second: which was real? It ends in the
    share fooled, its interval and a CSV. Answers stay in the browser.
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
