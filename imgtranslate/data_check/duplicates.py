"""Duplicates in the training data: files with the same bytes, and near duplicates."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.data.folders import Domain, Domains
from imgtranslate.data_check.findings import (
    SHOWN,
    Example,
    Finding,
    Group,
    count_and_first,
    limited,
)
from imgtranslate.data_check.near_duplicates import Match, find_matches
from imgtranslate.data_check.scan import ScannedPicture, Scans, thumbnails


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """Two pictures that are equal or nearly so: held-out before training pictures, A before B."""

    one: Example
    other: Example
    likeness: str  # of the one picture to the other, in words

    @property
    def within(self) -> bool:
        """True if both belong to one domain."""
        return self.one.domain.letter == self.other.domain.letter


def find_near_duplicates(domains: Domains, scans: Scans) -> list[Duplicate]:
    """Find near duplicates whose bytes differ; in paired data, pairs that match on both sides.

    In unpaired data, pictures of A are also compared with those of B.
    """
    a, b = domains
    if a.aligned:
        every, side_b = ((*_held_out(side), *_trained(side)) for side in domains)
        both = {(match.first, match.second) for match in _matches(side_b, scans)}
        matches = [m for m in _matches(every, scans) if (m.first, m.second) in both]
    else:
        every = (*_held_out(a), *_held_out(b), *_trained(a), *_trained(b))
        matches = _matches(every, scans)
    found = [
        Duplicate(
            one=every[match.first],
            other=every[match.second],
            likeness=f"nearly the {'mirror image of' if match.mirrored else 'same picture as'}",
        )
        for match in matches
    ]
    return [each for each in found if _digest(each.one, scans) != _digest(each.other, scans)]


def find_leaks(
    domains: Domains, scans: Scans, near_duplicates: Sequence[Duplicate]
) -> list[Duplicate]:
    """Find the held-out pictures that are also training pictures, each once."""
    same = [
        Duplicate(one=held_out, other=trained[digest][0], likeness="the same picture as")
        for domain in domains
        for trained in [_by_digest(domain, scans)]
        for held_out in _held_out(domain)
        if (digest := _digest(held_out, scans)) in trained
    ]
    near = [
        each
        for each in near_duplicates
        if each.within and each.one.held_out and not each.other.held_out
    ]
    leaks: dict[tuple[str, Path], Duplicate] = {}
    for leak in (*same, *near):
        leaks.setdefault((leak.one.domain.letter, leak.one.path), leak)
    return list(leaks.values())


def about_leaks(leaks: Sequence[Duplicate]) -> Iterator[Finding]:
    """Report held-out pictures that are also training pictures."""
    lines = [
        f"{leak.one.path}: held out, but {leak.likeness} the training picture {leak.other.path}. "
        "It is left out of the validation"
        for leak in leaks
    ]
    groups = [(leak.one, leak.other) for leak in leaks]
    yield from _about_each("held out, but also training pictures", lines, groups)


def about_same_bytes(domains: Domains, scans: Scans, *, across: bool) -> Iterator[Finding]:
    """Report identical training files in a domain and, if ``across``, in both domains."""
    a, b = (_by_digest(domain, scans) for domain in domains)
    shared = [(a[digest][0], b[digest][0]) for digest in a if digest in b] if across else []
    lines = [
        f"{x.path}: in both folders, the other copy is {y.path}. Delete the copy in the wrong "
        "folder"
        for x, y in shared
    ]
    yield from _about_each("in both folders", lines, shared)
    for domain, found in zip(domains, (a, b), strict=True):
        repeated = [tuple(copies) for copies in found.values() if len(copies) > 1]
        if repeated:
            firsts = [copies[0].path for copies in repeated]
            verbs = [f"{verb} in the folder more than once" for verb in ("is", "are")]
            yield Finding(
                lines=(f"{domain.name}: {count_and_first(firsts, *verbs)}. Keep one of each",),
                title=f"{domain.name}: the same picture twice",
                groups=tuple(repeated),
            )


def about_near_duplicates(domains: Domains, found: Sequence[Duplicate]) -> Iterator[Finding]:
    """Report near duplicates among the training pictures."""
    trained = [each for each in found if not (each.one.held_out or each.other.held_out)]
    across = [each for each in trained if not each.within]
    lines = [
        f"{each.one.path}: {each.likeness} {each.other.path} in the other folder. Delete the one "
        "in the wrong folder"
        for each in across
    ]
    groups = [(each.one, each.other) for each in across]
    yield from _about_each("nearly the same in both folders", lines, groups)
    for domain in domains:
        within = [e for e in trained if e.within and e.one.domain.letter == domain.letter]
        if within:
            names = [f"{each.one.path.name} and {each.other.path.name}" for each in within[:SHOWN]]
            more = ", …" if len(within) > SHOWN else ""
            count = f"{len(within)} pairs of pictures are" if within[1:] else "two pictures are"
            line = f"{count} nearly the same ({', '.join(names)}{more}). Keep one of each pair"
            yield Finding(
                lines=(f"{domain.name}: {line}",),
                title=f"{domain.name}: nearly the same",
                groups=tuple((each.one, each.other) for each in within),
                reasons=tuple(each.likeness for each in within),
            )


def _about_each(title: str, lines: Sequence[str], groups: Sequence[Group]) -> Iterator[Finding]:
    if lines:
        yield Finding(lines=limited(lines), title=title, groups=tuple(groups), reasons=tuple(lines))


def _trained(domain: Domain) -> Group:
    return tuple(Example(domain=domain, path=path) for path in domain.files)


def _held_out(domain: Domain) -> Group:
    return tuple(Example(domain=domain, path=path, held_out=True) for path in domain.held_out)


def _scan_of(example: Example, scans: Scans) -> ScannedPicture:
    return scans[example.domain.letter, example.path]


def _digest(example: Example, scans: Scans) -> str:
    return _scan_of(example, scans).digest


def _matches(examples: Sequence[Example], scans: Scans) -> list[Match]:
    return find_matches(thumbnails(_scan_of(each, scans) for each in examples))


def _by_digest(domain: Domain, scans: Scans) -> dict[str, list[Example]]:
    """Group the training pictures of a domain by their bytes."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for each in _trained(domain):
        groups[_digest(each, scans)].append(each)
    return groups
