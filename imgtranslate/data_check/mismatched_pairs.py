"""Pairs whose pictures do not seem to show the same thing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.findings import Example, Finding, Group
from imgtranslate.data_check.pair_fit import FEWEST, is_mixed_up, misfits, shares_of_better
from imgtranslate.data_check.picture_facts import Facts
from imgtranslate.images import Pixels

_LOOKED_AT = 12  # pairs of a list that is mixed up


def about_pairs(domains: tuple[Domain, Domain], facts: Facts) -> Iterator[Finding]:
    """Tell of pairs that fit worse than strangers do, held-out ones too."""
    a, b = domains
    pairs = [*zip(a.files, b.files, strict=True), *zip(a.held_out, b.held_out, strict=True)]
    if len(pairs) < FEWEST:
        return
    side_a, side_b = (
        _thumbnails(domain, paths, facts)
        for domain, paths in zip(domains, zip(*pairs, strict=True), strict=True)
    )
    shares = shares_of_better(side_a, side_b)
    if is_mixed_up(shares):
        yield _mixed_up(domains, pairs, share=float(shares.mean()))
        return
    unfit = [pairs[n] for n in misfits(shares)]
    if unfit:
        yield _unfit(domains, unfit)


def _mixed_up(
    domains: tuple[Domain, Domain], pairs: Sequence[tuple[Path, Path]], *, share: float
) -> Finding:
    return Finding(
        lines=(
            f"THE PAIRS SEEM TO BE MIXED UP: pictures that do not belong together fit better than "
            f"partners in {share:.0%} of comparisons, and by chance in 50%. Look at some pairs, "
            f"such as {pairs[0][0]} and {pairs[0][1].name}",
        ),
        title="pairs that seem to be mixed up",
        groups=_groups(domains, pairs[:_LOOKED_AT]),
    )


def _unfit(domains: tuple[Domain, Domain], pairs: Sequence[tuple[Path, Path]]) -> Finding:
    names = _names(pairs[0])
    what = f"{len(pairs)} pairs, {names} the first, fit" if len(pairs) > 1 else f"{names} fit"
    return Finding(
        lines=(
            f"{what} each other worse than many pictures that do not belong together: "
            "outlines lie elsewhere. Look at them; leave out what is no pair",
        ),
        title="pairs that do not fit",
        groups=_groups(domains, pairs),
    )


def _names(pair: tuple[Path, Path]) -> str:
    a, b = pair
    return f"both halves of {a}" if a == b else f"{a} and {b.name}"


def _groups(
    domains: tuple[Domain, Domain], pairs: Sequence[tuple[Path, Path]]
) -> tuple[Group, ...]:
    a, b = domains
    return tuple((Example(domain=a, path=x), Example(domain=b, path=y)) for x, y in pairs)


def _thumbnails(domain: Domain, paths: Sequence[Path], facts: Facts) -> Pixels:
    found = [facts[domain.letter, path].thumbnail for path in paths]
    return np.stack([small for small in found if small is not None])
