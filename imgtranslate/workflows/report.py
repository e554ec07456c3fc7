"""The report: one page that shows what a run has learnt, and whether to trust it."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imgtranslate.atomic import write_text
from imgtranslate.config import Settings, is_paired
from imgtranslate.data.folders import Domain
from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.images import read_image
from imgtranslate.methods.schedule import build_schedule
from imgtranslate.pages import number, render, shown
from imgtranslate.pages.embed import embed
from imgtranslate.run_folder import Run
from imgtranslate.workflows.curves import Log, read_log
from imgtranslate.workflows.facts import data_of, lines_of, recipe_of, settings_of, versions_of
from imgtranslate.workflows.gallery import (
    Missing,
    Shown,
    count_shown,
    evenly_spread,
    show_held_out,
)
from imgtranslate.workflows.run_state import domains_of_run

COUNT = 24  # held-out pictures of each side
SAMPLES, SAMPLE_SIDE = 24, 1200  # pictures over time; px
PICTURE_SIDE = 360  # px
SAMPLES_BYTES, PICTURES_BYTES = 2_200_000, 2_600_000  # of all together, before base64
ROWS, NAMED = 5000, 200  # of the table; of a foreign file's numbers
LONGEST_NAME = 64  # characters, of a file
MEASURES = ("error", "psnr", "ssim", "change")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What is known of a run before anything is translated."""

    run: Run
    settings: Settings
    record: Mapping[str, Any]
    domains: tuple[Domain, Domain] | None
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

    Up to ``count`` held-out pictures of each side are translated anew. What `cycle-check` and
    `evaluate` left in the run, ``cycle-check.json`` and ``evaluate.json``, is shown too. What of
    a run is missing or damaged is told on the page. Raises ``CheckpointError`` if it is no run.
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


def _gather(run: Run) -> _Parts:
    settings, record = run.read_config()
    warnings = lines_of(record, "warnings")
    log = read_log(run.metrics)
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
    lines = [f"Step {step:,.0f}: {shown(text, limit=400)}" for step, text in log.notes]
    for name, steps in log.not_finite.items():
        where = ", ".join(f"{step:,.0f}" for step in steps[:3])
        more = f" and {len(steps) - 3:,} more" if len(steps) > 3 else ""
        lines.append(f"{shown(name)} was no finite number at step {where}{more}.")
    return lines


def _pictures(
    parts: _Parts, *, count: int, device: str, progress: Progress | None
) -> Iterable[dict[str, Any]]:
    """A row of each held-out picture, with the pictures themselves where they could be made."""
    if parts.domains is None:
        return
    total = count_shown(parts.settings, parts.domains, count=count)
    if not total:
        parts.warnings.append("No pictures are held out, so nothing here was measured on new ones.")
        return
    most = PICTURES_BYTES // (3 * total)
    try:
        found = show_held_out(
            parts.run.folder, parts.settings, parts.domains, count=count, device=device
        )
        for done, entry in enumerate(found, start=1):
            yield _row(entry, most_bytes=most)
            if progress is not None:
                progress(done, total)
    except ImgTranslateError as error:
        parts.warnings.append(shown(f"No pictures were translated: {error}", limit=400))


def _row(entry: Shown | Missing, *, most_bytes: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": shown(entry.path.name, limit=LONGEST_NAME),
        "direction": entry.direction,
    }
    if isinstance(entry, Missing):
        return {**row, "fault": shown(entry.reason)}
    row |= {
        **{name: number(vars(entry)[name]) for name in MEASURES},
        "size": list(entry.size),
    }
    pictures = (entry.real, entry.fake, entry.other)
    row["pictures"] = [embed(p, side=PICTURE_SIDE, most_bytes=most_bytes) for p in pictures]
    return row


def _page(parts: _Parts, pictures: list[dict[str, Any]]) -> dict[str, Any]:
    settings, data = parts.settings, parts.settings.data
    cycle, evaluated = (_read_json(parts, f"{name}.json") for name in ("cycle-check", "evaluate"))
    samples = _samples(parts)
    return {
        "run": shown(str(parts.run.folder)),
        "names": {"a": shown(data.name_a), "b": shown(data.name_b)},
        "method": settings.method.kind,
        "paired": is_paired(settings.method),
        "size": data.crop_size,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "progress": _progress(parts),
        "warnings": parts.warnings,
        "curves": [curve.to_json() for curve in parts.log.curves if curve.mean],
        "samples": samples,
        "pictures": pictures,
        "checked": _checked_rows(cycle),
        "checks": [_named("cycle-check", cycle), _named("evaluate", evaluated)],
        "settings": settings_of(settings),
        "data": data_of(settings, parts.record, parts.domains),
        "facts": lines_of(parts.record, "facts"),
        "versions": versions_of(parts.record),
        "recipe": recipe_of(parts.run, settings),
    }


def _progress(parts: _Parts) -> dict[str, Any]:
    """How far the run is: by its log, and by its schedule where its pictures are at hand."""
    total = None
    if parts.domains is not None:
        longer = max(len(domain.files) for domain in parts.domains)
        total = build_schedule(parts.settings, longer_side=max(1, longer)).total_steps()
    return {"step": int(parts.log.last_step), "total": total, "rows": parts.log.rows}


def _samples(parts: _Parts) -> list[dict[str, Any]]:
    """The strip over time: evenly spread steps, each a picture."""
    found = {step: path for path in parts.run.samples.glob("step_*.png") if (step := _step(path))}
    chosen = evenly_spread(sorted(found), SAMPLES)
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


def _read_json(parts: _Parts, name: str) -> dict[str, Any]:
    path = parts.run.folder / name
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_int=float)
    except (OSError, ValueError, RecursionError):
        parts.warnings.append(f"{name} is damaged and not shown.")
        return {}
    return found if isinstance(found, dict) else {}


def _checked_rows(cycle: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a cycle check, which has seen more pictures than are shown here."""
    rows = cycle.get("images")
    kept = rows[:ROWS] if isinstance(rows, list) else []
    return [_checked_row(row) for row in kept if isinstance(row, dict)]


def _checked_row(row: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {"error": row.get("mae")} | {name: row.get(name) for name in MEASURES[1:]}
    fault = row.get("error")
    return {
        "name": shown(Path(str(row.get("path", ""))).name, limit=LONGEST_NAME),
        "direction": "ba" if row.get("direction") == "ba" else "ab",
        **{name: number(v) if isinstance(v, float) else None for name, v in numbers.items()},
        **({"fault": shown(str(fault))} if fault else {}),
    }


def _named(name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a check found beside its rows: every number and word under its path of names."""
    entries = list(_leaves({k: v for k, v in tree.items() if k != "images"}))
    return {"name": name, "entries": [[shown(k), shown(v)] for k, v in entries[:NAMED]]}


def _leaves(tree: Any, path: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{path} · {key}" if path else str(key))
    elif isinstance(tree, float):
        yield path, f"{tree:.6g}"
    elif isinstance(tree, list) and all(isinstance(item, str | float) for item in tree):
        yield path, ", ".join(f"{i:.6g}" if isinstance(i, float) else i for i in tree)
    elif isinstance(tree, str | bool):
        yield path, str(tree)
