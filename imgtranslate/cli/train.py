"""``imgtranslate train``."""

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtranslate.cli.stopping import Stopped, stop_on_signals
from imgtranslate.cli.terminal import examples, printable, result, say
from imgtranslate.cli.together import Place, place_of
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.methods.team import Team
    from imgtranslate.training.events import Report, Stop, TrainResult

Lead = Callable[["Team", "Report", "Stop"], "TrainResult"]

EPILOG = examples(
    "imgtranslate train --a ./horses --b ./zebras --gpu 0",
    "imgtranslate train --a ./horses --b ./zebras --check --sheet sheet.png",
    "imgtranslate train --data ./horse2zebra --preset fast",
    "imgtranslate train --pairs ./facades --pair-order ba --method pix2pix",
    "imgtranslate train --a ./horses --b ./zebras --set method.lambda_identity=0.2",
    "imgtranslate train --resume runs/horses2zebras",
)

DATA = "Pictures"
SIZE = "Method, size and schedule"
RUN = "Run"
STOPPING = "stopping after this step, then saving"


def train(
    context: typer.Context,
    a: Annotated[
        Path | None, typer.Option("--a", help="Folder of pictures A.", rich_help_panel=DATA)
    ] = None,
    b: Annotated[
        Path | None, typer.Option("--b", help="Folder of pictures B.", rich_help_panel=DATA)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --a and --b: a folder with trainA and trainB, or with train.",
            rich_help_panel=DATA,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Instead: a folder of pairs side by side, or a CSV of two columns.",
            rich_help_panel=DATA,
        ),
    ] = None,
    pair_order: Annotated[
        str | None, typer.Option(help="ab: A is left, or first. ba.", rich_help_panel=DATA)
    ] = None,
    resample: Annotated[
        str | None,
        typer.Option(help="bicubic; nearest for label maps.", rich_help_panel=DATA),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check settings and pictures, then stop.", rich_help_panel=DATA
        ),
    ] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --check: a picture of what it doubts, and of some others.",
            rich_help_panel=DATA,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="cyclegan, pix2pix or bicyclegan; dualgan, pix2pix-paper, pix2pix-noise, "
            "cvae-gan, clr-gan.",
            rich_help_panel=SIZE,
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="paper: as published. fast: an evening on a laptop. tiny: to try out.",
            rich_help_panel=SIZE,
        ),
    ] = "paper",
    size: Annotated[
        int | None, typer.Option(help="Side of the training crop, px.", rich_help_panel=SIZE)
    ] = None,
    base_channels: Annotated[
        int | None, typer.Option(help="Width of the generators.", rich_help_panel=SIZE)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs at the full learning rate.", rich_help_panel=SIZE)
    ] = None,
    decay_epochs: Annotated[
        int | None,
        typer.Option(help="Epochs in which the rate falls to 0.", rich_help_panel=SIZE),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Stop here; does not change the learning rate.", rich_help_panel=SIZE),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pictures of each side a step.", rich_help_panel=SIZE)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate of Adam.", rich_help_panel=SIZE)
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help="Number of the GPU; 0,1 trains on both.", rich_help_panel=RUN)
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=RUN)
    ] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32 or bf16.", rich_help_panel=RUN)
    ] = None,
    compile_: Annotated[
        str | None,
        typer.Option("--compile", help="auto, on or off: torch.compile.", rich_help_panel=RUN),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; else runs/<a>2<b>.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run exactly.", rich_help_panel=RUN),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|RUN", help="Begin a new run with these weights.", rich_help_panel=RUN
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random.", rich_help_panel=RUN)
    ] = None,
    workers: Annotated[
        str | None, typer.Option(help="Processes that read pictures; auto.", rich_help_panel=RUN)
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep decoded pictures in this folder, for later runs too.",
            rich_help_panel=RUN,
        ),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(help="Steps between saved states; ten minutes at most.", rich_help_panel=RUN),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings in a TOML file.", rich_help_panel=RUN)
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, as method.lambda_identity=0.2.",
            rich_help_panel=RUN,
        ),
    ] = None,
    channels_a: Annotated[
        int | None, typer.Option(help="3 for colour, 1 for grey.", rich_help_panel=DATA)
    ] = None,
    channels_b: Annotated[
        int | None, typer.Option(help="3 for colour, 1 for grey.", rich_help_panel=DATA)
    ] = None,
) -> None:
    """Learn to translate from pictures of one kind, A, to another, B, and back.

    cyclegan, the default, needs no pairs; pix2pix and bicyclegan do: folders
    with equal names, or --pairs. Makes a folder with ab.safetensors (and
    ba.safetensors), for translate, and what it takes to go on exactly where
    it stopped. An identity loss keeps colours (method.lambda_identity); it
    needs as many channels in A as in B.
    """
    from imgtranslate.settings.parsing import merge

    _refuse_both(gpu, device)
    _refuse_sheet_alone(sheet, check=check)
    flags = {
        "data.crop_size": size,
        "data.pair_order": pair_order,
        "data.resample_a": resample,
        "data.resample_b": resample,
        "data.channels_a": channels_a,
        "data.channels_b": channels_b,
        "data.workers": _number_or_word(workers),
        "data.cache": None if cache is None else str(cache.absolute()),
        "generator.base_channels": base_channels,
        "optimizer.lr": lr,
        "schedule.epochs": epochs,
        "schedule.decay_epochs": decay_epochs,
        "train.batch_size": batch_size,
        "train.compile": compile_,
        "train.precision": precision,
        "train.save_every": save_every,
        "train.seed": seed,
        "train.steps": steps,
    }
    settings = {name: value for name, value in flags.items() if value is not None}
    for section, values in merge(*map(parse_assignment, assignments or [])).items():
        settings |= {f"{section}.{key}": value for key, value in values.items()}
    if resume is not None:
        fresh = {"--a": a, "--b": b, "--data": data, "--pairs": pairs, "--out": out}
        others = {"--config": config, "--method": method, "--init": init}
        given = [name for name, value in (*fresh.items(), *others.items()) if value is not None]
        given += [name for name, on in (("--preset", preset != "paper"), ("--check", check)) if on]
        _refuse_fresh(resume, given)
    place = place_of(context.obj or sys.argv[1:], gpu=gpu, device=device)
    if resume is not None:
        _resume(resume, settings, place)
        return
    options: dict[str, Any] = {"a": a, "b": b, "data": data, "pairs": pairs, "out": out}
    options |= {"method": method, "preset": preset, "config": config, "init": init, "sheet": sheet}
    options |= {"settings": settings, "device": place.device, "processes": place.processes}
    if check:
        _check(options, place)
    else:
        _train(options, place)


def _check(options: dict[str, Any], place: Place) -> None:
    """The first process checks, whatever the number of the others."""
    from imgtranslate.cli.train_display import TrainingDisplay
    from imgtranslate.data_check.sheet import write_sheet
    from imgtranslate.training.train import plan_training

    if place.rank > 0:
        return
    with TrainingDisplay() as display, stop_on_signals(STOPPING):
        plan = plan_training(**options, fresh=False, report=display.show)
        if options["sheet"] is not None:
            write_sheet(options["sheet"], plan.report, plan.settings)
    for line in (*plan.report.lines, *(f"warning: {text}" for text in plan.report.warnings)):
        result(printable(line))


def _train(options: dict[str, Any], place: Place) -> None:
    from imgtranslate.training.events import Notice
    from imgtranslate.training.request import begun_by
    from imgtranslate.training.train import plan_training, resume, start

    def lead(team: "Team", report: "Report", stop: "Stop") -> "TrainResult":
        begun = begun_by(place.launch_name, options)
        if begun is not None:
            report(Notice(text=f"{begun}: begun by this launch. Going on with it"))
            return resume(begun, device=place.device, team=team, report=report, stop=stop)
        plan = plan_training(**options, launch=place.launch_name, report=report)
        return start(plan, team=team, report=report, stop=stop)

    _learn(place, lead)


def _resume(run: Path, settings: dict[str, Any], place: Place) -> None:
    from imgtranslate.training.train import resume

    def lead(team: "Team", report: "Report", stop: "Stop") -> "TrainResult":
        device = place.device
        return resume(run, settings=settings, device=device, team=team, report=report, stop=stop)

    _learn(place, lead)


def _learn(place: Place, lead: Lead) -> None:
    """Lead, or follow the process that does, which alone shows something."""
    from imgtranslate.cli.train_display import TrainingDisplay
    from imgtranslate.training.train import follow

    with place.joined() as team, stop_on_signals(STOPPING, quiet=not team.leads) as stopped:
        if not team.leads:
            follow(team, device=place.device, stop=stopped.is_set)
            return
        with TrainingDisplay() as display:
            finish(lead(team, display.show, stopped.is_set), stopped)


def finish(outcome: "TrainResult", stopped: Stopped) -> None:
    """Say where the run stands; exit as shells expect after a signal, to whichever process."""
    if not outcome.finished:
        say(f"stopped at step {outcome.step} of {outcome.total_steps}. Go on with:")
        say(f"  imgtranslate train --resume {outcome.run}")
        raise typer.Exit(stopped.exit_code)
    result(str(outcome.run))


def _refuse_both(gpu: str | None, device: str) -> None:
    if gpu is not None and device != "auto":
        raise UsageError(f"--gpu {gpu}, --device {device}: both name a device. Give one of them")


def _refuse_sheet_alone(sheet: Path | None, *, check: bool) -> None:
    if sheet is not None and not check:
        raise UsageError(f"--sheet {sheet}: is written by --check alone. Add --check")


def _refuse_fresh(run: Path, given: list[str]) -> None:
    if given:
        raise UsageError(
            f"--resume {run}: takes its pictures and settings from the run, so {given[0]} does not "
            "fit with it. Leave it out"
        )


def parse_assignment(text: str) -> dict[str, dict[str, Any]]:
    """Turn ``section.name=value``, the form of ``--set``, into nested dictionaries.

    The value is TOML where it can be read as such, else plain text.
    """
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise UsageError(
            f"--set {text}: not of the form section.name=value. "
            "For example --set method.lambda_identity=0.2"
        )
    try:
        return {section: {key: tomllib.loads(f"value = {value.strip()}")["value"]}}
    except (ValueError, RecursionError):  # no TOML, or more of it than Python reads
        return {section: {key: value.strip()}}


def _number_or_word(text: str | None) -> int | str | None:
    short = text is not None and text.isdecimal() and len(text) < 10  # digits that Python reads
    return int(text) if text is not None and short else text
