"""``imgtranslate study``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.terminal import examples, is_terminal, result
from imgtranslate.errors import nearest

if TYPE_CHECKING:
    from imgtranslate.model_files.checkpoint import Direction

EPILOG = examples(
    "imgtranslate study runs/horses2zebras",
    "imgtranslate study runs/horses2zebras --compare runs/other -o which.html",
)


def study(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    gpu: Annotated[str | None, typer.Option(help="Number of the GPU.")] = None,
) -> None:
    """Write a page on which people judge the translations blind.

    A real picture and a fake for one second: which was real? It ends in the
    share fooled, its interval and a CSV. Answers stay in the browser.
    """
    from rich.console import Console
    from rich.progress import Progress

    from imgtranslate.device import device_of_gpu
    from imgtranslate.evaluation.study import write_study

    direction = _direction(start)
    chosen = device_of_gpu(gpu) if gpu is not None else device
    with Progress(console=Console(stderr=True), transient=True, disable=not is_terminal()) as bar:
        task = bar.add_task("translating", total=None)
        page = write_study(
            run,
            compare=compare,
            output=output,
            count=count,
            direction=direction,
            seed=seed,
            device=chosen,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    result(str(page))


def _direction(start: str) -> "Direction":
    return "ab" if nearest(start.lower(), ("a", "b"), what="--from") == "a" else "ba"
