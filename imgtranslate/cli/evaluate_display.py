"""The tables of ``imgtranslate evaluate``."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imgtranslate.cli.terminal import printable, result
from imgtranslate.errors import counted
from imgtranslate.evaluation.evaluate.schema import figure_of, title_of

if TYPE_CHECKING:
    from rich.table import Table

    from imgtranslate.evaluation.evaluate.evaluation import Evaluation
    from imgtranslate.evaluation.evaluate.schema import DirectionFigures, Figure
    from imgtranslate.metrics.estimate import Difference

Columns = list["Evaluation"]  # one for each run, all of the same direction
_WIDTH = 120  # characters, if stdout is not a terminal


def write_tables(found: list[Columns]) -> None:
    """Print a table for each direction to stdout, and below it the measures that do not apply."""
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

    from imgtranslate.evaluation.evaluate.evaluation import differences

    first = columns[0].figures
    title = Text(printable(f"{first.source} to {first.target}"))
    table = Table(title=title, title_justify="left")
    table.add_column("measure", no_wrap=True)
    for one in columns:
        table.add_column(Text(printable(one.figures.name)), justify="right")
    if len(columns) > 1:
        table.add_column("difference", justify="right")
    apart = differences(columns[0], columns[1]) if len(columns) > 1 else {}
    measures = [one.figures.measures for one in columns]
    for name in dict.fromkeys(name for found in measures for name in found):
        better = next(found[name].better for found in measures if name in found)
        cells = [_cell(found.get(name)) for found in measures]
        cells += [_difference_cell(apart.get(name))] if len(columns) > 1 else []
        table.add_row(title_of(name, better=better), *cells)
    return table


def _cell(figure: "Figure | None") -> str:
    if figure is None:
        return "-"
    low, high = figure.interval
    return f"{figure_of(figure.value)} ({figure_of(low)} to {figure_of(high)})"


def _difference_cell(difference: "Difference | None") -> str:
    if difference is None:
        return "-"
    low, high = difference.interval
    mark = "" if difference.is_clear else " unclear"
    value, least, most = (figure_of(figure, "+") for figure in (difference.value, low, high))
    return f"{value} ({least} to {most}){mark}"


def _notes(columns: Columns) -> Iterator[str]:
    for one in columns:
        yield f"{one.figures.name}: {_counts(one.figures)}"
    for measure, reason in columns[0].figures.left_out.items():
        yield f"not measured: {measure}: {reason}"
    if len(columns) > 1 and columns[0].files != columns[1].files:
        yield "the two runs were measured on different pictures, so differences are less certain"


def _counts(figures: "DirectionFigures") -> str:
    sizes, counts, resize = figures.sizes, figures.counts, figures.resize
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
    kind = "pairs" if figures.paired else counted(counts.real, "real picture")
    resized = f"resized ({resize.method})" if resize else "not resized"
    pictures = counted(counts.translated, "translated picture")
    return f"step {figures.step:,}, {pictures}, {kind}, {size} px, {resized}"
