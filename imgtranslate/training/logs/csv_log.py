"""``metrics.csv`` in a run: the rows of ``metrics.jsonl`` as a table."""

import csv
import io
from collections.abc import Iterable

from imgtranslate.files import explained, write_text
from imgtranslate.runs.folder import MetricsRow, Run
from imgtranslate.training.events import Event, Logged, Started


class CsvLog:
    """The table, which is written anew from ``metrics.jsonl`` when appending is not enough.

    That is at the start, for a new column, and after a recovery. So both files always agree.
    """

    def __init__(self, started: Started) -> None:
        self.run = Run(started.run)
        self.path = self.run.folder / "metrics.csv"
        self.place = str(self.path)
        self.columns: list[str] = []
        self.step = 0
        self._write_anew()

    def show(self, event: Event) -> None:
        """Write a row of the log."""
        if not isinstance(event, Logged):
            return
        if event.row.step < self.step or not event.row.numbers.keys() <= {*self.columns}:
            self._write_anew()
        else:
            with explained(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_lines([self._cells(event.row)]))
        self.step = event.row.step

    def close(self) -> None:
        """Do nothing: every row has been written."""

    def _write_anew(self) -> None:
        rows = [*self.run.read_metrics()]
        self.columns = [*dict.fromkeys(name for row in rows for name in row.numbers)]
        head = ["step", *self.columns, "health"]
        write_text(self.path, _lines([head, *map(self._cells, rows)]))

    def _cells(self, row: MetricsRow) -> list[str]:
        numbers = (row.numbers.get(name) for name in self.columns)
        cells = ["" if number is None else _spell(number) for number in numbers]
        return [str(row.step), *cells, "; ".join(row.health.values())]


def _lines(rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _spell(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)
