"""Training: a plan that checks everything first, the start of a run, and its resume."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from imgtranslate.data.cache import refuse_cache
from imgtranslate.data.folders import Domains, find_domains
from imgtranslate.data_check.check import DataReport, check_data
from imgtranslate.data_check.sheet import refuse_sheet
from imgtranslate.device import choose_device
from imgtranslate.errors import DataError, ImgTranslateError, UsageError, checks_arguments
from imgtranslate.evaluation.report.report import FEWER, write_report
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup, ProcessGroupError
from imgtranslate.methods.step import choose_precision
from imgtranslate.model_files.checkpoint import read_state_header
from imgtranslate.runs.data import domains_of_run, fingerprints, has_changed
from imgtranslate.runs.folder import Run, new_run, refuse_existing
from imgtranslate.settings.compatibility import check_sharing
from imgtranslate.settings.config import CycleGanConfig, Settings, is_paired
from imgtranslate.training.events import Checking, Notice, Report, Stop, TrainResult, ignore, never
from imgtranslate.training.initial_weights import check_initial, load_initial
from imgtranslate.training.logs.listeners import find_logs, logging_to
from imgtranslate.training.loop import learn
from imgtranslate.training.processes import ALONE, Launch, receive_run, send_run
from imgtranslate.training.request import LAUNCH, Request, change_settings, refuse_past
from imgtranslate.training.run_state import record_of, restore_run, save_best, save_run

COMPILING = ("torch._dynamo", "torch._inductor")  # modules that define the errors of torch.compile


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked training, before anything is built or written."""

    settings: Settings
    out: Path
    device: torch.device
    report: DataReport
    init: Path | None  # a model or run with the initial weights
    launch: str = ""  # the name of the launch that starts its processes


@checks_arguments
def train(
    *,
    a: Path | str | None = None,
    b: Path | str | None = None,
    data: Path | str | None = None,
    pairs: Path | str | None = None,
    out: Path | str | None = None,
    method: str | None = None,
    preset: str = "paper",
    config: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    init: Path | str | None = None,
    report: Report = ignore,
    stop: Stop = never,
) -> TrainResult:
    """Learn to translate between the pictures of two folders.

    ``a`` and ``b``: the two folders, or ``data``: a folder with trainA and trainB, or with train,
    or ``pairs``: a folder of pairs side by side, or a CSV file. ``settings``: values by
    ``section.name``; they win over ``config`` (a TOML file) and over ``preset``. ``out``: the
    folder of the run, by default ``runs/<a>2<b>``. ``init``: a model or a run with the initial
    weights. ``report`` is called with each event. ``stop`` is called after every step; when it
    returns True, the state is saved and the training ends unfinished. Raises ``UsageError`` for
    invalid settings or pictures.
    """
    request = Request(
        a=a, b=b, data=data, pairs=pairs, out=out, method=method, preset=preset, config=config,
        settings=settings,
    )  # fmt: skip
    plan = plan_training(request, device=device, init=init, report=report)
    return start(plan, report=report, stop=stop)


def plan_training(
    request: Request,
    *,
    device: str = "auto",
    init: Path | str | None = None,
    sheet: Path | str | None = None,
    fresh: bool = True,
    launch: Launch = ALONE,
    report: Report = ignore,
) -> Plan:
    """Resolve the settings and check device, folder and pictures, without writing anything.

    ``sheet``: the file for ``write_sheet``, checked before the pictures. ``fresh``: refuse a folder
    that already exists. ``launch``: the processes that train together. Raises ``UsageError`` for
    invalid settings or pictures.
    """
    # Settings and files
    settings, out = request.resolve()
    check_sharing(settings, launch.size)
    find_logs(settings.train.log)
    if fresh:
        refuse_existing(out, method=request.method or settings.method.kind)
    source = Path(init) if init is not None else None
    if source is not None:
        check_initial(source)
    if sheet is not None:
        refuse_sheet(Path(sheet), settings.data)

    # Device and pictures
    chosen, paired = choose_device(device), is_paired(settings.method)
    found = check_data(
        find_domains(settings.data, paired=paired),
        settings.data,
        paired=paired,
        on_progress=lambda done, total: report(Checking(done=done, total=total)),
    )

    # Settings that depend on the pictures
    _check_validated(settings, found.domains)
    method, alike = settings.method, settings.data.channels_a == settings.data.channels_b
    if isinstance(method, CycleGanConfig) and method.lambda_identity and not alike:
        report(Notice(text="the identity loss is off: A and B differ in channels"))
    precision = choose_precision(settings.train, chosen)  # recorded, so that a resume has the same
    return Plan(
        settings=replace(settings, train=replace(settings.train, precision=precision)),
        out=out,
        device=chosen,
        report=found,
        init=source,
        launch=launch.name,
    )


def _check_validated(settings: Settings, domains: Domains) -> None:
    """Raise ``UsageError`` for settings that need validations, without held-out pictures."""
    if all(domain.held_out for domain in domains):
        return
    none = "no pictures are held out to validate on. Set data.held_out_a and data.held_out_b, or"
    if settings.schedule.kind == "plateau":
        raise UsageError(f"schedule.kind plateau: {none} choose another kind")
    if settings.train.patience:
        raise UsageError(f"train.patience {settings.train.patience}: {none} set it to 0")


def start(
    plan: Plan, *, group: ProcessGroup = SINGLE_PROCESS, report: Report = ignore, stop: Stop = never
) -> TrainResult:
    """Start the planned run and train to its end, or until ``stop`` returns True."""
    settings, checked = plan.settings, plan.report

    def notice(text: str) -> None:
        report(Notice(text=text))

    refuse_cache(checked.domains, settings.data)
    logs = find_logs(settings.train.log)
    learner = Learner(settings, plan.device, group=group)
    if plan.init is not None:
        for line in load_initial(learner, plan.init):
            notice(line)
    record = record_of(checked) | ({LAUNCH: plan.launch} if plan.launch else {})
    with new_run(plan.out) as prepared:
        prepared.write_config(settings, record)
        save_run(prepared, learner)
    run = Run(plan.out)
    with run.only_one(notice):
        try:
            with failures_explained(run), logging_to(logs, report) as told:
                send_run(run, learner, record)
                result = learn(
                    run, learner, checked.domains, checked=checked, report=told, stop=stop
                )
        except ProcessGroupError:  # a launcher may start it again
            raise
        except ImgTranslateError:
            if learner.steps_done == 0:  # nothing is lost, and the next try can take the name
                shutil.rmtree(run.folder, ignore_errors=True)
            raise
    return _with_page(result, report, device=str(plan.device))


@checks_arguments
def resume(
    run: Path | str,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    group: ProcessGroup = SINGLE_PROCESS,
    report: Report = ignore,
    stop: Stop = never,
) -> TrainResult:
    """Continue a run as if it had never stopped, on a CPU with bit-identical results.

    ``settings`` may change those in ``training.request.RESUMABLE``. Raises ``CheckpointError`` if
    ``run`` is not a run or its state is damaged.
    """
    # Settings and pictures
    folder = Run(Path(run))
    saved, record = folder.read_config()
    changed = change_settings(saved, settings or {})
    check_sharing(changed, group.size)
    logs = find_logs(changed.train.log)
    try:
        domains = domains_of_run(changed, record)
    except DataError as error:
        raise DataError(
            f"{folder.config}: {error}, or correct this file if it has moved"
        ) from error
    _check_validated(changed, domains)
    for domain in domains:
        if has_changed(domain, record):
            changed_since = f"{domain.folder}: its pictures have changed since the run started"
            report(Notice(text=f"{changed_since}. Training continues with different samples"))
    refuse_cache(domains, changed.data)

    # State
    chosen = choose_device(device)
    with folder.only_one(lambda text: report(Notice(text=text))), failures_explained(folder):
        header = read_state_header(folder.state)
        longer_side = max(len(domain.files) for domain in domains)
        refuse_past(changed, settings or {}, step=header.step, longer_side=longer_side)
        learner = Learner(changed, chosen, group=group)
        restore_run(learner, folder, header)
        if changed != saved:
            folder.write_config(changed, record)
        folder.remove_leftovers()
        folder.rewind_metrics(header.step)
        if learner.is_best():  # the process may have been killed before these were saved
            save_best(folder, learner)
        send_run(folder, learner, record | fingerprints(domains))
        with logging_to(logs, report) as told:
            result = learn(folder, learner, domains, report=told, stop=stop)
    return _with_page(result, report, device=str(chosen))


def follow(group: ProcessGroup, *, device: str = "auto", stop: Stop = never) -> TrainResult:
    """Train, on a rank above 0, the run of rank 0, without writing or reporting anything."""
    run, learner, domains = receive_run(group, choose_device(device))
    with failures_explained(run):
        return learn(run, learner, domains, report=ignore, stop=stop)


@contextlib.contextmanager
def failures_explained(run: Run) -> Iterator[None]:
    """Convert failures of torch that a user can fix to one line, by the text of the failure."""
    try:
        yield
    except ProcessGroupError as error:
        raise ProcessGroupError(f"{run.folder}: {error} {run.folder}") from error
    except RuntimeError as error:
        text = str(error)
        if is_out_of_memory(error):
            raise ImgTranslateError(
                f"{run.folder}: out of memory with these settings. Start a new run with a smaller "
                "data.crop_size, train.batch_size or generator.base_channels"
            ) from error
        if type(error).__module__.startswith(COMPILING):
            raise ImgTranslateError(
                f"{run.folder}: torch cannot compile the networks here: "
                f"{text.partition(chr(10))[0][:200].rstrip('.')}. "
                "Start a new run without train.compile"
            ) from error
        raise


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch had too little memory, on a GPU or on the CPU."""
    return "out of memory" in str(error) or "allocate memory" in str(error)


def _with_page(result: TrainResult, report: Report, *, device: str) -> TrainResult:
    """Write the report page of a finished run; the run is complete even if that fails."""
    if not result.finished:
        return result
    try:
        return replace(result, report=write_report(result.run, count=FEWER, device=device))
    except ImgTranslateError as error:
        report(Notice(text=f"the report could not be written: {error}"))
        return result
