"""The tables of ``imgtranslate cycle-check``."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from imgtranslate.cli.terminal import printable
from imgtranslate.errors import counted
from imgtranslate.evaluation.cycle_check.schema import TITLES, worst_of

if TYPE_CHECKING:
    from imgtranslate.evaluation.cycle_check.schema import (
        CycleCheckFile,
        DirectionFigures,
        Row,
        Spread,
    )

ROWS = 20  # pictures in the table
NAME = 30  # columns; with five cells a line has 80
LINE = 80  # columns of a sentence


def table(found: "CycleCheckFile", *, domains: tuple[str, str]) -> list[str]:
    """Write the pictures, the figures and verdict of each direction, and the overall verdict.

    ``domains``: the names of A and B.
    """
    rows = [row for row in found.images if row.error is None]
    titles = ("error", "PSNR", "SSIM", "change", "identity")
    lines = [_cells("", titles)] if rows else []
    lines += [_row_line(row) for row in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"… and {len(rows) - ROWS} more")
    for way, figures in found.summary.directions.items():
        here = [row for row in rows if row.direction == way]
        ends = domains if way == "ab" else domains[::-1]
        lines += ["", *_direction_lines(ends, figures, here)]
    lines += ["", *(_shortfall(line, domains) for line in found.summary.shortfalls)]
    measured = f"{len(rows)} of {len(found.images)} measured"
    return [*lines, f"verdict: {found.verdict} ({measured})"]


def _direction_lines(
    domains: tuple[str, str], found: "DirectionFigures", rows: "Sequence[Row]"
) -> list[str]:
    source, target = map(printable, domains)
    spreads = dict(found)
    lines = [f"{source} → {target} and back, {counted(found.count, 'picture')}:"]
    lines.append(_cells("", ("mean", "spread", "95 % interval")))
    lines += [_spread_line(said, spreads[key]) for key, said in TITLES.items()]
    if found.identity is None:
        lines.append(f"identity: not measured, without pictures of {target} of as many channels")
    else:
        pictures = counted(found.identity.count, "picture")
        lines.append(_spread_line(f"identity, {pictures}", found.identity))
    if found.count > len(found.worst):
        lines.append(f"worst {len(found.worst)}")
        lines += [_row_line(row) for row in worst_of(rows)]
    sentence = f"{' and '.join(found.verdicts)}: {found.reason}"
    return [*lines, *textwrap.wrap(sentence, LINE, initial_indent="-> ", subsequent_indent="   ")]


def _shortfall(line: str, domains: tuple[str, str]) -> str:
    """Name the domains in a reason to fail, which begins with its direction."""
    way, _, reason = line.partition(": ")
    source, target = domains if way == "ab" else domains[::-1]
    return f"fell short: {printable(source)} → {printable(target)}: {reason}"


def _spread_line(said: str, spread: "Spread | None") -> str:
    cells = spread.cells(".1f" if "dB" in said else ".4f") if spread else ["-", "-", "-"]
    return _cells(said, cells)


def _row_line(row: "Row") -> str:
    ratio = "equal" if row.psnr is None else f"{row.psnr:.1f}"
    error, *others = (
        "-" if number is None else f"{number:.4f}"
        for number in (row.mae, row.ssim, row.change, row.identity)
    )
    return _cells(_short(row.path), (error, ratio, *others))


def _cells(name: str, cells: Sequence[str]) -> str:
    return name + " " * (NAME - cell_len(name)) + "".join(f"  {cell:>8}" for cell in cells)


def _short(name: str) -> str:
    """Shorten a long name to its end, which is the more telling part."""
    name = printable(name)
    if cell_len(name) <= NAME:
        return name
    while cell_len(name) >= NAME:
        name = name[1:]
    return f"…{name}"
