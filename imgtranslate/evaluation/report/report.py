"""The report: one page with the curves, pictures, checks and settings of a run."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import Domains, evenly_spaced
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile
from imgtranslate.evaluation.documents import Document
from imgtranslate.evaluation.evaluate.schema import EvaluationFile
from imgtranslate.evaluation.report.checks import (
    checked_rows,
    outdated,
    read_check,
    tables_of,
    verdicts_of,
)
from imgtranslate.evaluation.report.curves import Log, read_log
from imgtranslate.evaluation.report.pictures import Progress, picture_rows
from imgtranslate.evaluation.report.provenance import (
    data_of,
    lines_of,
    recipe_of,
    settings_of,
    versions_of,
)
from imgtranslate.files import write_text
from imgtranslate.images import read_image
from imgtranslate.methods.schedule import build_schedule
from imgtranslate.model_files.checkpoint import Direction
from imgtranslate.pages import render, shown
from imgtranslate.pages.embed import embed
from imgtranslate.runs.data import domains_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, is_paired

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
) -> Path:
    """Write the page of a run, ``RUN/report.html`` unless ``output`` names another file.

    Up to ``count`` held-out pictures of each side are translated anew. It also shows the results of
    `cycle-check` and `evaluate` that the run holds, and warns of all that is missing or damaged.
    Raises ``CheckpointError`` if ``run`` is no run.
    """
    folder = Run(Path(run))
    target = Path(output) if output is not None else folder.folder / "report.html"
    if target.is_dir():
        raise UsageError(f"-o {target}: a folder. Name a file, as in -o report.html")

    # What the training left
    settings, record = folder.read_config()
    data, log = settings.data, read_log(folder)
    warnings = lines_of(record, "warnings")
    domains: Domains | None = None
    try:
        domains = domains_of_run(settings, record)
    except ImgTranslateError as error:
        warnings.append(shown(f"The training pictures are not where they were: {error}", limit=400))
    warnings += _warnings_of(log)

    # Held-out pictures, translated anew
    pictures: list[dict[str, Any]] = []
    try:
        if domains is not None:
            for row in picture_rows(
                folder.folder, settings, domains, count=count, device=device, progress=progress
            ):
                pictures.append(row)
            if not pictures:
                warnings.append(
                    "No pictures are held out, so nothing here was measured on new ones."
                )
    except ImgTranslateError as error:
        warnings.append(shown(f"No pictures were translated: {error}", limit=400))

    # Results of other commands
    cycle = read_check(folder, CycleCheckFile, warn=warnings.append)
    evaluated = read_check(folder, EvaluationFile, warn=warnings.append)
    warnings += outdated(folder, cycle, evaluated)

    names = shown(data.name_a), shown(data.name_b)
    ways: dict[Direction, str] = {"ab": " to ".join(names), "ba": " to ".join(names[::-1])}
    samples = _samples(folder, warn=warnings.append)
    page = {
        "run": shown(str(folder.folder)),
        "names": dict(zip("ab", names, strict=True)),
        "method": settings.method.kind,
        "paired": is_paired(settings.method),
        "size": data.crop_size,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "progress": {
            "step": log.last_step,
            "total": _total_steps(settings, domains),
            "rows": log.rows,
        },
        "warnings": warnings,
        "curves": [curve.to_json() for curve in log.curves if curve.values],
        "samples": samples,
        "pictures": pictures,
        "verdicts": verdicts_of(cycle),
        "checked": checked_rows(cycle),
        "checks": tables_of(cycle, evaluated, ways),
        "settings": settings_of(settings),
        "data": data_of(settings, record, domains),
        "facts": lines_of(record, "facts"),
        "versions": versions_of(record),
        "recipe": recipe_of(folder, settings),
    }
    write_text(target, render("report", page, title=f"{data.name_a} to {data.name_b}"))
    return target


def save_check(run: Path, check: Document, *, device: str = "auto") -> Path:
    """Save the result of a check of a run's held-out pictures in the run; write its page anew.

    Raises ``ImgTranslateError`` if the run cannot be written to.
    """
    write_text(run / check.FILE, json.dumps(check.to_json()))
    return write_report(run, count=FEWER, device=device)


def _warnings_of(log: Log) -> list[str]:
    if not log.rows:
        return ["Nothing has been logged: metrics.jsonl is missing or empty."]
    lines = [f"Step {step:,}: {shown(text, limit=400)}" for step, text in log.notes]
    for curve in log.curves:
        where = ", ".join(f"{step:,}" for step in curve.not_finite[:3])
        more = f" and {len(curve.not_finite) - 3:,} more" if len(curve.not_finite) > 3 else ""
        if where:
            lines.append(f"{shown(curve.name)} was no finite number at step {where}{more}.")
    return lines


def _total_steps(settings: Settings, domains: Domains | None) -> int | None:
    """Return the number of steps where the training pictures are at hand."""
    if domains is None:
        return None
    longer = max(len(domain.files) for domain in domains)
    return build_schedule(settings, longer_side=max(1, longer)).total_steps()


def _samples(run: Run, *, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the samples of evenly spaced steps."""
    found = {step: path for path in run.samples.glob("step_*.png") if (step := _step(path))}
    chosen = evenly_spaced(sorted(found), SAMPLES)
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


def _step(path: Path) -> int | None:
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None
