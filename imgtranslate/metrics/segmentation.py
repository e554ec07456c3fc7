"""Scores of pixel-wise segmentation (Long et al. 2015, section 5; arXiv 1611.07004, 4.1)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from imgtranslate.metrics.estimate import Estimate, Values, pooled

Classes = NDArray[np.intp]


def confusion(truth: Classes, found: Classes, *, classes: int) -> Values:
    """Count pixels by true class (row) and found class (column): (classes, classes)."""
    if truth.shape != found.shape:
        raise ValueError(f"shapes {truth.shape} and {found.shape} differ")
    places = truth.ravel() * classes + found.ravel()
    counts = np.bincount(places, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def pixel_accuracy(confusions: Values) -> Values:
    """Return the share of correctly classified pixels: (..., classes, classes) to (...)."""
    return _share(_hits(confusions).sum(-1), confusions.sum((-2, -1)))


def class_accuracy(confusions: Values) -> Values:
    """Average the accuracy over the classes; as published, a class without pixels counts as 0."""
    shares: Values = _share(_hits(confusions), confusions.sum(-1)).mean(-1)
    return shares


def class_iou(confusions: Values) -> Values:
    """Average intersection over union over the classes; a class without pixels counts as 0."""
    hits = _hits(confusions)
    union = confusions.sum(-1) + confusions.sum(-2) - hits
    shares: Values = _share(hits, union).mean(-1)
    return shares


SCORES: dict[str, Callable[[Values], Values]] = {
    "pixel_accuracy": pixel_accuracy,
    "class_accuracy": class_accuracy,
    "class_iou": class_iou,
}


def segmentation_scores(confusions: Sequence[Values], *, prefix: str = "") -> dict[str, Estimate]:
    """Estimate the three scores over all pictures, from one confusion matrix for each picture."""
    stacked = np.stack(confusions)

    def of(score: Callable[[Values], Values]) -> Estimate:
        return pooled(
            lambda counts: score(np.tensordot(counts, stacked, axes=1)),
            len(stacked),
            better="higher",
        )

    return {f"{prefix}{name}": of(score) for name, score in SCORES.items()}


def _hits(confusions: Values) -> Values:
    return np.diagonal(confusions, axis1=-2, axis2=-1)


def _share(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
