"""The verdict on a model that was trained on pairs: its held-out translations against the truth.

A cycle check needs a way back, which these models lack. Their verdict rests on the truth instead:
the error must be smaller than that of the untouched input, and a translation must agree with its
own truth more than with another one. Both are tested by their 95 % intervals, and fewer than 5
pairs are not judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from imgtranslate.evaluation.cycle_check.scores import thumbnail
from imgtranslate.evaluation.cycle_check.verdicts import SMALL_LOCAL_CHANGE, TWINS, share_of_twins
from imgtranslate.images import Pixels
from imgtranslate.metrics.brightness import Values, grid_means
from imgtranslate.metrics.estimate import LEAST_PICTURES, bootstrap_interval
from imgtranslate.metrics.pixels import SMALL_CHANGE, mean_absolute_error

LEAST_PAIRS = LEAST_PICTURES  # held-out pairs, to judge by
CHANCE = 0.5  # of the comparisons
NO_FAULT, TOO_FEW = "no fault found", "too few pairs"

_EDGE_GRID = 64  # px: a grid of 16 loses the windows of a facade
_LEVEL = 1 / 255

Validations = Sequence[tuple[int, float]]  # step, value; lower is better


@dataclass(frozen=True, kw_only=True, eq=False)
class PairScore:
    """The numbers of one held-out pair; errors are fractions of the full range."""

    error: float  # of the fake from the truth
    untouched: float | None  # of the input from the truth; None where the channels differ
    diversity: float | None  # mean difference of two samples; None without a latent code
    local_diversity: float | None  # largest difference of two samples, over a 64th of the picture
    real: Pixels  # thumbnail
    fake: Pixels  # likewise
    fake_edges: Values  # of length 1, or 0 where the picture is flat
    true_edges: Values


@dataclass(frozen=True)
class Remark:
    """One sentence of a verdict, and the fault that it shows."""

    text: str
    fault: str = ""


def score_pair(real: Pixels, fakes: Sequence[Pixels], truth: Pixels) -> PairScore | None:
    """Measure the first fake against the truth, and the fakes against each other.

    None if the truth has another size.
    """
    fake = fakes[0]
    if fake.shape != truth.shape:
        return None
    pairs = list(combinations(fakes, 2))
    small = [(thumbnail(x).astype(float), thumbnail(y).astype(float)) for x, y in pairs]
    return PairScore(
        error=mean_absolute_error(fake, truth),
        untouched=mean_absolute_error(real, truth) if real.shape == truth.shape else None,
        diversity=_mean([mean_absolute_error(x, y) for x, y in pairs]),
        local_diversity=_mean([float(np.abs(x - y).max()) * _LEVEL for x, y in small]),
        real=thumbnail(real),
        fake=thumbnail(fake),
        fake_edges=_edges(fake),
        true_edges=_edges(truth),
    )


def judge_pairs(
    scores: Sequence[PairScore], validations: Validations, *, warned_at: int | None
) -> list[Remark]:
    """Judge a model by its held-out pairs, at least one, and by its training.

    ``warned_at``: the step of the last health warning, if it fell in the second half of the
    training: a sign that lasts is reported again after twice as many steps.
    """
    remarks = [_few(scores), _error(scores), _match(scores), _collapse(scores), _diversity(scores)]
    remarks += [_progress(validations), _warning(warned_at)]
    return [remark for remark in remarks if remark is not None]


def faults_of(remarks: Sequence[Remark]) -> list[str]:
    """Return the faults of a verdict."""
    return [remark.fault for remark in remarks if remark.fault]


def share_of_matches(scores: Sequence[PairScore]) -> list[float]:
    """Return, for each fake, the share of other truths with which its edges agree less.

    On average 1 if each fake agrees best with its own truth, and 0.5 by chance.
    """
    fakes, truths = (
        np.stack(edges)
        for edges in zip(*((s.fake_edges, s.true_edges) for s in scores), strict=True)
    )
    agreement = fakes @ truths.T  # (n, n)
    lead = np.sign(np.diag(agreement)[:, None] - agreement)  # 1 where the own truth agrees more
    others = len(scores) - 1
    shares: list[float] = (CHANCE + lead.sum(axis=1) / (2 * others)).tolist()
    return shares


def _few(scores: Sequence[PairScore]) -> Remark | None:
    if len(scores) >= LEAST_PAIRS:
        return None
    pairs = "pair was" if len(scores) == 1 else "pairs were"
    return Remark(
        f"Only {len(scores)} held-out {pairs} measured. A verdict takes {LEAST_PAIRS} or more.",
        TOO_FEW,
    )


def _error(scores: Sequence[PairScore]) -> Remark:
    error = np.mean([score.error for score in scores])
    gains = [s.error - s.untouched for s in scores if s.untouched is not None]
    if not gains:
        return Remark(f"The error against the truth is {error:.3f}.")
    untouched = np.mean([s.untouched for s in scores if s.untouched is not None])
    text = (
        f"The error against the truth is {error:.3f}, that of the untouched input {untouched:.3f}."
    )
    low, high = bootstrap_interval(gains)
    if high < 0 or len(scores) < LEAST_PAIRS:
        return Remark(text)
    return Remark(
        f"{text} The difference is not clearly below 0 (95% interval {low:.3f} to {high:.3f}).",
        "no better than the input",
    )


def _match(scores: Sequence[PairScore]) -> Remark | None:
    if len(scores) < 2:
        return None
    shares = share_of_matches(scores)
    low, high = bootstrap_interval(shares)
    few = len(scores) < LEAST_PAIRS
    interval = "" if few else f" (95% interval {low:.0%} to {high:.0%})"
    text = (
        "The edges of a translation match its own truth better than another truth in "
        f"{np.mean(shares):.0%} of the comparisons{interval}. Chance gives 50%."
    )
    return Remark(text, "" if few or low > CHANCE else "no better than chance")


def _collapse(scores: Sequence[PairScore]) -> Remark | None:
    share = share_of_twins([(score.real, score.fake) for score in scores])
    if share is None or share < TWINS:
        return None
    return Remark(
        f"{share:.0%} of the translations look like another one although their inputs differ.",
        "collapsed",
    )


def _diversity(scores: Sequence[PairScore]) -> Remark | None:
    means = [score.diversity for score in scores if score.diversity is not None]
    local = [score.local_diversity for score in scores if score.local_diversity is not None]
    if not means:
        return None
    mean, most = np.mean(means), np.mean(local)
    text = f"Two samples of one input differ by {mean:.3f} of the full range on average"
    if mean > SMALL_CHANGE or most > SMALL_LOCAL_CHANGE:
        return Remark(f"{text}.")
    return Remark(
        f"{text}, and by {most:.3f} in the place where they differ most.", "ignores the code"
    )


def _progress(validations: Validations) -> Remark | None:
    if len(validations) < 2:
        return None
    first, last = validations[0], validations[-1]
    best = min(validations, key=lambda one: one[1])
    if best[1] >= first[1]:
        return Remark(
            f"No validation is better than the first, {first[1]:.3f} at step {first[0]:,}.",
            "no gain in validation",
        )
    now = "" if best == last else f"; it is {last[1]:.3f} at step {last[0]:,}"
    return Remark(
        f"The validation fell from {first[1]:.3f} at step {first[0]:,} to {best[1]:.3f} at step "
        f"{best[0]:,}{now}."
    )


def _warning(step: int | None) -> Remark | None:
    if step is None:
        return None
    return Remark(f"The training warned at step {step:,}: see Warnings.", "warned in training")


def _edges(pixels: Pixels) -> Values:
    grey = grid_means(pixels.mean(axis=2), side=_EDGE_GRID)
    slopes = np.concatenate([np.diff(grey, axis=0).ravel(), np.diff(grey, axis=1).ravel()])
    edges: Values = slopes / max(float(np.linalg.norm(slopes)), _LEVEL)
    return edges


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
