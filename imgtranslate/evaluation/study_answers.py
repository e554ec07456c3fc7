"""The answers of several people to one study, from the CSV files that its page saves."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from imgtranslate.errors import UsageError, one_line
from imgtranslate.metrics.estimate import RESAMPLES, Values, percentiles, wilson

Mode = Literal["fooled", "better"]

COLUMNS: dict[Mode, tuple[str, ...]] = {  # the side that is right, the answer, and their comparison
    "fooled": ("trial", "scored", "real", "answer", "fooled"),
    "better": ("trial", "scored", "first_model", "answer", "preferred_first"),
}
SIDES = ("left", "right")
LARGEST_FILE = 2**20  # bytes; 100 answers take 10 kB
REMEDY = "Ask for the file again, or leave it out"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The scored answers of one person."""

    file: Path
    mode: Mode
    study: str  # identity of the page; empty for pages of earlier versions
    models: tuple[str, ...]  # one, or the two that were compared
    sides: dict[int, str]  # of the real picture or the first model, by trial
    hits: dict[int, bool]  # taken for real, or the first model preferred, by trial
    rows: tuple[tuple[str, ...], ...]  # with the times, which no two people share


@dataclass(frozen=True, kw_only=True)
class Share:
    """The share of the answers for a model, with its 95 % interval."""

    model: str
    value: float
    interval: tuple[float, float]
    hits: int


@dataclass(frozen=True, kw_only=True)
class Collected:
    """The answers of all people together."""

    mode: Mode
    people: int
    trials: int
    shares: tuple[Share, ...]  # one for each model
    by_person: tuple[float, ...]  # share of each person, of the first model
    same: float | None  # share of two answers to one trial that are equal; None for one person
    kappa: float | None  # agreement beyond chance (Fleiss 1971); None if all answers are equal


def collect(files: Sequence[Path]) -> Collected:
    """Gather the answers to one study, a file for each person.

    Raises ``UsageError`` for files that are damaged, of different studies, or of the same person.
    """
    people = [read_answers(file) for file in files]
    first = people[0]
    seen: dict[tuple[tuple[str, ...], ...], Path] = {}
    for person in people:
        if (person.mode, person.study, person.models) != (first.mode, first.study, first.models):
            raise _of_another_study(person, first)
        if person.sides != first.sides:
            missing = sorted(first.sides.keys() ^ person.sides.keys())
            if missing:
                has = "lacks" if missing[0] in first.sides else "has"
                raise UsageError(
                    f"{person.file}: {has} trial {missing[0]}, unlike {first.file}. {REMEDY}"
                )
            raise _of_another_study(person, first)
        if person.rows in seen:
            raise UsageError(
                f"{person.file}: the same answers as {seen[person.rows]}. Give each file once"
            )
        seen[person.rows] = person.file

    hits = np.array([[person.hits[n] for n in first.sides] for person in people], np.float64)
    models = first.models or ("the model", "the other model")[: 1 if first.mode == "fooled" else 2]
    same, kappa = agreement(hits)
    return Collected(
        mode=first.mode,
        people=len(people),
        trials=hits.shape[1],
        shares=tuple(
            Share(
                model=model,
                value=float(answers.mean()),
                interval=interval_of_share(answers),
                hits=int(answers.sum()),
            )
            for model, answers in zip(models, (hits, 1 - hits), strict=False)
        ),
        by_person=tuple(hits.mean(1).tolist()),
        same=same,
        kappa=kappa,
    )


def read_answers(file: Path) -> Answers:
    """Read the file of one person. Raises ``UsageError`` if the page did not write it."""
    try:
        if not file.is_file():
            raise UsageError(f"{file}: no such file. Name CSV files that the page of a study saved")
        if file.stat().st_size > LARGEST_FILE:
            raise UsageError(f"{file}: too large for the answers to a study. {REMEDY}")
        text = file.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)  # spreadsheets change it
        table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(table.line_num, cells) for cells in table if any(cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = one_line(str(error))
        raise UsageError(f"{file}: not a readable CSV file: {reason}. {REMEDY}") from error
    head = rows[0][1] if rows else []
    mode = next((mode for mode, names in COLUMNS.items() if set(names) <= set(head)), None)
    if mode is None:
        raise UsageError(f"{file}: not the answers to a study: it lacks their columns. {REMEDY}")

    names = ("model",) if mode == "fooled" else ("first", "second")
    studies, sides, hits = set[tuple[str, ...]](), dict[int, str](), dict[int, bool]()
    for number, cells in rows[1:]:
        row = dict(zip(head, cells, strict=False))
        trial, scored, side, answer, hit = (row.get(name, "") for name in COLUMNS[mode])
        right = answer == side if mode == "better" else answer != side
        number_of_trial = trial.isascii() and trial.isdigit() and len(trial) < 6
        known = scored in ("0", "1") and side in SIDES and answer in SIDES
        if len(cells) != len(head) or not known or not number_of_trial or hit != str(int(right)):
            raise UsageError(f"{file}: line {number} is damaged. {REMEDY}")
        if int(trial) in sides:
            raise UsageError(f"{file}: line {number} repeats trial {int(trial)}. {REMEDY}")
        studies.add((row.get("study", ""), *(row[name] for name in names if name in row)))
        sides[int(trial)] = side
        if scored == "1":
            hits[int(trial)] = right
    if not hits:
        raise UsageError(f"{file}: contains no answers that count. {REMEDY}")
    if len(studies) > 1:
        raise UsageError(f"{file}: answers to several studies. {REMEDY}")
    ((study, *models),) = studies
    return Answers(
        file=file,
        mode=mode,
        study=study,
        models=tuple(models),
        sides={trial: sides[trial] for trial in sorted(hits)},
        hits=hits,
        rows=tuple(tuple(cells) for _, cells in rows),
    )


def interval_of_share(hits: Values) -> tuple[float, float]:
    """Return the 95 % interval of the mean of (people, trials), for other people and pictures.

    People and pictures are drawn anew (Owen 2007). The interval of as many independent answers
    (Wilson) is the narrowest: few people, or equal answers, cannot make it narrower.
    """
    rng = np.random.default_rng(0)
    people, trials = (
        rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) for count in hits.shape
    )
    drawn = percentiles(((people @ hits) * trials).sum(1) / hits.size)
    independent = wilson(float(hits.mean()), hits.size)
    return min(drawn[0], independent[0]), max(drawn[1], independent[1])


def agreement(hits: Values) -> tuple[float | None, float | None]:
    """Return the share of equal pairs of answers of (people, trials), and Fleiss' kappa."""
    people = len(hits)
    if people < 2:
        return None, None
    ones = hits.sum(0)
    equal = ones * (ones - 1) + (people - ones) * (people - ones - 1)
    same, share = float(equal.mean() / (people * (people - 1))), float(hits.mean())
    chance = share**2 + (1 - share) ** 2
    return same, (same - chance) / (1 - chance) if chance < 1 else None


def _of_another_study(person: Answers, first: Answers) -> UsageError:
    return UsageError(
        f"{person.file}: answers to another study than {first.file}. Give the files of one study"
    )
