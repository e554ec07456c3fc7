"""The tables of ``imgtranslate cycle-check``."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgtranslate.cli.terminal import printable
from imgtranslate.evaluation.cycle_check.schema import TITLES, worst_of

if TYPE_CHECKING:
    from imgtranslate.evaluation.cycle_check.schema import (
        CycleCheckFile,
        DirectionFigures,
        Row,
        Spread,
    )

ROWS = 20  # of the table
SHORTEST_NAME, LONGEST_NAME = 30, 34  # characters
LINE = 88  # characters, of sentences


def table(found: "CycleCheckFile") -> list[str]:
    """Write the pictures, each direction's numbers and verdict, and the verdict of all."""
    rows = [row for row in found.images if row.error is None]
    names = [len(printable(row.path)) for row in rows]
    width = min(max([*names, SHORTEST_NAME]), LONGEST_NAME)
    titles = ("error", "PSNR", "SSIM", "change", "identity")
    lines = [_cells("", titles, width)] if rows else []
    lines += [_row_line(row, width) for row in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"… and {len(rows) - ROWS} more")
    for way, figures in found.summary.directions.items():
        here = [row for row in rows if row.direction == way]
        lines += ["", *_direction_lines(way, figures, here, width)]
    lines += ["", *(f"fell short: {line}" for line in found.summary.shortfalls)]
    measured = f"{len(rows)} of {len(found.images)} measured"
    return [*lines, f"verdict: {found.verdict} ({measured})"]


def _direction_lines(
    way: str, found: "DirectionFigures", rows: "Sequence[Row]", width: int
) -> list[str]:
    heading, spreads = f"{way[0]} to {way[1]} and back: mean of {found.count}", dict(found)
    lines = [_cells(heading, ("mean", "spread", "95 % interval"), width)]
    lines += [_spread_line(said, spreads[key], width) for key, said in TITLES.items()]
    if found.identity is None:
        lines.append(f"identity: no pictures of {way[1]} at hand, or the channels differ")
    else:
        said = f"identity, {found.identity.count} of {way[1]}"
        lines.append(_spread_line(said, found.identity, width))
    if found.count > len(found.worst):
        lines.append(f"worst {len(found.worst)}")
        lines += [_row_line(row, width) for row in worst_of(rows)]
    sentence = f"{' and '.join(found.verdicts)}: {found.reason}"
    return [*lines, *textwrap.wrap(sentence, LINE, initial_indent="-> ", subsequent_indent="   ")]


def _spread_line(said: str, spread: "Spread | None", width: int) -> str:
    cells = spread.cells(".1f" if "dB" in said else ".4f") if spread else ["-", "-", "-"]
    return _cells(said, cells, width)


def _row_line(row: "Row", width: int) -> str:
    ratio = "equal" if row.psnr is None else f"{row.psnr:.1f}"
    error, *others = (
        "-" if number is None else f"{number:.4f}"
        for number in (row.mae, row.ssim, row.change, row.identity)
    )
    return _cells(_short(row.path, width), (error, ratio, *others), width)


def _cells(name: str, cells: Sequence[str], width: int) -> str:
    return f"{name:{width}}" + "".join(f"  {cell:>8}" for cell in cells)


def _short(name: str, width: int) -> str:
    """Cut a long name to its end, which tells more than its beginning."""
    name = printable(name)
    return name if len(name) <= width else f"…{name[1 - width :]}"
