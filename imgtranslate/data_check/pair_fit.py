"""Whether the pictures of pairs belong together: whether their outlines lie at the same places."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from imgtranslate.images import Pixels

FEWEST: Final = 10  # pairs; of fewer nothing can be said

_STRANGERS = 256  # pictures of B that each picture of A is tried with
_ROWS = 1024
_SURE, _DOUBTFUL, _CHANCE = 0.02, 0.25, 0.35  # shares of strangers

Floats = NDArray[np.float32]
Shares = NDArray[np.float64]


def shares_of_better(a: Pixels, b: Pixels) -> Shares:
    """The share of strangers whose outlines fit better than the partner's: (n,), 0 is best.

    ``a``, ``b``: grey thumbnails (n, 32, 32), the n-th of both belong together. By chance it is
    one half on average. Which way brightness changes does not matter, so labels fit photos.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(len(b))[:_STRANGERS])
    middle_a, middle_b = (_outlines(side[chosen]).mean(axis=0) for side in (a, b))
    strangers = _centred(b[chosen], middle_b)
    shares = [
        _shares(_centred(a[part], middle_a), _centred(b[part], middle_b), strangers, own)
        for start in range(0, len(a), _ROWS)
        for part in [slice(start, start + _ROWS)]
        for own in [np.arange(len(a))[part, None] == chosen]
    ]
    return np.concatenate(shares)


def is_mixed_up(shares: Shares) -> bool:
    """Whether partners fit hardly better than strangers, all in all."""
    return bool(shares.mean() > _CHANCE)


def misfits(shares: Shares) -> list[int]:
    """The pairs of which many strangers fit better, where outlines tell partners at all."""
    if (shares <= _SURE).mean() < 1 / 3:
        return []
    doubtful = np.flatnonzero(shares >= _DOUBTFUL)
    return [int(n) for n in doubtful[np.argsort(-shares[doubtful], kind="stable")]]


def _shares(a: Floats, partners: Floats, strangers: Floats, own: NDArray[np.bool_]) -> Shares:
    """``own``: which of the strangers is the partner itself, (rows, strangers)."""
    fit = (a * partners).sum(axis=1, keepdims=True)
    better = ((a @ strangers.T > fit) & ~own).sum(axis=1)
    shares: Shares = better / np.maximum((~own).sum(axis=1), 1)
    return shares


def _outlines(thumbnails: Pixels) -> Floats:
    """Steps to the right and down, without signs, in square roots: strong ones do not decide."""
    grey = thumbnails.astype(np.float32)
    steps = [np.abs(np.diff(grey, axis=axis)).reshape(len(grey), -1) for axis in (1, 2)]
    roots = np.sqrt(np.concatenate(steps, axis=1))
    outlines: Floats = roots - roots.mean(axis=1, keepdims=True)
    return outlines


def _centred(thumbnails: Pixels, middle: Floats) -> Floats:
    """Outlines less what all pictures of a side have in common, of length 1."""
    own = _outlines(thumbnails) - middle
    centred: Floats = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-6)
    return centred
