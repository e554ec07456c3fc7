"""Rows of figures as a Markdown table."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def to_table(rows: Sequence[Row]) -> str:
    """Write rows as a table with a column for each name; a missing figure is an empty cell."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line([row.get(column, "") for column in columns]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"
