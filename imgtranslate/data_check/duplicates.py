"""Pictures that stand in the data more than once: the same file, or almost the same picture."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.findings import SHOWN, Example, Finding, Group, limited, some
from imgtranslate.data_check.near_duplicates import Twins, find_twins
from imgtranslate.data_check.picture_facts import Facts

Domains = tuple[Domain, Domain]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Two pictures that are almost the same; what is held out comes first, then what is of A."""

    one: Example
    other: Example
    mirrored: bool

    @property
    def within(self) -> bool:
        """Whether both are of one side."""
        return self.one.domain.letter == self.other.domain.letter

    @property
    def likeness(self) -> str:
        """What the one is to the other."""
        return "almost the mirrored picture of" if self.mirrored else "almost the same picture as"


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A held-out picture that is trained on as well."""

    domain: Domain
    held_out: Path
    trained: Path
    likeness: str


def find_copies(domains: Domains, facts: Facts, *, aligned: bool) -> list[Copy]:
    """Pictures that are almost copies, though not the same bytes; of pairs, where both halves are.

    Pictures of A are compared with those of B too, unless they are pairs.
    """
    a, b = domains
    if aligned:
        side_a, side_b = ((*_held_out(side), *_trained(side)) for side in domains)
        both = {(twins.first, twins.second) for twins in _twins(side_b, facts)}
        twins_a = [each for each in _twins(side_a, facts) if (each.first, each.second) in both]
        return _copies(side_a, twins_a, facts)
    together = (*_held_out(a), *_held_out(b), *_trained(a), *_trained(b))
    return _copies(together, _twins(together, facts), facts)


def find_leaks(domains: Domains, facts: Facts, copies: Sequence[Copy]) -> list[Leak]:
    """Held-out pictures that are trained on, each of them once."""
    leaks: dict[tuple[str, Path], Leak] = {}
    for leak in (*_same_leaks(domains, facts), *_near_leaks(copies)):
        leaks.setdefault((leak.domain.letter, leak.held_out), leak)
    return list(leaks.values())


def about_leaks(leaks: Sequence[Leak]) -> Iterator[Finding]:
    """Tell of held-out pictures that are trained on."""
    lines = [
        f"{leak.held_out}: held out, but {leak.likeness} {leak.trained}. It is not judged on"
        for leak in leaks
    ]
    groups = [
        (
            Example(domain=leak.domain, path=leak.held_out, held_out=True),
            Example(domain=leak.domain, path=leak.trained),
        )
        for leak in leaks
    ]
    yield from _told("held out and trained on", lines, groups)


def about_same(domains: Domains, facts: Facts, *, across: bool) -> Iterator[Finding]:
    """Tell of the same bytes twice among what is trained on; ``across`` both sides too."""
    a, b = (_by_digest(domain, facts) for domain in domains)
    shared = [(a[digest][0], b[digest][0]) for digest in a if digest in b] if across else []
    lines = [
        f"{x}: in both folders, the other is {y}. Remove it from the one where it does not belong"
        for x, y in shared
    ]
    groups = [
        tuple(Example(domain=d, path=p) for d, p in zip(domains, pair, strict=True))
        for pair in shared
    ]
    yield from _told("in both folders", lines, groups)
    for domain, found in zip(domains, (a, b), strict=True):
        repeated = [paths for paths in found.values() if len(paths) > 1]
        if repeated:
            firsts = [paths[0] for paths in repeated]
            verbs = [f"{who}stand in the folder more than once" for who in ("and its copies ", "")]
            yield Finding(
                lines=(f"{domain.name}: {some(firsts, *verbs)}. Keep one of each",),
                title=f"{domain.name}: the same picture twice",
                groups=tuple(
                    tuple(Example(domain=domain, path=path) for path in paths) for paths in repeated
                ),
            )


def about_copies(domains: Domains, copies: Sequence[Copy]) -> Iterator[Finding]:
    """Tell of pictures that are almost copies, among what is trained on."""
    trained = [each for each in copies if not (each.one.held_out or each.other.held_out)]
    across = [each for each in trained if not each.within]
    lines = [
        f"{each.one.path}: {each.likeness} {each.other.path}, in the other folder. Remove it from "
        "the one where it does not belong"
        for each in across
    ]
    groups = [(each.one, each.other) for each in across]
    yield from _told("almost the same in both folders", lines, groups)
    for domain in domains:
        letter = domain.letter
        within = [each for each in trained if each.within and each.one.domain.letter == letter]
        if within:
            yield _about_side(domain, within)


def _about_side(domain: Domain, copies: Sequence[Copy]) -> Finding:
    names = [f"{each.one.path.name} and {each.other.path.name}" for each in copies[:SHOWN]]
    count = f"{len(copies)} pairs of pictures are" if len(copies) > 1 else "two pictures are"
    return Finding(
        lines=(
            f"{domain.name}: {count} almost the same ({', '.join(names)}"
            f"{', …' if len(copies) > SHOWN else ''}). Keep one of each",
        ),
        title=f"{domain.name}: almost the same",
        groups=tuple((each.one, each.other) for each in copies),
    )


def _told(title: str, lines: Sequence[str], groups: Sequence[Group]) -> Iterator[Finding]:
    if lines:
        yield Finding(lines=limited(lines), title=title, groups=tuple(groups))


def _trained(domain: Domain) -> Group:
    return tuple(Example(domain=domain, path=path) for path in domain.files)


def _held_out(domain: Domain) -> Group:
    return tuple(Example(domain=domain, path=path, held_out=True) for path in domain.held_out)


def _twins(examples: Sequence[Example], facts: Facts) -> list[Twins]:
    """Examples whose pictures were read, all of them."""
    small = [facts[each.domain.letter, each.path].thumbnail for each in examples]
    return find_twins(np.stack([each for each in small if each is not None]))


def _copies(examples: Sequence[Example], twins: Sequence[Twins], facts: Facts) -> list[Copy]:
    copies = [
        Copy(one=examples[each.first], other=examples[each.second], mirrored=each.mirrored)
        for each in twins
    ]
    return [each for each in copies if _digest(each.one, facts) != _digest(each.other, facts)]


def _digest(example: Example, facts: Facts) -> str:
    return facts[example.domain.letter, example.path].digest


def _same_leaks(domains: Domains, facts: Facts) -> Iterator[Leak]:
    for domain in domains:
        trained = _by_digest(domain, facts)
        for path in domain.held_out:
            digest = facts[domain.letter, path].digest
            if digest in trained:
                yield Leak(
                    domain=domain,
                    held_out=path,
                    trained=trained[digest][0],
                    likeness="the same picture as",
                )


def _near_leaks(copies: Sequence[Copy]) -> Iterator[Leak]:
    for each in copies:
        one, other = each.one, each.other
        if each.within and one.held_out and not other.held_out:
            yield Leak(
                domain=one.domain, held_out=one.path, trained=other.path, likeness=each.likeness
            )


def _by_digest(domain: Domain, facts: Facts) -> dict[str, list[Path]]:
    """The training pictures of a domain by what is in them."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in domain.files:
        groups[facts[domain.letter, path].digest].append(path)
    return groups
