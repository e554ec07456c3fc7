"""The result of a cycle check over all pictures, and its shortfalls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from imgtranslate.evaluation.cycle_check.schema import (
    NUMBERS,
    CycleCheckFile,
    DirectionFigures,
    Figures,
    Row,
    Spread,
    Summary,
    Worst,
    worst_of,
)
from imgtranslate.evaluation.cycle_check.scores import CycleScore
from imgtranslate.evaluation.cycle_check.verdicts import (
    Verdict,
    gravest,
    judge,
    judge_one_way,
    other_content,
)
from imgtranslate.metrics.estimate import LEAST_PICTURES, bootstrap_interval
from imgtranslate.settings.config import Direction


def results_of(
    scores: Sequence[CycleScore],
    *,
    identities: Mapping[Direction, Sequence[float]] | None = None,
    steps: Mapping[Direction, int] | None = None,
    fail_above: float | None = None,
    fail_on: Sequence[Verdict] = (),
    partial: bool = False,
) -> CycleCheckFile:
    """Return the results over all pictures, as `cycle-check` prints them in JSON.

    ``identities``: identity errors of further pictures, by the direction of their generator.
    ``steps``: the steps of the models. ``fail_above``: the largest accepted mean error of a
    direction. ``fail_on``: verdicts that no direction may have. ``partial``: the check was stopped.
    """
    measured = [score for score in scores if score.row.error is None]
    directions: dict[Direction, DirectionFigures] = {}
    for way in sorted({score.row.direction for score in measured}):
        there = [score for score in measured if score.row.direction == way]
        opposite = [s.row.identity for s in measured if s.row.direction != way]
        identity = spread_of([*opposite, *(identities or {}).get(way, ())])
        figures = summarise([score.row for score in there])
        thumbnails = [score.thumbnails for score in there]
        edges = [score.edges for score in there if score.edges is not None]
        if edges:
            other = other_content(edges)
            judgement = judge_one_way(Figures(**figures), thumbnails, other=other)
            figures["other_content"] = other
        else:
            judgement = judge(Figures(**figures), thumbnails)
        directions[way] = DirectionFigures(**figures | {"identity": identity}, **dict(judgement))
    if not measured and (fail_above is not None or fail_on):
        shortfalls = ["nothing could be measured"]
    else:
        shortfalls = list(_shortfalls(directions, fail_above=fail_above, fail_on=fail_on))
    return CycleCheckFile(
        images=tuple(score.row for score in scores),
        summary=Summary(
            **summarise([score.row for score in measured]),
            failed=len(scores) - len(measured),
            directions={str(way): found for way, found in directions.items()},
            shortfalls=tuple(shortfalls),
        ),
        steps={str(way): step for way, step in (steps or {}).items()},
        verdict=gravest(found.verdict for found in directions.values()),
        partial=partial,
    )


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fields of ``Figures``, without the numbers if there are no pictures."""
    values = [dict(row) for row in rows]
    measured = set[str]().union(*(row.model_fields_set for row in rows))
    return {
        "count": len(rows),
        **{name: spread_of(row[name] for row in values) for name in NUMBERS if name in measured},
        "worst": tuple(
            Worst(path=row.path, mae=row.mae)
            if row.mae is not None
            else Worst(path=row.path, content=row.content)
            for row in worst_of(rows)
        ),
    }


def spread_of(numbers: Iterable[float | None]) -> Spread | None:
    """Return mean, spread and interval of the known numbers; None if there are none.

    Fewer than 5 numbers have no interval.
    """
    values = np.array([number for number in numbers if number is not None])
    if not values.size:
        return None
    enough = values.size >= LEAST_PICTURES
    low, high = bootstrap_interval(values) if enough else (None, None)
    mean, std = float(values.mean()), float(values.std())
    return Spread(mean=mean, std=std, low=low, high=high, count=values.size)


def _shortfalls(
    directions: Mapping[Direction, DirectionFigures],
    *,
    fail_above: float | None,
    fail_on: Sequence[Verdict],
) -> Iterator[str]:
    for way, found in directions.items():
        if fail_above is not None and found.mae and found.mae.mean > fail_above:
            yield f"{way}: the mean error {found.mae.mean:.4f} is above {fail_above:g}"
        yield from (f"{way}: {verdict}" for verdict in found.verdicts if verdict in fail_on)
