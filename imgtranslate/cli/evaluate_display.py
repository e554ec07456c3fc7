"""The tables of ``imgtranslate evaluate``."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imgtranslate.cli.terminal import printable, result
from imgtranslate.evaluation.evaluate.schema import figure_of, title_of

if TYPE_CHECKING:
    from rich.table import Table

    from imgtranslate.evaluation.evaluate.evaluation import Evaluation
    from imgtranslate.metrics.estimate import Difference, Estimate

Columns = list["Evaluation"]  # of one direction, one for each run
_WIDTH = 120  # characters, where no terminal says otherwise


def write_tables(found: list[Columns]) -> None:
    """Print a table of each direction to stdout, and below it what was left out."""
    from rich.console import Console

    from imgtranslate.evaluation.evaluate.evaluation import side_by_side

    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=_WIDTH)
    for columns in side_by_side(found):
        console.print(_table(columns))
        for line in _notes(columns):
            result(printable(line))


def _table(columns: Columns) -> "Table":
    from rich.table import Table
    from rich.text import Text

    header = columns[0].subject.header
    table = Table(
        title=Text(printable(f"{header.source} to {header.target}")), title_justify="left"
    )
    table.add_column("measure", no_wrap=True)
    for one in columns:
        table.add_column(Text(printable(one.subject.name)), justify="right")
    apart = _differences(columns)
    if len(columns) > 1:
        table.add_column("difference", justify="right")
    for name in _names(columns):
        cells = [_cell(one.estimates.get(name)) for one in columns]
        difference = [_difference_cell(apart.get(name))] if len(columns) > 1 else []
        table.add_row(_title(name, columns), *cells, *difference)
    return table


def _names(columns: Columns) -> list[str]:
    return list(dict.fromkeys(name for one in columns for name in one.estimates))


def _title(name: str, columns: Columns) -> str:
    better = next(one.estimates[name].better for one in columns if name in one.estimates)
    return title_of(name, better=better)


def _cell(estimate: "Estimate | None") -> str:
    if estimate is None:
        return "-"
    low, high = estimate.interval
    return f"{figure_of(estimate.value)} ({figure_of(low)} to {figure_of(high)})"


def _difference_cell(difference: "Difference | None") -> str:
    if difference is None:
        return "-"
    low, high = difference.interval
    mark = "" if difference.is_clear else " unclear"
    value, least, most = (figure_of(figure, "+") for figure in (difference.value, low, high))
    return f"{value} ({least} to {most}){mark}"


def _differences(columns: Columns) -> "dict[str, Difference]":
    from imgtranslate.evaluation.evaluate.evaluation import differences

    return differences(columns[0], columns[1]) if len(columns) > 1 else {}


def _notes(columns: Columns) -> Iterator[str]:
    for one in columns:
        yield f"{one.subject.name}: {_counts(one)}"
    for measure, reason in columns[0].left_out.items():
        yield f"left out: {measure}: {reason}"
    if len(columns) > 1 and columns[0].subject.source.files != columns[1].subject.source.files:
        yield "the pictures are not the same, so the difference is that of two separate draws"


def _counts(one: "Evaluation") -> str:
    figures, source = one.figures(), one.subject.source
    sizes, counts = figures.sizes, figures.counts
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
    kind = "pairs" if figures.paired else f"{counts.real} real ones"
    resized = f"resized ({source.resample})" if source.side else "not resized"
    return f"step {figures.step}, {counts.translated} pictures, {kind}, {size} px, {resized}"
