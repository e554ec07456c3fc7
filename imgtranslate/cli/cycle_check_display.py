"""The tables of ``imgtranslate cycle-check``."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgtranslate.cli.terminal import printable
from imgtranslate.evaluation.cycle_check.schema import TITLES

if TYPE_CHECKING:
    from imgtranslate.evaluation.cycle_check.results import CycleReport, DirectionReport
    from imgtranslate.evaluation.cycle_check.schema import Spread
    from imgtranslate.evaluation.cycle_check.scores import CycleScore

ROWS = 20  # of the table
SHORTEST_NAME, LONGEST_NAME = 30, 34  # characters
LINE = 88  # characters, of sentences


def table(report: "CycleReport") -> list[str]:
    """Write the pictures, each direction's numbers and verdict, and the verdict of all."""
    scores, width = report.scores, _name_width(report)
    titles = ("error", "PSNR", "SSIM", "change", "identity")
    lines = [_cells("", titles, width)] if scores else []
    lines += [_score_line(score, width) for score in scores[:ROWS]]
    if len(scores) > ROWS:
        lines.append(f"… and {len(scores) - ROWS} more")
    for name, direction in report.directions.items():
        lines += ["", *_direction_lines(name, direction, width)]
    lines += ["", *(f"fell short: {line}" for line in report.shortfalls)]
    measured = f"{len(scores)} of {len(report.outcomes)} measured"
    return [*lines, f"verdict: {report.verdict} ({measured})"]


def _direction_lines(name: str, report: "DirectionReport", width: int) -> list[str]:
    summary, judgement = report.summary, report.judgement
    heading = f"{name[0]} to {name[1]} and back: mean of {summary.count}"
    lines = [_cells(heading, ("mean", "spread", "95 % interval"), width)]
    lines += [_spread_line(said, summary.numbers[key], width) for key, said in TITLES.items()]
    lines.append(_identity_line(name, report.identity, width))
    if summary.count > len(summary.worst):
        lines.append(f"worst {len(summary.worst)}")
        lines += [_score_line(score, width) for score in summary.worst]
    sentence = f"{' and '.join(judgement.verdicts)}: {judgement.reason}"
    return [*lines, *textwrap.wrap(sentence, LINE, initial_indent="-> ", subsequent_indent="   ")]


def _identity_line(name: str, spread: "Spread | None", width: int) -> str:
    if spread is None:
        return f"identity: no pictures of {name[1]} at hand, or the channels differ"
    return _spread_line(f"identity, {spread.count} of {name[1]}", spread, width)


def _spread_line(said: str, spread: "Spread | None", width: int) -> str:
    if spread is None:
        return _cells(said, ("-", "-", "-"), width)
    form = ".1f" if "dB" in said else ".4f"
    interval = f"{spread.low:{form}} to {spread.high:{form}}"
    return _cells(said, (f"{spread.mean:{form}}", f"{spread.std:{form}}", interval), width)


def _score_line(score: "CycleScore", width: int) -> str:
    ratio = "equal" if math.isinf(score.psnr) else f"{score.psnr:.1f}"
    numbers = [_number(n) for n in (score.mae, score.ssim, score.change, score.identity)]
    return _cells(_short(str(score.path), width), (numbers[0], ratio, *numbers[1:]), width)


def _cells(name: str, cells: Sequence[str], width: int) -> str:
    return f"{name:{width}}" + "".join(f"  {cell:>8}" for cell in cells)


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _name_width(report: "CycleReport") -> int:
    names = [len(printable(str(score.path))) for score in report.scores]
    return min(max([*names, SHORTEST_NAME]), LONGEST_NAME)


def _short(name: str, width: int) -> str:
    """Cut a long name to its end, which tells more than its beginning."""
    name = printable(name)
    return name if len(name) <= width else f"…{name[1 - width :]}"
