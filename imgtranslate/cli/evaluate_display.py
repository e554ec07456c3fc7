"""The tables and the CSV of ``imgtranslate evaluate``."""

import csv
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imgtranslate.cli.terminal import printable, result
from imgtranslate.errors import counted

if TYPE_CHECKING:
    from rich.table import Table

    from imgtranslate.evaluation.evaluate.evaluation import Evaluation
    from imgtranslate.evaluation.evaluate.schema import DirectionFigures, Figure, Rank
    from imgtranslate.metrics.estimate import Difference

Columns = list["Evaluation"]  # one for each run, all of the same direction
WIDTH = 120  # characters, if stdout is not a terminal
CSV_COLUMNS = (
    *("run", "direction", "source", "target", "step", "measure"),
    *("better", "value", "low", "high", "pictures", "best_rank", "worst_rank"),
)
RANKS = (
    "rank 1 is best; runs share ranks, as in 1-2, if the interval of their difference includes 0"
)


def write_tables(found: list[Columns]) -> None:
    """Print a table for each direction to stdout, and below it the measures that lack something."""
    from rich.console import Console

    from imgtranslate.evaluation.evaluate.evaluation import side_by_side

    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=WIDTH)
    for columns in side_by_side(found):
        console.print(_table(columns) if len(columns) < 3 else _ranking(columns))
        for line in _notes(columns):
            result(printable(line))


def _table(columns: Columns) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from imgtranslate.evaluation.evaluate.evaluation import differences
    from imgtranslate.evaluation.evaluate.schema import title_of

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
        if len(columns) > 1:
            difference = apart.get(name)
            unclear = difference is not None and not difference.is_clear
            cells.append(_cell(difference, sign="+") + (" unclear" if unclear else ""))
        table.add_row(title_of(name, better=better), *cells)
    return table


def _ranking(columns: Columns) -> "Table":
    """Return a table with the runs below each measure, the best first."""
    from rich.table import Table
    from rich.text import Text

    from imgtranslate.evaluation.evaluate.evaluation import ranks
    from imgtranslate.evaluation.evaluate.schema import title_of

    first = columns[0].figures
    table = Table(title=Text(printable(f"{first.source} to {first.target}")), title_justify="left")
    table.add_column("measure", overflow="fold")
    table.add_column("figure (95 % interval)", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    for name, places in ranks(columns).items():
        if name.startswith("swd_"):  # a level of the distance; JSON and CSV have them
            continue
        found = [(one.figures, one.figures.measures.get(name)) for one in columns]
        better = next(figure.better for _, figure in found if figure is not None)
        table.add_section()
        table.add_row(title_of(name, better=better), "", "")
        rows = [
            (figure.value, printable(run.name), figure, str(place))
            for (run, figure), place in zip(found, places, strict=True)
            if figure is not None
        ]
        for _, label, figure, place in sorted(
            rows, key=lambda row: row[0], reverse=better == "higher"
        ):
            table.add_row(Text(f"  {label}"), _cell(figure), place)
        for title, figure in _baselines(columns, name):
            table.add_row(title, _cell(figure), "")
    return table


def _baselines(columns: Columns, name: str) -> Iterator[tuple[str, "Figure"]]:
    """Yield the baselines of a measure, once if they are the same for all runs."""
    from imgtranslate.evaluation.evaluate.schema import BASELINES

    for end, title in BASELINES.items():
        found = [one.figures.measures.get(f"{name}{end}") for one in columns]
        for figure in dict.fromkeys(figure for figure in found if figure is not None):
            yield title, figure


def to_csv(found: list[Columns]) -> str:
    """Write a row for each figure of each run; ranks of three runs or more."""
    from imgtranslate.evaluation.evaluate.evaluation import ranks, side_by_side

    places: dict[tuple[str, str, int], Rank | None] = {}
    if len(found) > 2:
        for columns in side_by_side(found):
            for name, row in ranks(columns).items():
                way = columns[0].figures.direction
                places |= {(way, name, number): place for number, place in enumerate(row)}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for number, run in enumerate(found):
        for one in (evaluation.figures for evaluation in run):
            for name, figure in one.measures.items():
                place = places.get((one.direction, name, number))
                low, high = figure.interval or ("", "")
                table.writerow(
                    [one.name, one.direction, one.source, one.target, one.step, name]
                    + [figure.better, figure.value, low, high, figure.count]
                    + ([place.best, place.worst] if place else ["", ""])
                )
    return text.getvalue().removesuffix("\n")


def _cell(figure: "Figure | Difference | None", *, sign: str = "") -> str:
    from imgtranslate.evaluation.evaluate.schema import figure_of

    if figure is None:
        return "-"
    value, *interval = (figure_of(each, sign) for each in (figure.value, *figure.interval))
    return f"{value} ({' to '.join(interval)})" if interval else value


def _notes(columns: Columns) -> Iterator[str]:
    from imgtranslate.evaluation.evaluate.schema import left_out_line

    counts = [_counts(one.figures) for one in columns]
    if len(columns) > 2 and len(set(counts)) == 1:
        yield f"each run: {counts[0]}"
    else:
        yield from (f"{one.figures.name}: {n}" for one, n in zip(columns, counts, strict=True))
    if len(columns) > 2:
        yield RANKS
    if line := left_out_line(columns[0].figures.left_out):
        yield line
    if any(one.files != columns[0].files for one in columns):
        yield "the runs were measured on different pictures, so differences are less certain"


def _counts(figures: "DirectionFigures") -> str:
    sizes, counts, resize = figures.sizes, figures.counts, figures.resize
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
    kind = "pairs" if figures.paired else counted(counts.real, "real picture")
    resized = f"resized ({resize.method})" if resize else "not resized"
    pictures = counted(counts.translated, "translated picture")
    return f"step {figures.step:,}, {pictures}, {kind}, {size} px, {resized}"
