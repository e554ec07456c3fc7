"""``imgtranslate train``."""

import json
import math
import sys
import time
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperCommand, TyperOption

from imgtranslate.cli.completion import (
    complete_device,
    complete_method,
    complete_preset,
    complete_setting,
)
from imgtranslate.cli.options import Place, option, place_of
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, printable, result, say, say_error, with_flags
from imgtranslate.errors import UsageError, nearest
from imgtranslate.settings.config import LogName

if TYPE_CHECKING:
    from imgtranslate.training.request import Request

EPILOG = examples(
    "imgtranslate train --a ./horses --b ./zebras --check --sheet sheet.png",
    "imgtranslate train --a ./horses --b ./zebras --gpu 0",
    "imgtranslate train --data ./horse2zebra --preset fast",
    "imgtranslate train --pairs ./facades --pair-order ba --method pix2pix",
    "imgtranslate train --data ./horse2zebra --set method.lambda_identity=0.2",
    "imgtranslate train --resume runs/horses2zebras",
)

STOPPING = "stopping after this step, then saving"
data_option = partial(option, rich_help_panel="Pictures")
size_option = partial(option, rich_help_panel="Method, size and schedule")
run_option = partial(option, rich_help_panel="Run")
setting_option = partial(option, rich_help_panel="All settings")


class TrainCommand(TyperCommand):
    """The command ``train``, whose options are explained from the settings when help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help with all choices at its end."""
        from imgtranslate.cli.settings_help import list_choices

        self._explain()
        self.epilog = f"{list_choices()}\n\n{EPILOG}"
        super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete options, or the value of a setting after ``=``, which bash takes for a word."""
        unfinished = (ctx.params.get("assignments") or [""])[-1]
        if unfinished and "=" not in unfinished:
            (setting,) = (each for each in self.params if each.name == "assignments")
            items = setting.shell_complete(ctx, f"{unfinished}={incomplete}")
            for item in items:
                item.value = item.value.partition("=")[2]
            return [item for item in items if item.value]
        self._explain()
        return super().shell_complete(ctx, incomplete)

    def _explain(self) -> None:
        from imgtranslate.cli.settings_help import explain_flag

        for each in self.params:
            if isinstance(each, TyperOption) and each.help is None:
                each.help = explain_flag(each.opts[0])


def train(
    context: typer.Context,
    # Pictures
    a: Annotated[Path | None, data_option("DIR", None, "--a")] = None,
    b: Annotated[Path | None, data_option("DIR", None, "--b")] = None,
    data: Annotated[
        Path | None,
        data_option(
            "DIR",
            "Both sides in one folder: trainA and trainB (held out: testA, testB), or pairs "
            "in train (held out: val or test).",
        ),
    ] = None,
    pairs: Annotated[Path | None, data_option("DIR|FILE")] = None,
    pair_order: Annotated[str | None, data_option("ORDER")] = None,
    channels_a: Annotated[int | None, data_option("N")] = None,
    channels_b: Annotated[int | None, data_option("N")] = None,
    resample: Annotated[
        str | None,
        data_option(
            "FILTER",
            "Resizing filter of both sides; nearest preserves the colours of label maps. "
            "[dim]\\[bicubic, nearest; default bicubic][/dim]",
        ),
    ] = None,
    check: Annotated[
        bool,
        data_option("", "Check settings and pictures, print the findings and exit.", "--check"),
    ] = False,
    sheet: Annotated[
        Path | None,
        data_option("FILE", "New picture that shows what --check found, and random samples."),
    ] = None,
    # Method, size and schedule
    method: Annotated[
        str | None,
        size_option(
            "NAME",
            "Losses and networks. cyclegan and cut need no pairs, and cut learns A to B alone; "
            "pix2pix and bicyclegan need pairs. Their variants: dualgan; fastcut; pix2pix-paper, "
            "pix2pix-noise; cvae-gan, clr-gan. "
            "[dim]\\[default cyclegan][/dim]",
            autocompletion=complete_method,
        ),
    ] = None,
    preset: Annotated[
        str,
        size_option(
            "NAME",
            "Size and schedule. paper: as published, 256 px, 200 epochs (cut: 400). fast: for a "
            "laptop, 128 px, 20 epochs. tiny: for a trial, 64 px, 2000 steps. "
            "[dim]\\[default paper][/dim]",
            show_default=False,
            autocompletion=complete_preset,
        ),
    ] = "paper",
    size: Annotated[int | None, size_option("PX")] = None,
    base_channels: Annotated[int | None, size_option("N")] = None,
    epochs: Annotated[int | None, size_option("N")] = None,
    decay_epochs: Annotated[int | None, size_option("N")] = None,
    steps: Annotated[int | None, size_option("N")] = None,
    batch_size: Annotated[int | None, size_option("N")] = None,
    lr: Annotated[float | None, size_option("X")] = None,
    # Run
    gpu: Annotated[
        str | None,
        run_option(
            "N[,N]",
            "Number of the GPU to train on, from 0; several, as in 0,1, share each batch. "
            "[dim]\\[default: see --device][/dim]",
        ),
    ] = None,
    device: Annotated[
        str,
        run_option(
            "NAME",
            "Device to train on; auto is the first GPU, else the CPU. "
            "[dim]\\[auto, cpu, cuda, cuda:N, mps; default auto][/dim]",
            show_default=False,
            autocompletion=complete_device,
        ),
    ] = "auto",
    precision: Annotated[str | None, run_option("NAME")] = None,
    compile_: Annotated[str | None, run_option("MODE", None, "--compile")] = None,
    out: Annotated[
        Path | None,
        run_option(
            "DIR", "Folder of the new run. [dim]\\[default runs/<a>2<b>: runs/horses2zebras][/dim]"
        ),
    ] = None,
    resume: Annotated[
        Path | None, run_option("RUN", "Run to continue from the step at which it was saved.")
    ] = None,
    init: Annotated[
        Path | None,
        run_option(
            "FILE|RUN", "Initial weights of a new run: a model file, or a run for all its networks."
        ),
    ] = None,
    seed: Annotated[int | None, run_option("N")] = None,
    workers: Annotated[str | None, run_option("N")] = None,
    cache: Annotated[Path | None, run_option("DIR")] = None,
    save_every: Annotated[int | None, run_option("N")] = None,
    dry_run: Annotated[
        bool,
        run_option(
            "",
            "Measure a few steps, print the time, memory and disk space that the training needs, "
            "and exit; nothing is written.",
            "--dry-run",
        ),
    ] = False,
    max_hours: Annotated[
        float | None,
        run_option("H", "Stop after this many hours of this process, above 0, and save the run."),
    ] = None,
    log: Annotated[list[str] | None, run_option("NAME")] = None,
    # Other settings
    assignments: Annotated[
        list[str] | None,
        setting_option(
            "NAME=VALUE",
            "Set any setting, as in method.lambda_identity=0.2. Repeatable.",
            "--set",
            autocompletion=complete_setting,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        setting_option(
            "FILE", "TOML file of settings, such as the config.toml of a run. Flags and --set win."
        ),
    ] = None,
    list_settings: Annotated[
        bool,
        setting_option(
            "",
            "Print every setting with its default, its values and what it controls, and exit.",
            "--list-settings",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        setting_option(
            "",
            "Print --list-settings as JSON, or --check with all pictures of its findings.",
            "--json",
        ),
    ] = False,
) -> None:
    """Learn to translate pictures of one kind, A, into another, B.

    Without pairs (cyclegan, cut) give two folders, --a and --b. With pairs
    (pix2pix, bicyclegan) give two folders with equal file names, or --pairs. A
    training writes a run: a folder with the models for translate, samples, a
    report, and the state from which --resume continues.
    """
    if list_settings:
        from imgtranslate.cli.settings_help import print_settings

        print_settings(as_json=as_json)
        return
    if as_json and not check:
        raise UsageError("--json: works with --check and --list-settings. Add one of them")
    if gpu is not None and device != "auto":
        raise UsageError(f"--gpu {gpu}, --device {device}: both name a device. Give one of them")
    if dry_run and check:
        raise UsageError("--dry-run, --check: give one of them; --dry-run checks the pictures too")
    if dry_run and gpu is not None and "," in gpu:
        raise UsageError(f"--gpu {gpu}: --dry-run measures one GPU. Give one")
    if max_hours is not None and not 0 < max_hours < math.inf:
        raise UsageError(f"--max-hours {max_hours:g}: not a number of hours above 0. Give one")
    if sheet is not None and not check:
        raise UsageError(f"--sheet {sheet}: works with --check only. Add --check")
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
        "train.log": [nearest(name, get_args(LogName), what="--log") for name in log or ()] or None,
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
        fresh |= {"--dry-run": dry_run or None}
        given = [flag for flag, value in fresh.items() if value is not None]
        if given:
            raise UsageError(
                f"--resume {resume}: uses the pictures and settings of the run, so {given[0]} "
                f"cannot be combined with it. Leave {given[0]} out"
            )
    place = place_of(context.obj or sys.argv[1:], gpu=gpu, device=device)
    from imgtranslate.training.request import Request

    request = Request(
        a=a, b=b, data=data, pairs=pairs, out=out, method=method, preset=preset, config=config,
        settings=settings,
    )  # fmt: skip
    if check:
        _check(request, place, init=init, sheet=sheet, as_json=as_json)
    elif dry_run:
        _dry_run(request, place, init=init)
    else:
        _train(request, place, run=resume, init=init, max_hours=max_hours)


def _check(
    request: "Request", place: Place, *, init: Path | None, sheet: Path | None, as_json: bool
) -> None:
    """Run the check in the first process only."""
    from imgtranslate.cli.train_display import TrainingDisplay, has_more_pictures
    from imgtranslate.data_check.findings import RefusedPicturesError
    from imgtranslate.data_check.sheet import write_sheet
    from imgtranslate.training.train import plan_training

    if place.launch.rank > 0:
        return
    try:
        with TrainingDisplay() as display, stop_on_signals(STOPPING):
            plan = plan_training(
                request,
                device=place.device,
                init=init,
                sheet=sheet,
                fresh=False,
                launch=place.launch,
                report=display.show,
            )
            if sheet is not None:
                write_sheet(sheet, plan.report, plan.settings)
    except RefusedPicturesError as error:
        if as_json:
            refused = {"lines": [], "warnings": [], "findings": [error.finding.to_json()]}
            result(json.dumps(refused))
        raise
    if as_json:
        result(json.dumps(plan.report.to_json()))
        return
    for line in (*plan.report.lines, *(f"warning: {text}" for text in plan.report.warnings)):
        result(printable(with_flags(line)))
    if has_more_pictures(plan.report):
        result("note: --check --json lists all pictures of each line")


def _dry_run(request: "Request", place: Place, *, init: Path | None) -> None:
    """Print the costs of a training, measured in the first process only."""
    from imgtranslate.cli.train_display import TrainingDisplay, say_costs
    from imgtranslate.training.dry_run import measure_costs
    from imgtranslate.training.train import plan_training

    if place.launch.rank > 0:
        return
    with stop_on_signals("stopping after this step") as stopped:
        with TrainingDisplay() as display:
            plan = plan_training(
                request, device=place.device, init=init, fresh=False, report=display.show
            )
        say(f"measuring a few steps on {plan.device}")
        costs = measure_costs(plan, stop=stopped.is_set)
    if costs is None:
        raise typer.Exit(stopped.exit_code)
    say_costs(costs)


def _train(
    request: "Request",
    place: Place,
    *,
    run: Path | None,
    init: Path | None,
    max_hours: float | None,
) -> None:
    """Train a new run, or ``run`` with the settings of the request, or follow the leading rank."""
    from imgtranslate.cli.train_display import TrainingDisplay
    from imgtranslate.training.events import Notice
    from imgtranslate.training.processes import ReportedElsewhereError, joined
    from imgtranslate.training.request import find_begun
    from imgtranslate.training.train import follow, plan_training, resume, start

    device, launch, began = place.device, place.launch, time.monotonic()
    try:
        with (
            joined(launch, device=device) as group,
            stop_on_signals(STOPPING, quiet=not group.leads) as stopped,
        ):

            def stop() -> bool:
                late = max_hours is not None and time.monotonic() - began > max_hours * 3600
                return late or stopped.is_set()

            if not group.leads:
                follow(group, device=device, stop=stop)
                return
            with TrainingDisplay() as display:
                report = display.show
                begun = run or find_begun(request, launch.name)
                if begun is None:
                    plan = plan_training(
                        request, device=device, init=init, launch=launch, report=report
                    )
                    outcome = start(plan, group=group, report=report, stop=stop)
                else:
                    if run is None:
                        report(Notice(text=f"{begun}: started by this launch. Continuing it"))
                    outcome = resume(
                        begun,
                        settings=request.settings if run else None,
                        device=device,
                        group=group,
                        report=report,
                        stop=stop,
                    )
            limit = f"--max-hours {max_hours:g}" if max_hours and not stopped.is_set() else ""
            display.conclude(outcome, device=place.options, limit=limit)
    except ReportedElsewhereError as error:
        raise typer.Exit(error.exit_code) from error
    if not outcome.finished and stopped.is_set():
        raise typer.Exit(stopped.exit_code)
    result(str(outcome.run))
    if outcome.diverged:
        say_error(with_flags(f"failed: {outcome.diverged}"))
        raise typer.Exit(1)


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse ``section.name=value``, the form of ``--set``; a value that is not TOML is text."""
    name, equals, value = (part.strip() for part in text.partition("="))
    section, _, key = name.partition(".")
    if not (equals and section and key):
        raise UsageError(
            f"--set {text}: not of the form section.name=value. "
            "For example --set method.lambda_identity=0.2"
        )
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # not TOML, or nested too deeply
        return name, value


def _number_or_word(text: str | None) -> int | str | None:
    """Convert up to 9 digits to a number; the settings check other text."""
    short = text is not None and text.isdecimal() and len(text) < 10
    return int(text) if text is not None and short else text
