"""Rows of ``metrics.jsonl`` that somebody has edited."""

import json
import math
from pathlib import Path

import pytest

from imgtranslate.runs.folder import MetricsRow, Run, parse_row
from imgtranslate.settings.config import DataSettings, Settings
from imgtranslate.training.health import Health

ROW = {
    "step": 4, "epoch": 1, "lr": 0.001, "discriminator_a": 0.4, "gan_ab": 0.9, "validation": 1.5,
    "spread_ab": 0.01, "brightness_ab": -0.5, "diversity": 0.2,
}  # fmt: skip


def test_a_row_has_a_step_numbers_and_warnings() -> None:
    line = json.dumps({**ROW, "health": {"collapsed_ab": "A to B has collapsed"}})
    row = parse_row(line)
    assert row is not None
    assert (row.step, row.health) == (4, {"collapsed_ab": "A to B has collapsed"})
    assert row.numbers == {name: value for name, value in ROW.items() if name != "step"}


@pytest.mark.parametrize(
    "line",
    [
        *("", "7", "[]", "null", '{"step": 1', "{}", '{"step": null}', '{"step": "1"}'),
        *('{"step": NaN}', '{"step": 1e999}', '{"step": [1]}', "[" * 100_000, "1" * 5000),
    ],
)
def test_a_line_without_a_step_is_no_row(line: str) -> None:
    assert parse_row(line) is None


@pytest.mark.parametrize("value", [None, "text", [1.0], {"a": 1}, True])
@pytest.mark.parametrize("name", [*ROW, "health"][1:])
def test_values_of_other_kinds_are_left_out(tmp_path: Path, name: str, value: object) -> None:
    run = Run(tmp_path)
    run.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in (ROW, {**ROW, name: value})))
    first, second = run.read_metrics()
    assert name not in second.numbers
    assert first == MetricsRow(step=4, numbers=first.numbers, health={})
    assert second.health == {}
    health = Health(settings=Settings(data=DataSettings(a="a", b="b")))
    for row in (first, second):  # as train --resume reads them
        health.see({"step": row.step, **row.numbers})


def test_a_number_that_is_not_finite_stays() -> None:
    row = parse_row('{"step": 1, "x": NaN, "y": Infinity}')
    assert row is not None
    assert math.isnan(row.numbers["x"])
    assert math.isinf(row.numbers["y"])
