"""What training pictures are like, found out before any network is built."""

import functools
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from imgtranslate.config import DataSettings
from imgtranslate.data.folders import Domain, without, without_pairs
from imgtranslate.errors import DataError, ImageError

FEW_PICTURES = 200
SHOWN = 3  # how many examples a line names


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """One file as found: its upright size in px and a digest of its bytes, or its fault."""

    letter: str
    path: Path
    size: tuple[int, int] = (0, 0)  # width, height
    colour: str = ""
    digest: str = ""
    fault: str = ""


Leak = tuple[Domain, Path, Path]  # the held-out picture and its twin in training
Facts = Mapping[tuple[str, Path], PictureFacts]  # by the domain's letter and the file


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The facts of both sides, lines that describe them, and warnings with their remedies."""

    domains: tuple[Domain, Domain]  # without unreadable pictures and leaks
    left_out: tuple[tuple[Path, ...], tuple[Path, ...]]  # neither trained nor judged on
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


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
    for found in _read_all(domains, settings):
        facts[found.letter, found.path] = found
        if on_progress is not None:
            on_progress(len(facts), total)
    faults = [fact for fact in facts.values() if fact.fault]
    if faults and not settings.skip_unreadable:
        raise DataError(_describe_faults(faults))
    leaks, aligned = _leaks(domains, facts), paired or bool(settings.pairs)
    kept = _judged_on(_without(domains, faults, aligned=aligned), leaks, aligned=aligned)
    for domain in kept:
        _refuse_if_empty(domain)
    if paired:
        _refuse_uneven_pairs(kept, facts)
    return DataReport(
        domains=kept,
        left_out=(_gone(domains[0], kept[0]), _gone(domains[1], kept[1])),
        lines=tuple(_describe(domain, facts) for domain in kept),
        warnings=tuple(_warnings(kept, facts, faults, leaks, settings, paired=paired)),
    )


def _without(
    domains: tuple[Domain, Domain], faults: Sequence[PictureFacts], *, aligned: bool
) -> tuple[Domain, Domain]:
    """The domains without what cannot be read; of pairs, without the partners too."""
    gone_a, gone_b = ([fact.path for fact in faults if fact.letter == each] for each in "ab")
    if aligned:
        return without_pairs(domains, (gone_a, gone_b))
    return without(domains[0], gone_a), without(domains[1], gone_b)


def _judged_on(
    domains: tuple[Domain, Domain], leaks: Sequence[Leak], *, aligned: bool
) -> tuple[Domain, Domain]:
    """The domains without held-out pictures that are trained on too, or their pairs."""
    leaked = {(domain.letter, path) for domain, path, _ in leaks}
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


def _read_all(domains: tuple[Domain, Domain], settings: DataSettings) -> Iterator[PictureFacts]:
    channels = (settings.channels_a, settings.channels_b)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for domain, count in zip(domains, channels, strict=True):
            files = (*domain.files, *domain.held_out)
            yield from pool.map(functools.partial(_facts_of, domain, channels=count), files)


def _facts_of(domain: Domain, path: Path, *, channels: int) -> PictureFacts:
    try:
        pixels = domain.read(path, channels=channels)
        digest = hashlib.sha256(path.read_bytes() + domain.half.encode()).hexdigest()
    except (ImageError, OSError) as error:
        return PictureFacts(letter=domain.letter, path=path, fault=str(error))
    height, width, _ = pixels.shape
    grey = channels == 3 and bool((pixels[..., :1] == pixels).all())
    return PictureFacts(
        letter=domain.letter,
        path=path,
        size=(width, height),
        colour="grey" if grey else "colour",
        digest=digest,
    )


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
            f"--{domain.letter} {domain.folder}: no picture left to train on. Add readable pictures"
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
    grey = sum(fact.colour == "grey" for fact in found)
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


def _warnings(
    domains: tuple[Domain, Domain],
    facts: Facts,
    faults: Sequence[PictureFacts],
    leaks: Sequence[Leak],
    settings: DataSettings,
    *,
    paired: bool,
) -> Iterator[str]:
    if faults:
        yield f"{len(faults)} unreadable files are left out, the first {faults[0].fault}"
    for _, held_out, trained in leaks[:SHOWN]:
        yield f"{held_out}: held out, but the same picture as {trained}. It is not judged on"
    for domain in domains:
        yield from _about_size(domain, facts, settings.load_size)
        if len(domain.files) < FEW_PICTURES:
            yield (
                f"{domain.name}: {len(domain.files)} pictures are few; under {FEW_PICTURES} a "
                "network tends to learn them by heart. More pictures are the remedy"
            )
        if not domain.held_out:
            yield f"{domain.name}: too few pictures to hold any out; samples show trained ones"
    yield from _about_balance(domains)
    yield from _about_duplicates(domains, facts, across=not paired)


def _about_size(domain: Domain, facts: Facts, load: int) -> Iterator[str]:
    small = [path for path in domain.files if min(facts[domain.letter, path].size) * 2 < load]
    if small:
        yield (
            f"{domain.name}: {_some(small)} would be enlarged more than twice to {load} px, which "
            "teaches blur. Remove them or train at a smaller --size"
        )


def _about_balance(domains: tuple[Domain, Domain]) -> Iterator[str]:
    short, long = sorted(domains, key=lambda domain: len(domain.files))
    ratio = len(long.files) / len(short.files)
    if ratio >= 2:
        yield (
            f"{long.name} has {len(long.files)} pictures, {short.name} {len(short.files)}: "
            f"each of {short.name} is seen {ratio:.1f} times an epoch"
        )


def _about_duplicates(
    domains: tuple[Domain, Domain], facts: Facts, *, across: bool
) -> Iterator[str]:
    a, b = (_by_digest(domain, facts) for domain in domains)
    for digest in list(a.keys() & b.keys())[:SHOWN] if across else ():
        yield (
            f"{a[digest][0]}: in both folders, the other is {b[digest][0]}. Remove it from the "
            "one where it does not belong"
        )
    for domain, groups in zip(domains, (a, b), strict=True):
        repeated = [group[0] for group in groups.values() if len(group) > 1]
        if repeated:
            yield f"{domain.name}: {_some(repeated)} stand in the folder more than once"


def _leaks(domains: tuple[Domain, Domain], facts: Facts) -> list[Leak]:
    """Held-out pictures that are trained on as well, each with its domain and its twin."""
    return [
        (domain, path, twins[digest][0])
        for domain in domains
        for twins in [_by_digest(domain, facts)]
        for path in domain.held_out
        for digest in [facts[domain.letter, path].digest]
        if digest and digest in twins
    ]


def _by_digest(domain: Domain, facts: Facts) -> dict[str, list[Path]]:
    """The training pictures of a domain by what is in them."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in domain.files:
        digest = facts[domain.letter, path].digest
        if digest:
            groups[digest].append(path)
    return groups


def _some(paths: Sequence[Path]) -> str:
    first = paths[0].name
    return first if len(paths) == 1 else f"{len(paths)} pictures, {first} the first,"
