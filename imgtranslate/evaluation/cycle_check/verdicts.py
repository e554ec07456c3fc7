"""Verdicts on a pair of generators, and the limits that they rest on.

The limits were set with hand-made pairs (``tests/generator_pairs.py``), so that honest ones lie
well on one side and faulty ones on the other; docs/cycle-check.md says them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imgtranslate.evaluation.cycle_check.scores import CycleScore, Thumbnails, mean_of
from imgtranslate.images import Pixels
from imgtranslate.metrics.brightness import INVERTED

Fault = Literal["hides information", "collapsed", "inverts brightness", "does nothing"]
Verdict = Literal[Fault, "healthy", "not judged"]

FAULTS: tuple[Fault, ...] = get_args(Fault)  # the gravest first
VERDICTS: tuple[Verdict, ...] = (*FAULTS, "healthy", "not judged")

SMALL_CHANGE = 0.03  # of the full range, over whole pictures
SMALL_LOCAL_CHANGE = 0.1  # where a picture changes most, over a 64th of it
FRAGILE = 5.0  # times the harm itself; a contrast of a fifth that is stretched back has 4.4
FRAGILE_TO_BLUR = 2.5  # an honest one has 1: blur grows with the contrast, as the picture does
WORSE = 1.2  # times the error without harm
ALIKE = 0.1  # of the distance of the inputs
TWINS = 0.5  # of the pictures
POOR_CYCLE = 0.1  # of the full range

_LEVEL = 1 / 255
_DIFFERENT = 4.0  # levels, root mean square between thumbnails
_FEW = 3  # flat pictures, to compare their brightness
_COMPARED = 256  # pictures, each with each
_HARMS = {
    "png": "rounding to 8 bits",
    "jpeg": "JPEG",
    "noise": "slight noise",
    "blur": "a slight blur",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault, and the figure that shows it."""

    verdict: Fault
    figure: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on one direction."""

    findings: tuple[Finding, ...]  # the gravest first
    reason: str

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every fault, the gravest first, or ``healthy`` alone."""
        return tuple(finding.verdict for finding in self.findings) or ("healthy",)

    @property
    def verdict(self) -> Verdict:
        """The gravest fault, or ``healthy``."""
        return self.verdicts[0]


def judge(scores: Sequence[CycleScore]) -> Judgement:
    """Judge one direction by all of its pictures, at least one."""
    checks = (_hidden(scores), _collapsed(scores), _inverted(scores), _idle(scores))
    findings = tuple(finding for finding in checks if finding is not None)
    reason = "; ".join(finding.reason for finding in findings) or _praise(scores)
    return Judgement(findings=findings, reason=reason)


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the gravest of several; ``not judged`` of none."""
    return min(verdicts, key=VERDICTS.index, default="not judged")


def fragility(scores: Sequence[CycleScore]) -> tuple[float, str]:
    """Return the growth of the error after the worst harm, as a multiple of the harm, and its kind.

    The worst is the nearest to its limit.

    An honest way back passes a harm on as it is, so about 1. One that reads an imperceptible
    signal (arXiv 1712.02950) loses the picture with it.
    """
    base = _best_error(scores)
    grown = {kind: _mean(scores, f"mae_{kind}") - base for kind in scores[0].harms}
    own = {kind: max(_mean(scores, f"own_{kind}"), _LEVEL) for kind in grown}
    times = {kind: grown[kind] / own[kind] for kind in grown}
    worst = max(times, key=lambda kind: (times[kind] / _limit(kind), kind))
    return times[worst], worst


def share_of_twins(pairs: Sequence[tuple[Pixels, Pixels]]) -> float | None:
    """Return the share of inputs with another, different one that has about the same output.

    ``pairs``: thumbnails of input and output, of which the first 256 are compared. None where
    all inputs are alike.
    """
    inputs = _distances([thumbnail for thumbnail, _ in pairs[:_COMPARED]])
    outputs = _distances([thumbnail for _, thumbnail in pairs[:_COMPARED]])
    differ = np.where(inputs >= _DIFFERENT, 1, 0)
    if not differ.any():
        return None
    twins = differ * (outputs < ALIKE * inputs)
    return float(twins.max(axis=1)[differ.max(axis=1) > 0].mean())


def _hidden(scores: Sequence[CycleScore]) -> Finding | None:
    times, kind = fragility(scores)
    base, after = _best_error(scores), _mean(scores, f"mae_{kind}")
    if times < _limit(kind) or after < WORSE * base:
        return None
    reason = (
        f"the error grows from {base:.3f} to {after:.3f} by {_HARMS[kind]}, {times:.0f} times what "
        "that does to the pictures themselves: the way back reads what nobody sees"
    )
    return Finding(verdict="hides information", figure=times, reason=reason)


def _collapsed(scores: Sequence[CycleScore]) -> Finding | None:
    found = [thumbnails for score in scores for thumbnails in score.thumbnails]
    there = [(thumbnails.real, thumbnails.fake) for thumbnails in found]
    back = [(thumbnails.fake, thumbnails.recovered) for thumbnails in found]
    for name, pairs in (("translations", there), ("ways back", back)):
        share = share_of_twins(pairs)
        if share is not None and share >= TWINS:
            reason = f"{share:.0%} of the {name} look like another one, though the inputs differ"
            return Finding(verdict="collapsed", figure=share, reason=reason)
    return None


def _inverted(scores: Sequence[CycleScore]) -> Finding | None:
    agreement = mean_of(scores, "brightness")
    if agreement is None:
        agreement = _agreement_of_flat(scores)
    if agreement is None or agreement > INVERTED:
        return None
    reason = f"bright and dark places agree by {agreement:.2f}, where -1 is the negative"
    return Finding(verdict="inverts brightness", figure=agreement, reason=reason)


def _idle(scores: Sequence[CycleScore]) -> Finding | None:
    change = mean_of(scores, "change")
    if change is None:
        return None
    local = float(np.mean([_largest_change(score.thumbnails[0]) for score in scores]))
    if change > SMALL_CHANGE or local > SMALL_LOCAL_CHANGE:
        return None
    reason = f"the pictures change by {change:.3f}, nowhere by more than {local:.3f}"
    return Finding(verdict="does nothing", figure=change, reason=reason)


def _praise(scores: Sequence[CycleScore]) -> str:
    change, error, (times, _) = mean_of(scores, "change"), _mean(scores, "mae"), fragility(scores)
    changed = "" if change is None else f"changed by {change:.3f}, "
    back = f"{changed}back with an error of {error:.3f}"
    firm = f"slight harm to the translations adds {max(times, 0):.1f} times itself at most"
    return f"{back}{', which is large' if error > POOR_CYCLE else ''}; {firm}"


def _limit(kind: str) -> float:
    return FRAGILE_TO_BLUR if kind == "blur" else FRAGILE


def _best_error(scores: Sequence[CycleScore]) -> float:
    return min(_mean(scores, "mae_float"), _mean(scores, "mae"))


def _mean(scores: Sequence[CycleScore], name: str) -> float:
    return mean_of(scores, name) or 0.0


def _distances(thumbnails: Sequence[Pixels]) -> NDArray[np.float64]:
    """Return the root mean square between each two, in levels: (n, n)."""
    flat = np.stack([thumbnail.ravel() for thumbnail in thumbnails]).astype(np.float64)
    rows = [np.sqrt(np.square(flat - row).mean(axis=1)) for row in flat]
    return np.stack(rows)


def _largest_change(thumbnails: Thumbnails) -> float:
    return float(np.abs(thumbnails.fake.astype(np.float64) - thumbnails.real).max()) * _LEVEL


def _agreement_of_flat(scores: Sequence[CycleScore]) -> float | None:
    """Correlate the brightness of flat pictures with that of their translations."""
    if len(scores) < _FEW:
        return None
    means = np.array([[s.thumbnails[0].real.mean(), s.thumbnails[0].fake.mean()] for s in scores])
    if means.std(axis=0).min() < _DIFFERENT:
        return None
    return float(np.corrcoef(means.T)[0, 1])
