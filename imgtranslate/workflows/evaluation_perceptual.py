"""Measures that need networks learnt elsewhere: FID, KID, LPIPS. Their files are never fetched."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgtranslate.workflows.evaluation_measures import Found, Options, Shots


def inception_distances(shots: "Shots", options: "Options") -> "Found":
    """FID and KID."""
    return "later"


def perceptual(shots: "Shots", options: "Options") -> "Found":
    """LPIPS."""
    return "later"
