"""The command line: parse, call one workflow, show its result. One module per command."""

import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Annotated, Literal, TextIO

import typer
from typer.core import TyperCommand

from imgtranslate._version import __version__
from imgtranslate.cli import (
    card,
    cycle_check,
    demo,
    doctor,
    evaluate,
    export,
    import_,
    info,
    report,
    serve,
    study,
    train,
    translate,
    watch,
)
from imgtranslate.cli.terminal import LastingStream, examples, say_error, with_flags, with_quiet
from imgtranslate.errors import ImgTranslateError

app = typer.Typer(
    name="imgtranslate",
    help="Learn to translate pictures of one kind into another, and translate them.",
    epilog=examples(
        "imgtranslate demo",
        "imgtranslate train --a ./horses --b ./zebras --gpu 0",
        "imgtranslate translate in.jpg --model runs/horses2zebras/ab.safetensors",
    ),
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """Learn to translate pictures of one kind into another, and translate them."""
    if version:
        typer.echo(f"imgtranslate {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


MAIN = "Commands"
MORE = "More"


def _add(
    panel: str,
    name: str,
    command: Callable[..., None],
    epilog: str,
    cls: type[TyperCommand] = TyperCommand,
) -> None:
    app.command(name, rich_help_panel=panel, epilog=epilog, cls=cls)(with_quiet(command))


_add(MAIN, "train", train.train, train.EPILOG, cls=train.TrainCommand)
_add(MAIN, "translate", translate.translate, translate.EPILOG)
_add(MAIN, "cycle-check", cycle_check.cycle_check, cycle_check.EPILOG)
_add(MAIN, "export", export.export, export.EPILOG)
_add(MORE, "evaluate", evaluate.evaluate, evaluate.EPILOG)
_add(MORE, "report", report.report, report.EPILOG)
_add(MORE, "watch", watch.watch, watch.EPILOG)
_add(MORE, "study", study.study, study.EPILOG)
_add(MORE, "card", card.card, card.EPILOG)
_add(MORE, "import", import_.import_, import_.EPILOG)
_add(MORE, "info", info.info, info.EPILOG)
_add(MORE, "serve", serve.serve, serve.EPILOG)
_add(MORE, "demo", demo.demo, demo.EPILOG)
_add(MORE, "doctor", doctor.doctor, doctor.EPILOG)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors that users can fix are one line."""
    if list(arguments) == ["help"]:
        arguments = ["--help"]
    try:
        code = app(
            list(arguments),
            prog_name="imgtranslate",
            standalone_mode=False,
            obj=tuple(arguments),  # for train, which starts itself once per GPU
        )
    except ImgTranslateError as error:
        say_error(f"error: {with_flags(str(error))}")
        return error.exit_code
    except typer.TyperException as error:
        said = error.format_message().rstrip(".")
        end = "" if said.endswith("?") else "."
        say_error(f"error: {said}{end} See {_command(arguments)} --help")
        return error.exit_code
    except OSError as error:
        return _report_system_error(error)
    return code if isinstance(code, int) else 0


def _command(arguments: Sequence[str]) -> str:
    """Name the command of a command line, so that a hint leads to its help."""
    names = [command.name for command in app.registered_commands]
    return " ".join(["imgtranslate", *(name for name in arguments[:1] if name in names)])


def main() -> None:
    """Run the command line of this process.

    It makes waiting OpenMP threads of torch spin only briefly: on busy cores, spinning threads
    delay the thread that they wait for.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is loaded
    _open_closed_streams()
    if isinstance(sys.stderr, TextIOWrapper):
        encoding, errors = sys.stderr.encoding, sys.stderr.errors
        lasting = LastingStream(
            sys.stderr.detach(), encoding=encoding, errors=errors, line_buffering=True
        )
        sys.stderr = lasting
        sys.__stderr__ = lasting  # type: ignore[misc]  # the old one is detached
    if isinstance(sys.stdout, TextIOWrapper):  # for file names that the encoding cannot express
        sys.stdout.reconfigure(errors="backslashreplace")
    status = run(sys.argv[1:])
    gc.freeze()  # else Python collects all objects one by one before it ends, which takes 0.1 s
    sys.exit(max(status, _flush_results()) if isinstance(sys.stdout, TextIOWrapper) else status)


def _open_closed_streams() -> None:
    """Open the standard streams that a daemon lacks, so that no other file gets their numbers."""
    sys.stdin = sys.stdin or _devnull("r")
    sys.stdout = sys.stdout or _devnull("w")
    sys.stderr = sys.stderr or _devnull("w")


def _devnull(mode: Literal["r", "w"]) -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")


def _flush_results() -> int:
    """Flush stdout and return an exit status: 1 on failure, which Python would ignore."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _report_system_error(error)
    return 0


def _report_system_error(error: OSError) -> int:
    """Report an error that no command caught: a name too long, a loop of links, a full disk."""
    if isinstance(error, BrokenPipeError):  # the reader of the results has closed the pipe
        return 1
    place = "results" if error.filename is None else str(error.filename)[:200]
    say_error(
        f"error: {place}: {error.strerror or error}. Check the name, permissions and free space"
    )
    return 2 if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else 1
