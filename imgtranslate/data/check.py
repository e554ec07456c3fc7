"""What training pictures are like, found out before any network is built."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.config import DataSettings
from imgtranslate.data.folders import Domain, without
from imgtranslate.errors import DataError, ImageError
from imgtranslate.images import read_image

FEW_PICTURES = 200
SHOWN = 3  # how many examples a line names


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """One file as found: its upright size in px and a digest of its bytes, or its fault."""

    path: Path
    size: tuple[int, int] = (0, 0)  # width, height
    colour: str = ""
    digest: str = ""
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The facts of both sides, lines that describe them, and warnings with their remedies."""

    domains: tuple[Domain, Domain]  # without unreadable pictures and leaks
    left_out: tuple[tuple[Path, ...], tuple[Path, ...]]  # unreadable training pictures
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def check_data(
    domains: tuple[Domain, Domain],
    settings: DataSettings,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read every picture of both sides once and judge what was found.

    Raises ``DataError`` naming the first unreadable pictures, unless they are to be skipped.
    """
    paths = [p for domain in domains for p in (*domain.files, *domain.held_out)]
    facts: dict[Path, PictureFacts] = {}
    for found in _read_all(domains, settings):
        facts[found.path] = found
        if on_progress is not None:
            on_progress(len(facts), len(paths))
    faults = [fact for fact in facts.values() if fact.fault]
    if faults and not settings.skip_unreadable:
        raise DataError(_describe_faults(faults))
    leaks = _leaks(domains, facts)
    unwanted = {fact.path for fact in faults} | {path for path, _ in leaks}
    kept = (without(domains[0], unwanted), without(domains[1], unwanted))
    for domain in kept:
        _refuse_if_empty(domain)
    return DataReport(
        domains=kept,
        left_out=(_gone(domains[0], kept[0]), _gone(domains[1], kept[1])),
        lines=tuple(_describe(domain, facts) for domain in kept),
        warnings=tuple(_warnings(kept, facts, faults, leaks, settings)),
    )


def _read_all(domains: tuple[Domain, Domain], settings: DataSettings) -> Iterator[PictureFacts]:
    channels = (settings.channels_a, settings.channels_b)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for domain, count in zip(domains, channels, strict=True):
            files = (*domain.files, *domain.held_out)
            yield from pool.map(_facts_of, files, [count] * len(files))


def _facts_of(path: Path, channels: int) -> PictureFacts:
    try:
        pixels = read_image(path, channels=channels).pixels
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (ImageError, OSError) as error:
        return PictureFacts(path=path, fault=str(error))
    height, width, _ = pixels.shape
    grey = channels == 3 and bool((pixels[..., :1] == pixels).all())
    return PictureFacts(
        path=path, size=(width, height), colour="grey" if grey else "colour", digest=digest
    )


def _gone(before: Domain, after: Domain) -> tuple[Path, ...]:
    kept = set(after.files)
    return tuple(file for file in before.files if file not in kept)


def _describe_faults(faults: Sequence[PictureFacts]) -> str:
    shown = "; ".join(fact.fault.rstrip(".") for fact in faults[:SHOWN])
    more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return (
        f"{len(faults)} of the training files cannot be read: {shown}{more}. "
        "Remove them, or train without them: --set data.skip_unreadable=true"
    )


def _refuse_if_empty(domain: Domain) -> None:
    if not domain.files:
        raise DataError(
            f"--{domain.letter} {domain.folder}: no picture left to train on. Add readable pictures"
        )


def _describe(domain: Domain, facts: Mapping[Path, PictureFacts]) -> str:
    found = [facts[path] for path in domain.files]
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


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _warnings(
    domains: tuple[Domain, Domain],
    facts: Mapping[Path, PictureFacts],
    faults: Sequence[PictureFacts],
    leaks: Sequence[tuple[Path, Path]],
    settings: DataSettings,
) -> Iterator[str]:
    if faults:
        yield f"{len(faults)} unreadable files are left out, the first {faults[0].fault}"
    for held_out, trained in leaks[:SHOWN]:
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
    yield from _about_duplicates(domains, facts)


def _about_size(domain: Domain, facts: Mapping[Path, PictureFacts], load: int) -> Iterator[str]:
    small = [path for path in domain.files if min(facts[path].size) * 2 < load]
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
    domains: tuple[Domain, Domain], facts: Mapping[Path, PictureFacts]
) -> Iterator[str]:
    a, b = (_by_digest(domain.files, facts) for domain in domains)
    for digest in list(a.keys() & b.keys())[:SHOWN]:
        yield (
            f"{a[digest][0]}: in both folders, the other is {b[digest][0]}. Remove it from the "
            "one where it does not belong"
        )
    for domain, groups in zip(domains, (a, b), strict=True):
        repeated = [group[0] for group in groups.values() if len(group) > 1]
        if repeated:
            yield f"{domain.name}: {_some(repeated)} stand in the folder more than once"


def _leaks(
    domains: tuple[Domain, Domain], facts: Mapping[Path, PictureFacts]
) -> list[tuple[Path, Path]]:
    """Held-out pictures that are trained on as well, each with its twin."""
    return [
        (path, twins[facts[path].digest][0])
        for domain in domains
        for twins in [_by_digest(domain.files, facts)]
        for path in domain.held_out
        if facts[path].digest and facts[path].digest in twins
    ]


def _by_digest(files: Iterable[Path], facts: Mapping[Path, PictureFacts]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if facts[path].digest:
            groups[facts[path].digest].append(path)
    return groups


def _some(paths: Sequence[Path]) -> str:
    first = paths[0].name
    return first if len(paths) == 1 else f"{len(paths)} pictures, {first} the first,"
