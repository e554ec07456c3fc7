"""The report: one page with the curves, pictures, checks and settings of a run."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
from imgtranslate.evaluation.report.pictures import count_pictures, picture_rows
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
SAMPLES_BYTES, PICTURES_BYTES = 2_200_000, 2_600_000  # of all together, before base64
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """All that is read of a run before anything is translated."""

    run: Run
    settings: Settings
    record: Mapping[str, Any]
    domains: Domains | None
    log: Log
    warnings: list[str]


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
    parts = _gather(folder)
    shown_pictures = list(_pictures(parts, count=count, device=device, progress=progress))
    title = f"{parts.settings.data.name_a} to {parts.settings.data.name_b}"
    write_text(target, render("report", _page(parts, shown_pictures), title=title))
    return target


def save_check(run: Path, check: Document, *, device: str = "auto") -> Path:
    """Save the result of a check of a run's held-out pictures in the run; write its page anew.

    Raises ``ImgTranslateError`` if the run cannot be written to.
    """
    write_text(run / check.FILE, json.dumps(check.to_json()))
    return write_report(run, count=FEWER, device=device)


def _gather(run: Run) -> _Parts:
    settings, record = run.read_config()
    warnings = lines_of(record, "warnings")
    log = read_log(run)
    try:
        domains = domains_of_run(settings, record)
    except ImgTranslateError as error:
        domains = None
        warnings.append(shown(f"The training pictures are not where they were: {error}", limit=400))
    warnings += _warnings_of(log)
    return _Parts(
        run=run, settings=settings, record=record, domains=domains, log=log, warnings=warnings
    )


def _warnings_of(log: Log) -> list[str]:
    if not log.rows:
        return ["Nothing has been logged: metrics.jsonl is missing or empty."]
    lines = [f"Step {step:,}: {shown(text, limit=400)}" for step, text in log.notes]
    for name, steps in log.not_finite.items():
        where = ", ".join(f"{step:,}" for step in steps[:3])
        more = f" and {len(steps) - 3:,} more" if len(steps) > 3 else ""
        lines.append(f"{shown(name)} was no finite number at step {where}{more}.")
    return lines


def _pictures(
    parts: _Parts, *, count: int, device: str, progress: Progress | None
) -> Iterable[dict[str, Any]]:
    """Yield a row of each held-out picture; warn where there are none."""
    if parts.domains is None:
        return
    total = count_pictures(parts.settings, parts.domains, count=count)
    if not total:
        parts.warnings.append("No pictures are held out, so nothing here was measured on new ones.")
        return
    try:
        rows = picture_rows(
            parts.run.folder,
            parts.settings,
            parts.domains,
            count=count,
            device=device,
            most_bytes=PICTURES_BYTES // (3 * total),
        )
        for done, row in enumerate(rows, start=1):
            yield row
            if progress is not None:
                progress(done, total)
    except ImgTranslateError as error:
        parts.warnings.append(shown(f"No pictures were translated: {error}", limit=400))


def _page(parts: _Parts, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    settings, data = parts.settings, parts.settings.data
    names = shown(data.name_a), shown(data.name_b)
    ways: dict[Direction, str] = {"ab": " to ".join(names), "ba": " to ".join(names[::-1])}
    cycle = read_check(parts.run, CycleCheckFile, warn=parts.warnings.append)
    evaluated = read_check(parts.run, EvaluationFile, warn=parts.warnings.append)
    parts.warnings.extend(outdated(parts.run, cycle, evaluated))
    samples = _samples(parts)
    return {
        "run": shown(str(parts.run.folder)),
        "names": dict(zip("ab", names, strict=True)),
        "method": settings.method.kind,
        "paired": is_paired(settings.method),
        "size": data.crop_size,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "progress": _progress(parts),
        "warnings": parts.warnings,
        "curves": [curve.to_json() for curve in parts.log.curves if curve.mean],
        "samples": samples,
        "pictures": pictures,
        "verdicts": verdicts_of(cycle),
        "checked": checked_rows(cycle),
        "checks": tables_of(cycle, evaluated, ways),
        "settings": settings_of(settings),
        "data": data_of(settings, parts.record, parts.domains),
        "facts": lines_of(parts.record, "facts"),
        "versions": versions_of(parts.record),
        "recipe": recipe_of(parts.run, settings),
    }


def _progress(parts: _Parts) -> dict[str, Any]:
    """Return the last step, and the number of steps where the training pictures are at hand."""
    total = None
    if parts.domains is not None:
        longer = max(len(domain.files) for domain in parts.domains)
        total = build_schedule(parts.settings, longer_side=max(1, longer)).total_steps()
    return {"step": parts.log.last_step, "total": total, "rows": parts.log.rows}


def _samples(parts: _Parts) -> list[dict[str, Any]]:
    """Return the samples of evenly spaced steps."""
    found = {step: path for path in parts.run.samples.glob("step_*.png") if (step := _step(path))}
    chosen = evenly_spaced(sorted(found), SAMPLES)
    strips = []
    for step in chosen:
        try:
            pixels = read_image(found[step], channels=3).pixels
        except ImgTranslateError as error:
            parts.warnings.append(shown(f"A sample cannot be shown: {error}", limit=400))
            continue
        most = SAMPLES_BYTES // len(chosen)
        address = embed(pixels, side=SAMPLE_SIDE, most_bytes=most)
        strips.append({"step": step, "picture": address})
    return strips


def _step(path: Path) -> int | None:
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None
