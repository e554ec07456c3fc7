"""What `cycle-check` and `evaluate` left in a run, as its page shows it.

The files may have been edited, or written by another version: what is not as expected is left out.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from imgtranslate.errors import ImgTranslateError
from imgtranslate.evaluation.cycle_check.scores import TITLES
from imgtranslate.metrics.titles import figure_of, title_of
from imgtranslate.model_files.checkpoint import read_model_header
from imgtranslate.pages import number, shown
from imgtranslate.runs.folder import Run
from imgtranslate.translation.translator import find_model

Check = Literal["cycle-check", "evaluate"]
Tree = Mapping[str, Any]
Names = Mapping[str, str]  # a way, ab or ba, in words

ROWS, NAMED = 5000, 100  # pictures of a cycle check; rows of any other table
LONGEST_NAME, LONGEST_LINE = 64, 400  # characters
MEASURES = {"error": "mae", "psnr": "psnr", "ssim": "ssim", "change": "change"}


def file_of(run: Run, check: Check) -> Path:
    """Where a check leaves what it found."""
    return run.folder / f"{check}.json"


def read_check(run: Run, check: Check, *, warn: Callable[[str], None]) -> Tree:
    """What a check left; nothing where it left none, and ``warn`` hears of a damaged file."""
    path = file_of(run, check)
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_int=float)
    except (OSError, ValueError, RecursionError):
        warn(f"{path.name} is damaged and not shown.")
        return {}
    return _tree(found)


def checked_rows(cycle: Tree) -> list[dict[str, Any]]:
    """The pictures of a cycle check, which are more than the page translates."""
    return [_checked_row(row) for row in _list(cycle.get("images"))[:ROWS] if isinstance(row, dict)]


def verdicts_of(cycle: Tree) -> list[dict[str, Any]]:
    """What a cycle check says of each way, and the step of the model that it is said of."""
    steps = _tree(cycle.get("steps"))
    return [
        {
            "direction": way,
            "verdicts": [shown(text) for text in _verdicts(found)],
            "reason": shown(_text(found.get("reason")), limit=LONGEST_LINE),
            "count": number(_float(found.get("count"))),
            "step": number(_float(steps.get(way))),
        }
        for way, found in _directions(cycle)
    ]


def tables_of(cycle: Tree, evaluated: Tree, names: Names) -> list[dict[str, Any]]:
    """The figures of both checks, a table of each way."""
    tables = [_cycle_table(way, found, names) for way, found in _directions(cycle)]
    runs = [one for column in _list(evaluated.get("runs"))[:1] for one in _list(column)[:2]]
    tables += [_evaluation_table(_tree(one), names) for one in runs]
    return [table for table in tables if table["rows"]]


def outdated(run: Run, cycle: Tree, evaluated: Tree) -> Iterator[str]:
    """A line of each check that was made of other models than those that the run holds now."""
    for check, steps in (
        ("cycle-check", _tree(cycle.get("steps"))),
        ("evaluate", _steps(evaluated)),
    ):
        for way in ("ab", "ba"):
            then, now = _float(steps.get(way)), _step_now(run, way)
            if then is not None and now is not None and then != now:
                yield (
                    f"{check}.json is of step {then:,.0f}, the models are of step {now:,}. "
                    f"Run imgtranslate {check} again."
                )
                break


def _step_now(run: Run, way: str) -> int | None:
    try:
        model = find_model(run.folder, direction="ba" if way == "ba" else "ab")
        return read_model_header(model).step
    except ImgTranslateError:
        return None


def _steps(evaluated: Tree) -> Tree:
    column = next(iter(_list(evaluated.get("runs"))), None)
    found = [_tree(one) for one in _list(column)[:2]]
    return {_way(one): one.get("step") for one in found}


def _checked_row(row: Tree) -> dict[str, Any]:
    fault = row.get("error")
    return {
        "name": shown(Path(_text(row.get("path"))).name, limit=LONGEST_NAME),
        "direction": _way(row),
        **{name: number(_float(row.get(key))) for name, key in MEASURES.items()},
        **({"fault": shown(str(fault))} if fault else {}),
    }


def _directions(cycle: Tree) -> list[tuple[str, Tree]]:
    found = _tree(_tree(cycle.get("summary")).get("directions"))
    return [(way, _tree(found[way])) for way in ("ab", "ba") if way in found]


def _verdicts(found: Tree) -> list[str]:
    findings = [_tree(finding) for finding in _list(found.get("findings"))[:8]]
    named = [_text(finding.get("verdict")) for finding in findings]
    return named or [_text(found.get("verdict"))]


def _cycle_table(way: str, found: Tree, names: Names) -> dict[str, Any]:
    titles = {**TITLES, "identity": "identity"}
    rows = [
        [title, *_spread(_tree(found.get(key)), decibel=key == "psnr")]
        for key, title in titles.items()
        if found.get(key)
    ]
    count = _float(found.get("count")) or 0
    return {
        "title": f"cycle-check, {names[way]} and back",
        "heads": [f"mean of {count:,.0f}", "mean", "spread", "95 % interval"],
        "rows": rows,
        "notes": [],
    }


def _spread(found: Tree, *, decibel: bool) -> list[str]:
    form = ".1f" if decibel else ".4f"
    mean, std, low, high = (
        _written(found.get(key), form) for key in ("mean", "std", "low", "high")
    )
    return [mean, std, f"{low} to {high}"]


def _evaluation_table(found: Tree, names: Names) -> dict[str, Any]:
    measures = list(_tree(found.get("measures")).items())[:NAMED]
    left_out = list(_tree(found.get("left_out")).items())[:NAMED]
    return {
        "title": f"evaluate, {names[_way(found)]}",
        "heads": [_of_what(found), "figure", "95 % interval", "pictures"],
        "rows": [_measure(name, _tree(one)) for name, one in measures],
        "notes": [shown(f"{k}: {_text(v)}", limit=LONGEST_LINE) for k, v in left_out],
    }


def _of_what(found: Tree) -> str:
    sizes = [_text(size) for size in _list(found.get("sizes"))]
    between = " to ".join(dict.fromkeys(sizes[:1] + sizes[-1:]))
    step = _float(found.get("step")) or 0
    count = _float(_tree(found.get("counts")).get("translated")) or 0
    resized = ", resized" if found.get("resize") else ""
    return shown(f"step {step:,.0f}, {count:,.0f} pictures, {between} px{resized}")


def _measure(name: str, found: Tree) -> list[str]:
    interval = _list(found.get("interval"))[:2]
    count = _float(found.get("count")) or 0
    return [
        shown(title_of(name, better=_text(found.get("better")))),
        _figure(found.get("value")),
        " to ".join(_figure(end) for end in interval),
        f"{count:,.0f}",
    ]


def _figure(value: Any) -> str:
    finite = _float(value)
    return "-" if finite is None else figure_of(finite)


def _written(value: Any, form: str) -> str:
    finite = _float(value)
    return "-" if finite is None else f"{finite:{form}}"


def _way(found: Tree) -> str:
    return "ba" if found.get("direction") == "ba" else "ab"


def _tree(value: Any) -> Tree:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _float(value: Any) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
