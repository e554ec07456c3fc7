"""``imgtranslate report``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from imgtranslate.cli.options import Device, Gpu, RunFolder, device_of, option
from imgtranslate.cli.terminal import examples, progress_bar, result, say, say_error
from imgtranslate.errors import ImgTranslateError

if TYPE_CHECKING:
    from imgtranslate.evaluation.documents import Document

EPILOG = examples(
    "imgtranslate report runs/horses2zebras",
    "imgtranslate report runs/horses2zebras -o horses2zebras.html",
)


def report(
    run: RunFolder,
    output: Annotated[
        Path | None,
        option(
            "FILE",
            "Page to write; an existing file is replaced.",
            "--output",
            "-o",
            show_default="RUN/report.html",
        ),
    ] = None,
    count: Annotated[
        int, option("N", "Held-out pictures of each side to translate and show.", min=0, max=100)
    ] = 24,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Write a page that shows what a run has learnt and whether to trust it.

    The page shows loss curves, samples over time, translated held-out pictures
    with their figures, settings, data and warnings. It is one HTML file below
    10 MB that needs no network.
    """
    from imgtranslate.evaluation.report.report import write_report

    with progress_bar("translating") as progress:
        page = write_report(
            run,
            output=output,
            count=count,
            device=device_of(device, gpu),
            progress=progress,
            notice=lambda line: say(f"warning: {line}"),
        )
    result(str(page))


def save(run: Path, check: "Document", *, device: str) -> None:
    """Save the result of a check in its run and on the report; a failure is reported only."""
    from imgtranslate.evaluation.report.report import save_check

    try:
        say(f"wrote {save_check(run, check, device=device)}")
    except ImgTranslateError as error:
        say_error(f"not saved: {error}")
