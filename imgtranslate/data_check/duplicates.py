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
class NearDuplicate:
    """Two nearly identical pictures: held-out before training pictures, A before B."""

    one: Example
    other: Example
    mirrored: bool

    @property
    def within(self) -> bool:
        """True if both belong to one domain."""
        return self.one.domain.letter == self.other.domain.letter

    @property
    def likeness(self) -> str:
        """The relation of the one picture to the other, in words."""
        return "nearly the mirror image of" if self.mirrored else "nearly the same picture as"


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A held-out picture that is also a training picture."""

    domain: Domain
    held_out: Path
    trained: Path
    likeness: str


def find_near_duplicates(domains: Domains, scans: Scans) -> list[NearDuplicate]:
    """Find near duplicates whose bytes differ; in paired data, pairs that match on both sides.

    In unpaired data, pictures of A are also compared with those of B.
    """
    a, b = domains
    if a.aligned:
        side_a, side_b = ((*_held_out(side), *_trained(side)) for side in domains)
        both = {(match.first, match.second) for match in _matches(side_b, scans)}
        matches = [m for m in _matches(side_a, scans) if (m.first, m.second) in both]
        return _without_same_bytes(side_a, matches, scans)
    every = (*_held_out(a), *_held_out(b), *_trained(a), *_trained(b))
    return _without_same_bytes(every, _matches(every, scans), scans)


def find_leaks(
    domains: Domains, scans: Scans, near_duplicates: Sequence[NearDuplicate]
) -> list[Leak]:
    """Find the held-out pictures that are also training pictures, each once."""
    leaks: dict[tuple[str, Path], Leak] = {}
    for leak in (*_same_leaks(domains, scans), *_near_leaks(near_duplicates)):
        leaks.setdefault((leak.domain.letter, leak.held_out), leak)
    return list(leaks.values())


def about_leaks(leaks: Sequence[Leak]) -> Iterator[Finding]:
    """Report held-out pictures that are also training pictures."""
    lines = [
        f"{leak.held_out}: held out, but {leak.likeness} the training picture {leak.trained}. "
        "It is left out of the validation"
        for leak in leaks
    ]
    groups = [
        (
            Example(domain=leak.domain, path=leak.held_out, held_out=True),
            Example(domain=leak.domain, path=leak.trained),
        )
        for leak in leaks
    ]
    yield from _about_each("held out, but also training pictures", lines, groups)


def about_same_bytes(domains: Domains, scans: Scans, *, across: bool) -> Iterator[Finding]:
    """Report identical training files in a domain and, if ``across``, in both domains."""
    a, b = (_by_digest(domain, scans) for domain in domains)
    shared = [(a[digest][0], b[digest][0]) for digest in a if digest in b] if across else []
    lines = [
        f"{x}: in both folders, the other copy is {y}. Delete the copy in the wrong folder"
        for x, y in shared
    ]
    groups = [
        tuple(Example(domain=d, path=p) for d, p in zip(domains, pair, strict=True))
        for pair in shared
    ]
    yield from _about_each("in both folders", lines, groups)
    for domain, found in zip(domains, (a, b), strict=True):
        repeated = [paths for paths in found.values() if len(paths) > 1]
        if repeated:
            firsts = [paths[0] for paths in repeated]
            verbs = [f"{verb} in the folder more than once" for verb in ("is", "are")]
            yield Finding(
                lines=(f"{domain.name}: {count_and_first(firsts, *verbs)}. Keep one of each",),
                title=f"{domain.name}: the same picture twice",
                groups=tuple(
                    tuple(Example(domain=domain, path=path) for path in paths) for paths in repeated
                ),
            )


def about_near_duplicates(domains: Domains, found: Sequence[NearDuplicate]) -> Iterator[Finding]:
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
            )


def _about_each(title: str, lines: Sequence[str], groups: Sequence[Group]) -> Iterator[Finding]:
    if lines:
        yield Finding(lines=limited(lines), title=title, groups=tuple(groups))


def _trained(domain: Domain) -> Group:
    return tuple(Example(domain=domain, path=path) for path in domain.files)


def _held_out(domain: Domain) -> Group:
    return tuple(Example(domain=domain, path=path, held_out=True) for path in domain.held_out)


def _scan_of(example: Example, scans: Scans) -> ScannedPicture:
    return scans[example.domain.letter, example.path]


def _matches(examples: Sequence[Example], scans: Scans) -> list[Match]:
    return find_matches(thumbnails(_scan_of(each, scans) for each in examples))


def _without_same_bytes(
    examples: Sequence[Example], matches: Sequence[Match], scans: Scans
) -> list[NearDuplicate]:
    return [
        NearDuplicate(one=one, other=other, mirrored=match.mirrored)
        for match in matches
        for one, other in [(examples[match.first], examples[match.second])]
        if _scan_of(one, scans).digest != _scan_of(other, scans).digest
    ]


def _same_leaks(domains: Domains, scans: Scans) -> Iterator[Leak]:
    for domain in domains:
        trained = _by_digest(domain, scans)
        for path in domain.held_out:
            same = trained.get(scans[domain.letter, path].digest)
            if same:
                yield Leak(
                    domain=domain, held_out=path, trained=same[0], likeness="the same picture as"
                )


def _near_leaks(near_duplicates: Sequence[NearDuplicate]) -> Iterator[Leak]:
    for each in near_duplicates:
        one, other = each.one, each.other
        if each.within and one.held_out and not other.held_out:
            yield Leak(
                domain=one.domain, held_out=one.path, trained=other.path, likeness=each.likeness
            )


def _by_digest(domain: Domain, scans: Scans) -> dict[str, list[Path]]:
    """Group the training pictures of a domain by their bytes."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in domain.files:
        groups[scans[domain.letter, path].digest].append(path)
    return groups
