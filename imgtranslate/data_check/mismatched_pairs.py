"""Mismatched pairs: their outlines suggest that the two pictures show different scenes.

The outlines of a picture of A are compared with its partner and with "strangers", the pictures of
B of other pairs. Inverted contrast does not matter, so a label map can be compared with a photo.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imgtranslate.data.folders import Domains
from imgtranslate.data_check.findings import Example, Finding
from imgtranslate.data_check.scan import Scans, thumbnails
from imgtranslate.images import Pixels

FEWEST: Final = 10  # fewer pairs are not checked

_STRANGERS = 256  # pictures of B that each picture of A is compared with
_ROWS = 1024
_SURE, _DOUBTFUL, _CHANCE = 0.02, 0.25, 0.35  # shares of strangers that fit better

Floats = NDArray[np.float32]
Shares = NDArray[np.float64]
Pair = tuple[Path, Path]


def about_pairs(domains: Domains, scans: Scans) -> Iterator[Finding]:
    """Report pairs, including held-out ones, whose pictures match worse than strangers."""
    a, b = domains
    pairs = [*zip(a.files, b.files, strict=True), *zip(a.held_out, b.held_out, strict=True)]
    if len(pairs) < FEWEST:
        return
    small_a = thumbnails(scans[a.letter, path] for path, _ in pairs)
    small_b = thumbnails(scans[b.letter, path] for _, path in pairs)
    shares = shares_of_better(small_a, small_b)
    if is_mixed_up(shares):
        line = (
            f"THE PAIRS SEEM TO BE MIXED UP: pictures of different pairs match better than "
            f"partners in {shares.mean():.0%} of comparisons; 50% is chance. Look at some "
            f"pairs, such as {pairs[0][0]} and {pairs[0][1].name}"
        )
        yield _finding(domains, pairs, line, title="pairs that seem to be mixed up")
        return
    misfitting = [pairs[n] for n in misfits(shares)]
    if misfitting:
        names, count = _names(misfitting[0]), len(misfitting)
        subject = f"{count} pairs, such as {names}, match" if count > 1 else f"{names} match"
        line = (
            f"{subject} worse than many pictures of different pairs: their outlines differ. "
            "Look at them, and remove mismatched pairs"
        )
        yield _finding(domains, misfitting, line, title="pairs that do not match")


def shares_of_better(a: Pixels, b: Pixels) -> Shares:
    """Compute the share of strangers whose outlines match better than the partner's: (n,).

    ``a``, ``b``: grey thumbnails (n, 32, 32) of the same pairs in the same order. 0 is best;
    random pairs have a mean of one half.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(len(b))[:_STRANGERS])
    mean_a, mean_b = (_outlines(side[chosen]).mean(axis=0) for side in (a, b))
    strangers = _centred(b[chosen], mean_b)
    shares = []
    for start in range(0, len(a), _ROWS):
        rows = slice(start, start + _ROWS)
        centred_a = _centred(a[rows], mean_a)
        own = np.arange(len(a))[rows, None] == chosen  # (rows, strangers): the partner itself
        fit = (centred_a * _centred(b[rows], mean_b)).sum(axis=1, keepdims=True)
        better = ((centred_a @ strangers.T > fit) & ~own).sum(axis=1)
        shares.append(better / np.maximum((~own).sum(axis=1), 1))
    return np.concatenate(shares)


def is_mixed_up(shares: Shares) -> bool:
    """Return whether partners match hardly better than strangers on average."""
    return bool(shares.mean() > _CHANCE)


def misfits(shares: Shares) -> list[int]:
    """List the pairs whose partner matches worse than many strangers, worst first.

    Empty if outlines do not distinguish partners from strangers in this data.
    """
    if (shares <= _SURE).mean() < 1 / 3:
        return []
    doubtful = np.flatnonzero(shares >= _DOUBTFUL)
    return [int(n) for n in doubtful[np.argsort(-shares[doubtful], kind="stable")]]


def _outlines(thumbnails: Pixels) -> Floats:
    """Compute the square roots of horizontal and vertical differences; roots damp strong edges."""
    grey = thumbnails.astype(np.float32)
    steps = [np.abs(np.diff(grey, axis=axis)).reshape(len(grey), -1) for axis in (1, 2)]
    roots = np.sqrt(np.concatenate(steps, axis=1))
    outlines: Floats = roots - roots.mean(axis=1, keepdims=True)
    return outlines


def _centred(thumbnails: Pixels, mean: Floats) -> Floats:
    """Subtract the mean outlines of a domain, and normalise to length 1."""
    own = _outlines(thumbnails) - mean
    centred: Floats = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-6)
    return centred


def _finding(domains: Domains, pairs: Sequence[Pair], line: str, *, title: str) -> Finding:
    a, b = domains
    groups = tuple((Example(domain=a, path=x), Example(domain=b, path=y)) for x, y in pairs)
    return Finding(lines=(line,), title=title, groups=groups)


def _names(pair: Pair) -> str:
    a, b = pair
    return f"both halves of {a}" if a == b else f"{a} and {b.name}"
