"""``imgtranslate train``."""

import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgtranslate.cli.stopping import Stopped, stop_on_signals
from imgtranslate.cli.terminal import examples, printable, result, say
from imgtranslate.cli.training_processes import Place, place_of
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.methods.process_group import ProcessGroup
    from imgtranslate.training.events import Report, Stop, TrainResult
    from imgtranslate.training.request import Request

Lead = Callable[["ProcessGroup", "Report", "Stop"], "TrainResult"]

EPILOG = examples(
    "imgtranslate train --a ./horses --b ./zebras --gpu 0",
    "imgtranslate train --a ./horses --b ./zebras --check --sheet sheet.png",
    "imgtranslate train --data ./horse2zebra --preset fast",
    "imgtranslate train --pairs ./facades --pair-order ba --method pix2pix",
    "imgtranslate train --a ./horses --b ./zebras --set method.lambda_identity=0.2",
    "imgtranslate train --resume runs/horses2zebras",
)

STOPPING = "stopping after this step, then saving"
data_option = partial(typer.Option, rich_help_panel="Pictures")
size_option = partial(typer.Option, rich_help_panel="Method, size and schedule")
run_option = partial(typer.Option, rich_help_panel="Run")


def train(
    context: typer.Context,
    a: Annotated[Path | None, data_option("--a", help="Folder of pictures A.")] = None,
    b: Annotated[Path | None, data_option("--b", help="Folder of pictures B.")] = None,
    data: Annotated[
        Path | None,
        data_option(help="Instead of --a and --b: a folder with trainA and trainB, or with train."),
    ] = None,
    pairs: Annotated[
        Path | None,
        data_option(help="Instead: a folder of pairs side by side, or a CSV of two columns."),
    ] = None,
    pair_order: Annotated[
        str | None, data_option(help="Which of a pair is A: ab: the left or first one; ba.")
    ] = None,
    resample: Annotated[
        str | None, data_option(help="bicubic; nearest keeps the colours of label maps.")
    ] = None,
    check: Annotated[
        bool, data_option("--check", help="Check settings and pictures, then stop.")
    ] = False,
    sheet: Annotated[
        Path | None,
        data_option(
            metavar="FILE", help="With --check: draw suspicious pictures, and some others, here."
        ),
    ] = None,
    method: Annotated[
        str | None,
        size_option(
            help="cyclegan, pix2pix or bicyclegan; dualgan, pix2pix-paper, pix2pix-noise, "
            "cvae-gan, clr-gan."
        ),
    ] = None,
    preset: Annotated[
        str,
        size_option(help="paper: as published. fast: an evening on a laptop. tiny: to try out."),
    ] = "paper",
    size: Annotated[int | None, size_option(help="Side of the training crop, px.")] = None,
    base_channels: Annotated[int | None, size_option(help="Width of the generators.")] = None,
    epochs: Annotated[int | None, size_option(help="Epochs at the full learning rate.")] = None,
    decay_epochs: Annotated[
        int | None, size_option(help="Epochs in which the rate falls to 0.")
    ] = None,
    steps: Annotated[
        int | None, size_option(help="Stop here; does not change the learning rate.")
    ] = None,
    batch_size: Annotated[int | None, size_option(help="Pictures of each side per step.")] = None,
    lr: Annotated[float | None, size_option(help="Learning rate.")] = None,
    gpu: Annotated[str | None, run_option(help="Number of the GPU; 0,1 trains on both.")] = None,
    device: Annotated[str, run_option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str | None, run_option(help="auto, fp32 or bf16.")] = None,
    compile_: Annotated[
        str | None, run_option("--compile", help="torch.compile: auto, on or off.")
    ] = None,
    out: Annotated[Path | None, run_option(help="Folder of the run; else runs/<a>2<b>.")] = None,
    resume: Annotated[
        Path | None, run_option(metavar="RUN", help="Continue a run exactly where it stopped.")
    ] = None,
    init: Annotated[
        Path | None, run_option(metavar="FILE|RUN", help="Begin a new run with these weights.")
    ] = None,
    seed: Annotated[int | None, run_option(help="Random seed.")] = None,
    workers: Annotated[
        str | None, run_option(help="Processes that read pictures: auto, or 0 and more.")
    ] = None,
    cache: Annotated[
        Path | None,
        run_option(metavar="DIR", help="Keep decoded pictures in this folder, for later runs too."),
    ] = None,
    save_every: Annotated[
        int | None, run_option(help="Steps between saved states; ten minutes at most.")
    ] = None,
    config: Annotated[Path | None, run_option(help="Settings in a TOML file.")] = None,
    assignments: Annotated[
        list[str] | None,
        run_option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, as method.lambda_identity=0.2. Repeatable.",
        ),
    ] = None,
    channels_a: Annotated[int | None, data_option(help="3 for colour, 1 for grey.")] = None,
    channels_b: Annotated[int | None, data_option(help="3 for colour, 1 for grey.")] = None,
) -> None:
    """Learn to translate from pictures of one kind, A, to another, B, and back.

    cyclegan, the default, needs no pairs; pix2pix and bicyclegan do: folders
    with equal names, or --pairs. Makes a folder with ab.safetensors (and
    ba.safetensors) for translate, and with the state to resume exactly where
    it stopped. An identity loss keeps colours (method.lambda_identity); it
    needs as many channels in A as in B.
    """
    if gpu is not None and device != "auto":
        raise UsageError(f"--gpu {gpu}, --device {device}: both name a device. Give one of them")
    if sheet is not None and not check:
        raise UsageError(f"--sheet {sheet}: is written by --check alone. Add --check")
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
    settings |= dict(map(parse_assignment, assignments or []))
    if resume is not None:
        fresh: dict[str, object] = {"--a": a, "--b": b, "--data": data, "--pairs": pairs}
        fresh |= {"--out": out, "--config": config, "--method": method, "--init": init}
        fresh |= {"--preset": None if preset == "paper" else preset, "--check": check or None}
        given = [flag for flag, value in fresh.items() if value is not None]
        if given:
            raise UsageError(
                f"--resume {resume}: takes its pictures and settings from the run, so {given[0]} "
                "does not fit with it. Leave it out"
            )
    place = place_of(context.obj or sys.argv[1:], gpu=gpu, device=device)
    if resume is not None:
        _resume(resume, settings, place)
        return
    from imgtranslate.training.request import Request

    request = Request(
        a=a, b=b, data=data, pairs=pairs, out=out, method=method, preset=preset, config=config,
        settings=settings,
    )  # fmt: skip
    if check:
        _check(request, place, init=init, sheet=sheet)
    else:
        _train(request, place, init=init)


def _check(request: "Request", place: Place, *, init: Path | None, sheet: Path | None) -> None:
    """Check in the first process alone."""
    from imgtranslate.cli.train_display import TrainingDisplay
    from imgtranslate.data_check.sheet import write_sheet
    from imgtranslate.training.train import plan_training

    if place.launch.rank > 0:
        return
    with TrainingDisplay() as display, stop_on_signals(STOPPING):
        plan = plan_training(
            request,
            device=place.device,
            init=init,
            sheet=sheet,
            fresh=False,
            processes=place.launch.size,
            report=display.show,
        )
        if sheet is not None:
            write_sheet(sheet, plan.report, plan.settings)
    for line in (*plan.report.lines, *(f"warning: {text}" for text in plan.report.warnings)):
        result(printable(line))


def _train(request: "Request", place: Place, *, init: Path | None) -> None:
    from imgtranslate.training.events import Notice
    from imgtranslate.training.request import find_begun
    from imgtranslate.training.train import plan_training, resume, start

    def lead(group: "ProcessGroup", report: "Report", stop: "Stop") -> "TrainResult":
        begun = find_begun(request, place.launch.name)
        if begun is not None:
            report(Notice(text=f"{begun}: begun by this launch. Going on with it"))
            return resume(begun, device=place.device, group=group, report=report, stop=stop)
        plan = plan_training(
            request,
            device=place.device,
            init=init,
            processes=place.launch.size,
            launch=place.launch.name,
            report=report,
        )
        return start(plan, group=group, report=report, stop=stop)

    _learn(place, lead)


def _resume(run: Path, settings: dict[str, Any], place: Place) -> None:
    from imgtranslate.training.train import resume

    def lead(group: "ProcessGroup", report: "Report", stop: "Stop") -> "TrainResult":
        device = place.device
        return resume(run, settings=settings, device=device, group=group, report=report, stop=stop)

    _learn(place, lead)


def _learn(place: Place, lead: Lead) -> None:
    """Lead the training and show it, or follow the rank that leads."""
    from imgtranslate.cli.train_display import TrainingDisplay
    from imgtranslate.training.train import follow

    with place.joined() as group, stop_on_signals(STOPPING, quiet=not group.leads) as stopped:
        if not group.leads:
            follow(group, device=place.device, stop=stopped.is_set)
            return
        with TrainingDisplay() as display:
            finish(lead(group, display.show, stopped.is_set), stopped)


def finish(outcome: "TrainResult", stopped: Stopped) -> None:
    """Print the run; after a signal say how to resume, and exit with the signal's status."""
    if not outcome.finished:
        say(f"stopped at step {outcome.step} of {outcome.total_steps}. Go on with:")
        say(f"  imgtranslate train --resume {outcome.run}")
        raise typer.Exit(stopped.exit_code)
    result(str(outcome.run))


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse ``section.name=value``, the form of ``--set``; a value that is no TOML is text."""
    name, equals, value = (part.strip() for part in text.partition("="))
    section, _, key = name.partition(".")
    if not (equals and section and key):
        raise UsageError(
            f"--set {text}: not of the form section.name=value. "
            "For example --set method.lambda_identity=0.2"
        )
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # no TOML, or more of it than Python reads
        return name, value


def _number_or_word(text: str | None) -> int | str | None:
    """Read up to 9 digits as a number; the settings refuse other text."""
    short = text is not None and text.isdecimal() and len(text) < 10
    return int(text) if text is not None and short else text
