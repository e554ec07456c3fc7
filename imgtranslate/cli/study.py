"""``imgtranslate study``."""

from pathlib import Path
from typing import Annotated

from imgtranslate.cli.options import Device, Gpu, RunFolder, device_of, directions_from, option
from imgtranslate.cli.terminal import examples, progress_bar, result

EPILOG = examples(
    "imgtranslate study runs/horses2zebras",
    "imgtranslate study runs/horses2zebras --compare runs/other -o which.html",
)


def study(
    run: RunFolder,
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
