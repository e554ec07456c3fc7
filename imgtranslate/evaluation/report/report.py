"""The report: one page with the verdicts, pictures, curves, checks and settings of a run."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import Domains
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImgTranslateError, UsageError, counted
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile
from imgtranslate.evaluation.documents import Document
from imgtranslate.evaluation.evaluate.schema import EvaluationFile
from imgtranslate.evaluation.report.checks import (
    checked_rows,
    missing,
    missing_checks,
    read_check,
    step_of_model,
    tables_of,
    verdicts_of,
)
from imgtranslate.evaluation.report.curves import Log, read_log
from imgtranslate.evaluation.report.pair_verdict import NO_FAULT, faults_of, judge_pairs
from imgtranslate.evaluation.report.pictures import Progress, ShownPicture, translate_held_out
from imgtranslate.evaluation.report.provenance import (
    data_of,
    lines_of,
    new_folder,
    recipe_of,
    resume_command,
    settings_of,
    versions_of,
)
from imgtranslate.files import write_text
from imgtranslate.images import read_image
from imgtranslate.methods.schedule import Schedule
from imgtranslate.pages import render, shown
from imgtranslate.pages.embed import embed
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Direction, Settings, is_paired, learns_both_ways
from imgtranslate.settings.presets import name_of_method

COUNT = 24  # held-out pictures of each side
FEWER = 8  # where another command writes the page
SAMPLES, SAMPLE_SIDE = 24, 1200  # pictures over time; px
SAMPLES_BYTES = 2_200_000  # of all together, before base64


def write_report(
    run: Path | str,
    *,
    output: Path | str | None = None,
    count: int = COUNT,
    device: str = "auto",
    progress: Progress | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the page of a run, ``RUN/report.html`` unless ``output`` names another file.

    Up to ``count`` held-out pictures of each side are translated anew. The page also shows the
    results of `cycle-check` and `evaluate` in the run, names the commands that add missing ones,
    and warns of damaged files. ``notice`` receives a line if pictures are much larger than those of
    the training. Raises ``CheckpointError`` if ``run`` is no run.
    """
    folder = Run(Path(run))
    target = Path(output) if output is not None else folder.report
    if target.is_dir():
        raise UsageError(f"`output` {target}: a folder. Name a file, as in `output` report.html")

    # Settings, log and data of the training
    settings, record = folder.read_config()
    data, log = settings.data, read_log(folder)
    warnings = lines_of(record, "warnings")
    domains: Domains | None = None
    try:
        domains = domains_of_run(settings, record)
    except ImgTranslateError as error:
        warnings.append(shown(f"The training pictures have moved: {error}", limit=400))
    warnings += _warnings_of(log)

    # Held-out pictures, translated anew
    pictures: list[ShownPicture] = []
    noticed: list[str] = []
    try:
        if domains is not None:
            for picture in translate_held_out(
                folder.folder,
                settings,
                domains,
                count=count,
                device=device,
                progress=progress,
                notice=noticed.append,
            ):
                pictures.append(picture)
    except ImgTranslateError as error:
        warnings.append(shown(f"No pictures were translated: {error}", limit=400))
    for line in noticed:
        warnings.append(shown(line, limit=400))
        notice(line)

    # Results of other commands
    cycle = read_check(folder, CycleCheckFile, warn=warnings.append)
    evaluated = read_check(folder, EvaluationFile, warn=warnings.append)
    paired, total = is_paired(settings.method), _total_steps(settings, domains)
    verdicts = _pair_verdict(folder, log, pictures) if paired else verdicts_of(cycle)
    lacking = [
        *missing_checks(folder, cycle, evaluated, paired=paired),
        *_missing_pictures(folder, settings, domains),
        *_missing_steps(folder, settings, log, total),
    ]

    names = shown(data.name_a), shown(data.name_b)
    ways: dict[Direction, str] = {"ab": " → ".join(names), "ba": " → ".join(names[::-1])}
    samples = _samples(folder, warn=warnings.append)
    page = {
        "run": shown(str(folder.folder)),
        "names": dict(zip("ab", names, strict=True)),
        "method": name_of_method(settings),
        "paired": paired,
        "back": learns_both_ways(settings.method),
        "size": data.crop_size,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "progress": {"step": log.last_step, "total": total, "rows": log.rows},
        "validation": log.validation_figures(),
        "warnings": warnings,
        "curves": [curve.to_json() for curve in log.curves if curve.values],
        "samples": samples,
        "pictures": [picture.row for picture in pictures],
        "verdicts": verdicts,
        "missing": lacking,
        "checked": checked_rows(cycle),
        "checks": tables_of(cycle, evaluated, ways),
        "settings": settings_of(settings),
        "data": data_of(settings, record, domains),
        "facts": lines_of(record, "facts"),
        "versions": versions_of(record),
        "recipe": recipe_of(folder, settings),
    }
    write_text(target, render("report", page, title=f"{data.name_a} → {data.name_b}"))
    return target


def save_check(run: Path, check: Document, *, device: str = "auto") -> Path:
    """Save the result of a check of a run's held-out pictures in the run; write its page anew.

    Raises ``ImgTranslateError`` if the run cannot be written to.
    """
    write_text(run / check.FILE, json.dumps(check.to_json()))
    return write_report(run, count=FEWER, device=device)


def _pair_verdict(run: Run, log: Log, pictures: list[ShownPicture]) -> list[dict[str, Any]]:
    """Return the verdict on a model of pairs; none without a pair that could be measured."""
    scores = [picture.score for picture in pictures if picture.score is not None]
    if not scores:
        return []
    warned = [step for step, _ in log.recent_notes]
    remarks = judge_pairs(scores, log.validations, warned_at=max(warned, default=None))
    faults = faults_of(remarks)
    return [
        {
            "direction": "ab",
            "good": not faults,
            "verdicts": faults or [NO_FAULT],
            "reasons": [{"text": one.text, "bad": bool(one.fault)} for one in remarks],
            "count": len(scores),
            "step": step_of_model(run, "ab"),
        }
    ]


def _missing_pictures(
    run: Run, settings: Settings, domains: Domains | None
) -> Iterator[dict[str, str]]:
    """Yield the command that trains with held-out pictures, if there are none."""
    if domains is None or any(domain.held_out for domain in domains):
        return
    text = "No pictures are held out, so nothing was measured on new pictures."
    if settings.data.held_out:  # a tenth of a side at most
        yield missing("pictures", f"{text} Train with 10 or more pictures of each side.")
    else:
        words = ["imgtranslate", "train", "--config", str(run.config)]
        words += ["--set", "data.held_out=8", "--out", new_folder(run)]
        yield missing("pictures", text, *words)


def _missing_steps(
    run: Run, settings: Settings, log: Log, total: int | None
) -> Iterator[dict[str, str]]:
    """Yield the command that resumes a training before the end of its schedule."""
    if total is not None and log.last_step < total:
        text, patience = f"at step {log.last_step:,} of {total:,}", settings.train.patience
        early = log.ended_early(patience)
        reason = f"ended {text}: no gain in {counted(patience, 'validation')}"
        yield {
            "part": "curves",
            "text": f"The training {reason if early else f'is {text}'}.",
            "command": resume_command(run, ended_early=early),
        }


def _warnings_of(log: Log) -> list[str]:
    if not log.rows:
        return ["Nothing has been logged: metrics.jsonl is missing or empty."]
    lines = [f"Step {step:,}: {shown(text, limit=400)}" for step, text in log.notes]
    return lines + log.faults()


def _total_steps(settings: Settings, domains: Domains | None) -> int | None:
    """Return the number of steps where the training pictures are at hand."""
    if domains is None:
        return None
    longer = max(len(domain.files) for domain in domains)
    return Schedule(settings=settings, longer_side=max(1, longer)).total_steps()


def _samples(run: Run, *, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the samples of evenly spaced steps."""
    found = run.list_samples()
    chosen = evenly_spaced(list(found), SAMPLES)
    strips = []
    for step in chosen:
        try:
            pixels = read_image(found[step], channels=3).pixels
        except ImgTranslateError as error:
            warn(shown(f"A sample cannot be shown: {error}", limit=400))
            continue
        address = embed(pixels, side=SAMPLE_SIDE, most_bytes=SAMPLES_BYTES // len(chosen))
        strips.append({"step": step, "picture": address})
    return strips
