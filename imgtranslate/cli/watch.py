"""``imgtranslate watch``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from imgtranslate.cli.completion import complete_run
from imgtranslate.cli.options import option
from imgtranslate.cli.serve import AllowHost, Host, refuse_missing, warn_of_others
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, result
from imgtranslate.errors import UsageError

EPILOG = examples(
    "imgtranslate watch runs/horses2zebras",
    "imgtranslate watch runs",
    "imgtranslate watch runs/fast runs/horses2zebras --port 0",
)
RUNS = Path("runs")  # where `train` writes by default


def watch(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...",
            help="Runs, or folders of runs.",
            show_default=str(RUNS),
            autocompletion=complete_run,
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, option("N", "Port to listen on; 0 chooses a free one.", min=0, max=65535)
    ] = 8001,
    allow_host: AllowHost = None,
) -> None:
    r"""Show runs in the browser while they are trained.

    The page shows warnings, progress, time left, validation, samples, curves and
    settings, and up to six runs side by side. It reads the files of the runs and
    follows them. New runs in a folder appear. Nothing is written to the disk.

    Only this machine can connect unless --host is given. Ctrl-C stops. Needs
    pip install 'imgtranslate\[serve]'.
    """
    refuse_missing("watch")
    folders = places or [RUNS]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder. Name a run, or a folder of runs")

    from imgtranslate.evaluation.report.live import Watch
    from imgtranslate.serving.server import address_of, bind
    from imgtranslate.serving.watch import watch as watch_runs

    with bind(host, port) as listener, stop_on_signals("stopping", quiet=True) as stopped:
        warn_of_others(host, listener, "see these runs")
        try:
            watch_runs(
                Watch(folders),
                listener,
                names=allow_host or (),
                stop=stopped.is_set,
                ready=lambda: result(address_of(listener)),
            )
        except KeyboardInterrupt:  # the second Ctrl-C waits for no response
            os._exit(stopped.exit_code)
    raise typer.Exit(stopped.exit_code)
