"""Training: plan everything that can go wrong first, then learn, then go on where it stopped."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imgtranslate.data.cache import refuse_cache
from imgtranslate.data.folders import Domain, find_domains
from imgtranslate.data_check.check import DataReport, check_data
from imgtranslate.data_check.sheet import refuse_sheet
from imgtranslate.device import choose_device
from imgtranslate.errors import DataError, ImgTranslateError, UsageError
from imgtranslate.evaluation.report.report import FEWER, write_report
from imgtranslate.methods.learner import Learner
from imgtranslate.methods.process_group import SINGLE_PROCESS, ProcessGroup
from imgtranslate.model_files.checkpoint import read_state_header
from imgtranslate.runs.data import domains_of_run, fingerprints, has_changed
from imgtranslate.runs.folder import Run, begin, publish, refuse_existing
from imgtranslate.settings.compatibility import check_sharing
from imgtranslate.settings.config import CycleGanConfig, Settings, is_paired
from imgtranslate.training.events import (
    Checking,
    Notice,
    Report,
    Stop,
    TrainResult,
    ignore,
    never,
)
from imgtranslate.training.initial_weights import check_initial, load_initial
from imgtranslate.training.loop import learn, memory_explained
from imgtranslate.training.processes import introduce, introduced
from imgtranslate.training.request import LAUNCH, changed_settings, resolve
from imgtranslate.training.run_state import (
    mend_best,
    record_of,
    refuse_other_batches,
    restore_run,
    save_run,
)

Domains = tuple[Domain, Domain]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training that has been found possible: nothing is built or written yet."""

    settings: Settings
    out: Path
    device: torch.device
    report: DataReport
    init: Path | None  # where the weights come from, without it they are drawn
    launch: str = ""  # the name of what started its processes


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
    """Learn to translate between the pictures of two folders; see ``plan_training``.

    ``report`` is called with events as they happen. ``stop`` is asked after every step; once it
    says yes the state is saved and the result says that training is not finished.
    """
    plan = plan_training(
        a=a, b=b, data=data, pairs=pairs, out=out, method=method, preset=preset, config=config,
        settings=settings, device=device, init=init, report=report,
    )  # fmt: skip
    return start(plan, report=report, stop=stop)


def plan_training(
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
    sheet: Path | str | None = None,
    fresh: bool = True,
    processes: int = 1,
    launch: str = "",
    report: Report = ignore,
) -> Plan:
    """Resolve the settings and check device, place and pictures; nothing is written.

    ``a`` and ``b``: the two folders, or ``data``: a folder with trainA and trainB, or with train,
    or ``pairs``: a folder of pictures side by side or a CSV file. ``settings``:
    values by ``section.name``; they win over ``config`` (a TOML file) and over ``preset``.
    ``out``: the run's folder, without it ``runs/<a>2<b>``. ``init``: a model or a run to begin with
    the weights of. ``sheet``: where ``write_sheet`` is to write, refused early if it cannot.
    ``fresh``: whether the place must be free, as it need not be for a mere check. ``processes``:
    how many train together. ``launch``: the name of what started them, for the run to remember.
    Raises ``UsageError`` with one line.
    """
    resolved, place = resolve(
        a=a, b=b, data=data, pairs=pairs, out=out, method=method, preset=preset, config=config,
        settings=settings,
    )  # fmt: skip
    check_sharing(resolved, processes)
    if fresh:
        refuse_existing(place)
    if init is not None:
        check_initial(Path(init))
    if sheet is not None:
        refuse_sheet(Path(sheet), resolved.data)
    chosen, paired = choose_device(device), is_paired(resolved.method)
    found = check_data(
        find_domains(resolved.data, paired=paired),
        resolved.data,
        paired=paired,
        on_progress=lambda done, total: report(Checking(done=done, total=total)),
    )
    _check_validation(resolved, found.domains)
    data_settings, losses = resolved.data, resolved.method
    alike = data_settings.channels_a == data_settings.channels_b
    if isinstance(losses, CycleGanConfig) and losses.lambda_identity and not alike:
        report(Notice(text="the identity loss is off: it needs as many channels in A as in B"))
    return Plan(
        settings=resolved,
        out=place,
        device=chosen,
        report=found,
        init=Path(init) if init is not None else None,
        launch=launch,
    )


def start(
    plan: Plan, *, group: ProcessGroup = SINGLE_PROCESS, report: Report = ignore, stop: Stop = never
) -> TrainResult:
    """Begin the run that was planned and learn until its end or until ``stop`` says so."""
    refuse_cache(plan.report.domains, plan.settings.data)
    learner = Learner(plan.settings, plan.device, group=group)
    if plan.init is not None:
        load_initial(learner, plan.init, say=lambda text: report(Notice(text=text)))
    record = record_of(plan.report) | ({LAUNCH: plan.launch} if plan.launch else {})
    run = begin(plan.out)
    try:
        run.write_config(plan.settings, record)
        save_run(run, learner, plan.settings)
    except ImgTranslateError:  # a full disk: what was prepared would only fill it
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    run = publish(run, plan.out)
    with run.only_one(), memory_explained(run):
        introduce(group, run, learner, plan.settings, record)
        result = learn(run, learner, plan.settings, plan.report.domains, plan.report, report, stop)
    return _reported(result, report, device=str(plan.device))


def resume(
    run: Path | str,
    *,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    group: ProcessGroup = SINGLE_PROCESS,
    report: Report = ignore,
    stop: Stop = never,
) -> TrainResult:
    """Go on with a run as if it had never stopped: on a CPU, bit for bit.

    ``settings`` may change ``schedule.epochs``, ``schedule.decay_epochs``, ``train.steps``, how
    often things are written, and ``data.workers``. Raises ``CheckpointError`` if ``run`` is no
    run or its state is damaged.
    """
    folder = Run(Path(run))
    kept, record = folder.read_config()
    changed = changed_settings(kept, settings or {})
    check_sharing(changed, group.size)
    domains = _domains_of_run(folder, changed, record)
    for domain in domains:
        if has_changed(domain, record):
            gone = f"{domain.folder}: its pictures have changed since the run began"
            report(Notice(text=f"{gone}. Training goes on, but not as it would have"))
    refuse_cache(domains, changed.data)
    chosen = choose_device(device)
    with folder.only_one(), memory_explained(folder):
        header = read_state_header(folder.state)
        refuse_other_batches(folder, header, changed)
        learner = Learner(changed, chosen, group=group)
        restore_run(learner, folder, header)
        if changed != kept:
            folder.write_config(changed, record)
        folder.remove_leftovers()
        folder.rewind_metrics(header.step)
        mend_best(folder, learner, changed)
        introduce(group, folder, learner, changed, record | fingerprints(domains))
        result = learn(folder, learner, changed, domains, None, report, stop)
    return _reported(result, report, device=str(chosen))


def follow(group: ProcessGroup, *, device: str = "auto", stop: Stop = never) -> TrainResult:
    """Learn what the leader of the group starts or resumes; nothing is written or reported here."""
    run, learner, settings, domains = introduced(group, choose_device(device))
    with memory_explained(run):
        return learn(run, learner, settings, domains, None, ignore, stop)


def _reported(result: TrainResult, report: Report, *, device: str) -> TrainResult:
    """Write the run's page at its end; a run whose page cannot be written is a run all the same."""
    if result.finished:
        try:
            write_report(result.run, count=FEWER, device=device)
        except ImgTranslateError as error:
            report(Notice(text=f"no report: {error}"))
    return result


def _domains_of_run(folder: Run, settings: Settings, record: Mapping[str, Any]) -> Domains:
    try:
        return domains_of_run(settings, record)
    except DataError as error:
        raise DataError(f"{folder.config}: {error}, in this file if it has moved") from error


def _check_validation(settings: Settings, domains: tuple[Domain, Domain]) -> None:
    """A schedule that waits for validations needs some."""
    if settings.schedule.kind == "plateau" and not all(domain.held_out for domain in domains):
        raise UsageError(
            "schedule.kind plateau: no pictures are held out to validate on. Name some with "
            "data.held_out_a and data.held_out_b, or choose another kind"
        )
