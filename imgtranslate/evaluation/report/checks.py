"""The results of `cycle-check` and `evaluate` in a run, and the commands that add missing ones."""

import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from imgtranslate.errors import ImgTranslateError, counted
from imgtranslate.evaluation.cycle_check import schema as cycle
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile
from imgtranslate.evaluation.documents import Document
from imgtranslate.evaluation.evaluate import schema as evaluate
from imgtranslate.evaluation.evaluate.schema import (
    EvaluationFile,
    figure_of,
    left_out_line,
    title_of,
)
from imgtranslate.model_files.checkpoint import read_model_header
from imgtranslate.pages import number, shown
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Direction
from imgtranslate.translation.translator import find_model

D = TypeVar("D", bound=Document)
Names = Mapping[Direction, str]  # of the directions, in words

DIRECTIONS: tuple[Direction, Direction] = ("ab", "ba")
HEALTHY = "healthy"  # the verdict of a cycle check that found no fault
ROWS, NAMED = 5000, 100  # pictures of a cycle check; rows of any other table
LONGEST_NAME, LONGEST_LINE = 64, 400  # characters
MEASURES = {
    "error": "mae",
    "psnr": "psnr",
    "ssim": "ssim",
    "content": "content",
    "change": "change",
}


def read_check(run: Run, kind: type[D], *, warn: Callable[[str], None]) -> D:
    """Read the result of a check; empty where there is none, or where it is damaged."""
    path = run.folder / kind.FILE
    try:
        return kind.read(path.read_text(encoding="utf-8")) if path.is_file() else kind()
    except (OSError, ValueError, RecursionError):
        warn(f"{path.name} is damaged and not shown.")
        return kind()


def checked_rows(check: CycleCheckFile) -> list[dict[str, Any]]:
    """Return the pictures of a cycle check, which may be more than the report translates."""
    return [_checked_row(row) for row in check.images if row.path][:ROWS]


def verdicts_of(check: CycleCheckFile) -> list[dict[str, Any]]:
    """Return the verdict of a cycle check on each direction, and the step of that model."""
    return [
        {
            "direction": way,
            "good": found.verdicts == [HEALTHY],
            "verdicts": [shown(verdict) for verdict in found.verdicts[:8]],
            "reasons": [{"text": shown(found.reason, limit=LONGEST_LINE), "bad": False}],
            "count": found.count,
            "step": check.steps.get(way),
        }
        for way, found in _directions(check)
    ]


def tables_of(
    check: CycleCheckFile, evaluated: EvaluationFile, names: Names
) -> list[dict[str, Any]]:
    """Return the figures of both checks, one table for each direction."""
    tables = [_cycle_table(names[way], found) for way, found in _directions(check)]
    tables += [_evaluation_table(names[one.direction], one) for one in _evaluations(evaluated)]
    return [table for table in tables if table["rows"]]


def missing_checks(
    run: Run, check: CycleCheckFile, evaluated: EvaluationFile, *, paired: bool
) -> Iterator[dict[str, str]]:
    """Yield the part of the page, a sentence and the command for each check to run.

    That is one that was not run, or measured other models than the run has now. Models that were
    trained on pairs have no cycle.
    """
    evaluated_steps = {one.direction: one.step for one in _evaluations(evaluated)}
    for part, name, steps in (
        ("verdict", "cycle-check", {way: check.steps.get(way) for way, _ in _directions(check)}),
        ("checks", "evaluate", evaluated_steps),
    ):
        if paired and name == "cycle-check":
            continue
        text = f"{name} has not been run on the held-out pictures." if not steps else ""
        for way, then in steps.items():
            now = step_of_model(run, way)
            if then is not None and now is not None and then != now:
                text = f"{name} measured the models of step {then:,}. The run now has step {now:,}."
        if text:
            option = ["--run"] if name == "cycle-check" else []
            yield missing(part, text, "imgtranslate", name, *option, str(run.folder))


def missing(part: str, text: str, *command: str) -> dict[str, str]:
    """Describe something that a part of the page lacks, and the command that adds it, if any."""
    return {"part": part, "text": text, "command": shown(shlex.join(command), limit=2000)}


def step_of_model(run: Run, way: Direction) -> int | None:
    """Return the step of a run's model; None if there is no such model."""
    try:
        return read_model_header(find_model(run.folder, direction=way)).step
    except ImgTranslateError:
        return None


def _checked_row(row: cycle.Row) -> dict[str, Any]:
    values = dict(row)
    return {
        "name": shown(Path(row.path).name, limit=LONGEST_NAME),
        "direction": row.direction,
        **{name: number(values[key]) for name, key in MEASURES.items()},
        **({"fault": shown(row.error)} if row.error else {}),
    }


def _directions(check: CycleCheckFile) -> list[tuple[Direction, cycle.DirectionFigures]]:
    found = check.summary.directions
    return [(way, found[way]) for way in DIRECTIONS if way in found]


def _cycle_table(name: str, found: cycle.DirectionFigures) -> dict[str, Any]:
    figures, rows = dict(found), []
    for key, title in (found.titles | {"identity": "identity"}).items():
        if figures[key] is not None:
            rows.append([title, *figures[key].cells(".1f" if key == "psnr" else ".4f")])
    if found.other_content is not None:
        rows.insert(1, ["  with other pictures", f"{found.other_content:.4f}", "-", "-"])
    return {
        "title": f"cycle-check, {name}" + (" and back" if found.mae is not None else ""),
        "heads": [counted(found.count, "picture"), "mean", "spread", "95 % interval"],
        "rows": rows,
        "notes": [],
    }


def _evaluations(evaluated: EvaluationFile) -> list[evaluate.DirectionFigures]:
    return [one for directions in evaluated.runs[:1] for one in directions[:2]]


def _evaluation_table(name: str, found: evaluate.DirectionFigures) -> dict[str, Any]:
    between = " to ".join(dict.fromkeys(found.sizes[:1] + found.sizes[-1:]))
    resized = ", resized" if found.resize else ""
    step, count = found.step or 0, found.counts.translated
    left_out = left_out_line(dict(list(found.left_out.items())[:NAMED]))
    return {
        "title": f"evaluate, {name}",
        "heads": [
            shown(f"step {step:,}, {counted(count, 'picture')}, {between} px{resized}"),
            *("figure", "95 % interval", "pictures"),
        ],
        "rows": [_measure(name, one) for name, one in list(found.measures.items())[:NAMED]],
        "notes": [shown(left_out, limit=LONGEST_LINE)] if left_out else [],
    }


def _measure(name: str, found: evaluate.Figure) -> list[str]:
    value, *interval = (
        figure_of(n) if math.isfinite(n) else "-" for n in (found.value, *found.interval[:2])
    )
    title = shown(title_of(name, better=found.better))
    return [title, value, " to ".join(interval) or "-", f"{found.count:,}"]
