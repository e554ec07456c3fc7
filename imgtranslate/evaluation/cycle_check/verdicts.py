"""Verdicts on a pair of generators, or on one without a way back, and their limits.

The limits were chosen with the hand-made pairs of the tests (``generator_pairs.py``): honest pairs
are clearly on one side and faulty pairs on the other. Those of recovery were also chosen with
trainings, judged at several steps. That of content was chosen with trainings and with pairs of
photographs and labels. docs/cycle-check.md lists the limits and these trainings.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imgtranslate.evaluation.cycle_check.schema import Figures, Finding, Judgement, Spread
from imgtranslate.evaluation.cycle_check.scores import Edges, Thumbnails
from imgtranslate.images import Pixels
from imgtranslate.metrics.brightness import INVERTED
from imgtranslate.metrics.content import content_agreement
from imgtranslate.metrics.pixels import SMALL_CHANGE

Fault = Literal[
    "hides information",
    "collapsed",
    "inverts brightness",
    "recovers nothing",
    "loses content",
    "does nothing",
    "recovers in part",
]
Verdict = Literal[Fault, "healthy", "not judged"]
Views = tuple[Thumbnails, ...]  # of one picture; for the first one also of its negative upside down

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)  # the most serious first
ONE_WAY_FAULTS: tuple[Fault, ...] = (  # of models without a way back
    "collapsed",
    "inverts brightness",
    "loses content",
    "does nothing",
)

SMALL_LOCAL_CHANGE = 0.1  # of the full range, over the 64th of a picture that changes most
FRAGILE = 5.0  # times the degradation; an honest pair that cuts contrast to a fifth has 4.4
FRAGILE_TO_BLUR = 2.5  # lower, as the effect of blur grows with the contrast: honest pairs have 1
WORSE = 1.2  # factor of the error without degradation
ALIKE = 0.1  # share of the distance of the inputs
TWINS = 0.5  # share of the pictures
NOTHING_RECOVERED = 0.8  # cycle error, as a share of the error without a way back
PART_RECOVERED = 0.5  # likewise
LARGE_ERROR = 0.08  # cycle error, of the full range
CONTENT_LOST = 0.2  # agreement about edges beyond that with other pictures, as a share of the rest
CONTENT_KEPT = 0.5  # agreement about edges that is enough, however alike the pictures are

_LEVEL = 1 / 255
_DIFFERENT = 4.0  # levels, least root mean square between different thumbnails
_FEW = 3  # least flat pictures for a comparison of brightness
_COMPARED = 256  # pictures that are compared with each other
_HARMS = {  # by kind of degradation: in words, and the limit
    "png": ("rounding to 8 bits", FRAGILE),
    "jpeg": ("JPEG compression", FRAGILE),
    "noise": ("slight noise", FRAGILE),
    "blur": ("slight blur", FRAGILE_TO_BLUR),
}


def judge(figures: Figures, thumbnails: Sequence[Views]) -> Judgement:
    """Judge one direction by the figures over at least one picture, and by thumbnails."""
    checks = (
        _hidden(figures),
        _collapsed(thumbnails),
        _inverted(figures, thumbnails),
        _idle(figures, thumbnails) or _lost(figures),
    )
    findings = tuple(finding for finding in checks if finding is not None)
    return Judgement(
        verdict=findings[0].verdict if findings else "healthy",
        reason="; ".join(finding.reason for finding in findings) or _praise(figures),
        findings=findings,
    )


def judge_one_way(
    figures: Figures, thumbnails: Sequence[Views], *, other: float | None
) -> Judgement:
    """Judge a direction without a way back; ``other``: from ``other_content``."""
    checks = (
        _collapsed(thumbnails),
        _inverted(figures, thumbnails),
        _idle(figures, thumbnails) or _without_content(figures, other),
    )
    findings = tuple(finding for finding in checks if finding is not None)
    change = f"; the change is {figures.change.mean:.3f}" if figures.change else ""
    return Judgement(
        verdict=findings[0].verdict if findings else "healthy",
        reason="; ".join(finding.reason for finding in findings)
        or f"{_content(figures, other)}{change}",
        findings=findings,
    )


def other_content(edges: Sequence[Edges]) -> float | None:
    """Return the mean agreement of translations about edges with other pictures than their own.

    The first 256 are compared. None if there is only one picture that is not flat.
    """
    first = edges[:_COMPARED]
    found = [
        agreement
        for n, one in enumerate(first)
        for m, other in enumerate(first)
        if n != m and (agreement := content_agreement(other.real, one.fake)) is not None
    ]
    return float(np.mean(found)) if found else None


def gravest(verdicts: Iterable[str]) -> str:
    """Return the most serious of several verdicts, or ``not judged`` for none."""
    return min(verdicts, key=VERDICTS.index, default="not judged")


def _fragility(figures: Figures) -> tuple[float, str, float]:
    """Return the growth of the error by the worst degradation, relative to its size.

    Also return the kind of this degradation, and the error after it.

    The worst degradation is the one nearest to its limit. An honest way back passes a degradation
    on, which gives about 1. One that reads an imperceptible signal (arXiv 1712.02950) loses the
    picture with the signal.
    """
    base = _best_error(figures)
    harms = {kind: (_mean(mae), _mean(own)) for kind, (mae, own) in figures.degraded().items()}
    times = {kind: (after - base) / max(own, _LEVEL) for kind, (after, own) in harms.items()}
    worst = max(times, key=lambda kind: (times[kind] / _HARMS[kind][1], kind))
    return times[worst], worst, harms[worst][0]


def share_of_twins(pairs: Sequence[tuple[Pixels, Pixels]]) -> float | None:
    """Return the share of inputs for which a different input has almost the same output.

    ``pairs``: thumbnails of input and output, of which the first 256 are compared. None if all
    inputs are alike.
    """
    inputs = _distances([thumbnail for thumbnail, _ in pairs[:_COMPARED]])
    outputs = _distances([thumbnail for _, thumbnail in pairs[:_COMPARED]])
    differ = np.where(inputs >= _DIFFERENT, 1, 0)
    if not differ.any():
        return None
    twins = differ * (outputs < ALIKE * inputs)
    return float(twins.max(axis=1)[differ.max(axis=1) > 0].mean())


def _hidden(figures: Figures) -> Finding | None:
    base, (times, kind, after) = _best_error(figures), _fragility(figures)
    harm, limit = _HARMS[kind]
    if times < limit or after < WORSE * base:
        return None
    reason = (
        f"{harm} of the fake increases the cycle error from {base:.3f} to {after:.3f}, by "
        f"{times:.0f} times its effect on a picture: the second generator reads a hidden signal"
    )
    return _finding("hides information", times, reason)


def _collapsed(thumbnails: Sequence[Views]) -> Finding | None:
    found = [one for views in thumbnails for one in views]
    there = [(one.real, one.fake) for one in found]
    back = [(one.fake, one.recovered) for one in found if one.recovered is not None]
    for name, pairs in (("translations", there), ("recovered pictures", back)):
        share = share_of_twins(pairs) if pairs else None
        if share is not None and share >= TWINS:
            reason = (
                f"{share:.0%} of the {name} look like another one, although their inputs differ"
            )
            return _finding("collapsed", share, reason)
    return None


def _inverted(figures: Figures, thumbnails: Sequence[Views]) -> Finding | None:
    brightness = figures.brightness
    agreement = brightness.mean if brightness else _agreement_of_flat(thumbnails)
    if agreement is None or agreement > INVERTED:
        return None
    reason = (
        f"the brightness of input and translation correlates by {agreement:.2f}; the negative of a "
        "picture has -1"
    )
    return _finding("inverts brightness", agreement, reason)


def _idle(figures: Figures, thumbnails: Sequence[Views]) -> Finding | None:
    if figures.change is None:
        return None
    change = figures.change.mean
    local = float(np.mean([_largest_change(views[0]) for views in thumbnails]))
    if change > SMALL_CHANGE or local > SMALL_LOCAL_CHANGE:
        return None
    reason = f"the pictures change by only {change:.3f}, and by at most {local:.3f} in any place"
    return _finding("does nothing", change, reason)


def _lost(figures: Figures) -> Finding | None:
    """Compare the cycle error with the error without a way back.

    This is the change, which a way back that does nothing would have as its error, or the error of
    a flat picture, whichever is lower.
    """
    error, without = _mean(figures.mae), math.inf
    if figures.change is not None:
        without, compared = figures.change.mean, "the change"
    if figures.flat is not None and SMALL_CHANGE < figures.flat.mean < without:
        without, compared = figures.flat.mean, "the error of a flat picture of the mean colour"
    share = error / without
    if share >= NOTHING_RECOVERED:
        reason = (
            f"the cycle error {error:.3f} is {'hardly' if share < 1 else 'not'} below {compared}, "
            f"{without:.3f}: the second generator recovers nothing of the picture"
        )
        return _finding("recovers nothing", share, reason)
    if share >= PART_RECOVERED:
        reason = f"the cycle error {error:.3f} is {share:.0%} of {compared}, {without:.3f}"
        return _finding("recovers in part", share, reason)
    if error > LARGE_ERROR:
        return _finding("recovers in part", error, f"the cycle error {error:.3f} is large")
    return None


def _without_content(figures: Figures, other: float | None) -> Finding | None:
    """Compare the agreement about edges with that of pictures that have nothing in common."""
    if figures.content is None or figures.content.mean >= CONTENT_KEPT:
        return None
    own, chance = figures.content.mean, max(other or 0.0, 0.0)
    share = (own - chance) / (1 - chance)
    if share >= CONTENT_LOST:
        return None
    reason = f"{_content(figures, other)}: the translations keep little of their pictures"
    return _finding("loses content", share, reason)


def _content(figures: Figures, other: float | None) -> str:
    if figures.content is None:
        return "the pictures are flat, so they have no content to keep"
    compared = "" if other is None else f", and with other pictures by {other:.2f}"
    own = figures.content.mean
    return f"the edges of translations agree with those of their pictures by {own:.2f}{compared}"


def _finding(verdict: Fault, figure: float, reason: str) -> Finding:
    return Finding(verdict=verdict, figure=figure, reason=reason)


def _praise(figures: Figures) -> str:
    change, error, (times, *_) = figures.change, _mean(figures.mae), _fragility(figures)
    compared = f" is {error / change.mean:.0%} of the change, {change.mean:.3f}" if change else ""
    return (
        f"the cycle error {error:.3f}{compared}; a slight degradation of the fake adds at most "
        f"{max(times, 0):.1f} times its own effect"
    )


def _best_error(figures: Figures) -> float:
    return min(_mean(figures.mae_float), _mean(figures.mae))


def _mean(number: Spread | None) -> float:
    """Return the mean of a number that all pictures have."""
    return number.mean if number is not None else math.nan


def _distances(thumbnails: Sequence[Pixels]) -> NDArray[np.float64]:
    """Return the root mean square between all pairs, in levels: (n, n)."""
    flat = np.stack([thumbnail.ravel() for thumbnail in thumbnails]).astype(np.float64)
    rows = [np.sqrt(np.square(flat - row).mean(axis=1)) for row in flat]
    return np.stack(rows)


def _largest_change(thumbnails: Thumbnails) -> float:
    return float(np.abs(thumbnails.fake.astype(np.float64) - thumbnails.real).max()) * _LEVEL


def _agreement_of_flat(thumbnails: Sequence[Views]) -> float | None:
    """Correlate the brightness of flat pictures with that of their translations."""
    if len(thumbnails) < _FEW:
        return None
    means = np.array([[views[0].real.mean(), views[0].fake.mean()] for views in thumbnails])
    if means.std(axis=0).min() < _DIFFERENT:
        return None
    return float(np.corrcoef(means.T)[0, 1])
