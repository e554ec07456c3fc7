"""What training pictures are like, found out before any network is built."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from imgtranslate.data.folders import Domain, without
from imgtranslate.data_check.duplicates import (
    Leak,
    about_copies,
    about_leaks,
    about_same,
    find_copies,
    find_leaks,
)
from imgtranslate.data_check.findings import SHOWN, Finding
from imgtranslate.data_check.mismatched_pairs import about_pairs
from imgtranslate.data_check.picture_facts import Facts, PictureFacts, read_facts
from imgtranslate.data_check.suspicious import about_pictures
from imgtranslate.errors import DataError
from imgtranslate.settings.config import DataSettings

FEW_PICTURES = 200


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The facts of both sides, lines that describe them, and warnings with their remedies."""

    domains: tuple[Domain, Domain]  # without unreadable pictures and leaks
    left_out: tuple[tuple[Path, ...], tuple[Path, ...]]  # neither trained nor judged on
    lines: tuple[str, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]  # that the warnings and some lines come from


def check_data(
    domains: tuple[Domain, Domain],
    settings: DataSettings,
    *,
    paired: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read every picture of both sides once and judge what was found.

    Raises ``DataError`` naming the first unreadable pictures, unless they are to be skipped.
    """
    total = sum(len(domain.files) + len(domain.held_out) for domain in domains)
    facts: dict[tuple[str, Path], PictureFacts] = {}
    for found in read_facts(domains, settings):
        facts[found.letter, found.path] = found
        if on_progress is not None:
            on_progress(len(facts), total)
    faults = [fact for fact in facts.values() if fact.fault]
    if faults and not settings.skip_unreadable:
        raise DataError(_describe_faults(faults))
    aligned = domains[0].aligned
    readable = _without(domains, faults)
    for domain in readable:
        _refuse_if_empty(domain)
    if paired:
        _refuse_uneven_pairs(readable, facts)
    copies = find_copies(readable, facts, aligned=aligned)
    leaks = find_leaks(readable, facts, copies)
    kept = _judged_on(readable, leaks, aligned=aligned)
    findings = (
        *_about_faults(faults),
        *about_leaks(leaks),
        *(about_pairs(readable, facts) if paired else ()),
        *_about_sides(readable, kept, facts, settings),
        *about_same(kept, facts, across=not paired),
        *about_copies(kept, copies),
    )
    return DataReport(
        domains=kept,
        left_out=(_gone(domains[0], kept[0]), _gone(domains[1], kept[1])),
        lines=(*(_describe(domain, facts) for domain in kept), *_texts(findings, doubtful=False)),
        warnings=_texts(findings, doubtful=True),
        findings=findings,
    )


def _texts(findings: Sequence[Finding], *, doubtful: bool) -> tuple[str, ...]:
    return tuple(line for each in findings if each.doubtful is doubtful for line in each.lines)


def _without(
    domains: tuple[Domain, Domain], faults: Sequence[PictureFacts]
) -> tuple[Domain, Domain]:
    """Leave out what cannot be read; of pairs, the partners too."""
    gone_a, gone_b = ([fact.path for fact in faults if fact.letter == each] for each in "ab")
    return without(domains, (gone_a, gone_b))


def _judged_on(
    domains: tuple[Domain, Domain], leaks: Sequence[Leak], *, aligned: bool
) -> tuple[Domain, Domain]:
    """The domains without held-out pictures that are trained on too, or their pairs."""
    leaked = {(leak.domain.letter, leak.held_out) for leak in leaks}
    a, b = domains
    if not aligned:
        return _holding_out(a, leaked), _holding_out(b, leaked)
    pairs = zip(a.held_out, b.held_out, strict=True)
    kept = [(x, y) for x, y in pairs if leaked.isdisjoint({("a", x), ("b", y)})]
    return (
        replace(a, held_out=tuple(x for x, _ in kept)),
        replace(b, held_out=tuple(y for _, y in kept)),
    )


def _holding_out(domain: Domain, leaked: Set[tuple[str, Path]]) -> Domain:
    kept = tuple(path for path in domain.held_out if (domain.letter, path) not in leaked)
    return replace(domain, held_out=kept)


def _gone(before: Domain, after: Domain) -> tuple[Path, ...]:
    kept = {*after.files, *after.held_out}
    return tuple(file for file in (*before.files, *before.held_out) if file not in kept)


def _describe_faults(faults: Sequence[PictureFacts]) -> str:
    shown = "; ".join(fact.fault.rstrip(".") for fact in faults[:SHOWN])
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return (
        f"{shown}{more}. {len(faults)} of the training files cannot be read. "
        "Remove them, or train without them: --set data.skip_unreadable=true"
    )


def _refuse_if_empty(domain: Domain) -> None:
    if not domain.files:
        raise DataError(
            f"data.{domain.letter} {domain.folder}: no picture left to train on. "
            "Add readable pictures"
        )


def _refuse_uneven_pairs(domains: tuple[Domain, Domain], facts: Facts) -> None:
    """Both pictures of a pair are cut at one place, so they must have one size."""
    a, b = domains
    pairs = zip((*a.files, *a.held_out), (*b.files, *b.held_out), strict=True)
    sizes = [(x, y, facts["a", x].size, facts["b", y].size) for x, y in pairs]
    uneven = [pair for pair in sizes if pair[2] != pair[3]]
    if uneven:
        x, y, size_a, size_b = uneven[0]
        raise DataError(
            "{}: {}x{} px, but its partner {} has {}x{} px, and so for {} pair(s). Bring both to "
            "one size".format(x, *size_a, y, *size_b, len(uneven))
        )


def _describe(domain: Domain, facts: Facts) -> str:
    found = [facts[domain.letter, path] for path in domain.files]
    grey = sum(fact.grey for fact in found)
    parts = [
        f"{domain.letter.upper()} {domain.name}: {len(found)} pictures to train on",
        _sizes(found),
        *([f"{grey} grey"] if grey else []),
        f"{len(domain.held_out)} held out",
    ]
    return ", ".join(parts)


def _sizes(found: Sequence[PictureFacts]) -> str:
    counts = Counter(fact.size for fact in found)
    if len(counts) == 1:
        return "all {}x{} px".format(*next(iter(counts)))
    least, most = min(counts, key=_area), max(counts, key=_area)
    return "{}x{} to {}x{} px".format(*least, *most)


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """To order sizes by; equal areas by their width, so that both are shown."""
    return size[0] * size[1], size


def _about_faults(faults: Sequence[PictureFacts]) -> Iterator[Finding]:
    if faults:
        text = f"{len(faults)} unreadable files are left out, the first {faults[0].fault}"
        yield Finding(lines=(text,))


def _about_sides(
    readable: tuple[Domain, Domain],
    kept: tuple[Domain, Domain],
    facts: Facts,
    settings: DataSettings,
) -> Iterator[Finding]:
    for before, domain in zip(readable, kept, strict=True):
        yield from about_pictures(domain, facts, load=settings.load_size)
        yield from _about_count(domain)
        if before.held_out and not domain.held_out:
            yield Finding(
                lines=(
                    f"{domain.name}: all held-out pictures are trained on, so none is judged on. "
                    f"Name others with data.held_out_{domain.letter}",
                )
            )
        elif not domain.held_out:
            text = f"{domain.name}: too few pictures to hold any out; samples show trained ones"
            yield Finding(lines=(text,))
    yield from _about_balance(kept)


def _about_count(domain: Domain) -> Iterator[Finding]:
    if len(domain.files) < FEW_PICTURES:
        yield Finding(
            lines=(
                f"{domain.name}: {len(domain.files)} pictures are few; under {FEW_PICTURES} a "
                "network tends to learn them by heart. More pictures are the remedy",
            )
        )


def _about_balance(domains: tuple[Domain, Domain]) -> Iterator[Finding]:
    short, long = sorted(domains, key=lambda domain: len(domain.files))
    ratio = len(long.files) / len(short.files)
    if ratio >= 2:
        yield Finding(
            lines=(
                f"{long.name} has {len(long.files)} pictures, {short.name} {len(short.files)}: "
                f"each of {short.name} is seen {ratio:.1f} times an epoch",
            )
        )
