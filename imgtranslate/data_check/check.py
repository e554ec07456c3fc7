"""The check of the training data: every picture is read once, before any network is built."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imgtranslate.data.folders import Domain, Domains, without
from imgtranslate.data_check.duplicates import (
    Leak,
    about_leaks,
    about_near_duplicates,
    about_same_bytes,
    find_leaks,
    find_near_duplicates,
)
from imgtranslate.data_check.findings import SHOWN, Finding
from imgtranslate.data_check.mismatched_pairs import about_pairs
from imgtranslate.data_check.scan import ScannedPicture, Scans, scan_pictures
from imgtranslate.data_check.suspicious import about_pictures
from imgtranslate.errors import DataError
from imgtranslate.settings.config import DataSettings

FEW_PICTURES = 200


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The checked domains, lines that describe them, and warnings with their remedies."""

    domains: Domains  # without unreadable pictures and leaks
    left_out: tuple[tuple[Path, ...], tuple[Path, ...]]  # neither trained nor judged on
    lines: tuple[str, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]  # the source of the warnings and of some lines


def check_data(
    domains: Domains,
    settings: DataSettings,
    *,
    paired: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read every picture of both domains, and report what is wrong or suspicious.

    Raises ``DataError`` that names the first unreadable pictures, unless they are to be skipped.
    """
    total = sum(len(domain.files) + len(domain.held_out) for domain in domains)
    scans: dict[tuple[str, Path], ScannedPicture] = {}
    for scan in scan_pictures(domains, settings):
        scans[scan.letter, scan.path] = scan
        if on_progress is not None:
            on_progress(len(scans), total)

    # Refuse what cannot be trained on.
    faulty = [scan for scan in scans.values() if scan.fault]
    if faulty and not settings.skip_unreadable:
        raise DataError(_describe_faults(faulty))
    gone_a, gone_b = ([scan.path for scan in faulty if scan.letter == each] for each in "ab")
    readable = without(domains, (gone_a, gone_b))
    for domain in readable:
        if not domain.files:
            raise DataError(
                f"data.{domain.letter} {domain.folder}: no picture left to train on. "
                "Add readable pictures"
            )
    if paired:
        _refuse_uneven_pairs(readable, scans)

    # Find what is suspicious; leaks are no longer held out.
    near_duplicates = find_near_duplicates(readable, scans)
    leaks = find_leaks(readable, scans, near_duplicates)
    checked = _without_leaks(readable, leaks)
    findings = (
        *_about_faults(faulty),
        *about_leaks(leaks),
        *(about_pairs(readable, scans) if paired else ()),
        *_about_domains(readable, checked, scans, settings),
        *about_same_bytes(checked, scans, across=not paired),
        *about_near_duplicates(checked, near_duplicates),
    )
    facts, warnings = (
        tuple(line for each in findings if each.doubtful is doubtful for line in each.lines)
        for doubtful in (False, True)
    )
    return DataReport(
        domains=checked,
        left_out=(_left_out(domains[0], checked[0]), _left_out(domains[1], checked[1])),
        lines=(*(_describe(domain, scans) for domain in checked), *facts),
        warnings=warnings,
        findings=findings,
    )


def _describe_faults(faulty: Sequence[ScannedPicture]) -> str:
    shown = "; ".join(scan.fault.rstrip(".") for scan in faulty[:SHOWN])
    more = f"; and {len(faulty) - SHOWN} more" if len(faulty) > SHOWN else ""
    return (
        f"{shown}{more}. {len(faulty)} of the training files cannot be read. "
        "Remove them, or train without them: --set data.skip_unreadable=true"
    )


def _refuse_uneven_pairs(domains: Domains, scans: Scans) -> None:
    """Refuse pairs of two sizes: both pictures are cropped at one place."""
    a, b = domains
    pairs = zip((*a.files, *a.held_out), (*b.files, *b.held_out), strict=True)
    sizes = [(x, y, scans["a", x].size, scans["b", y].size) for x, y in pairs]
    uneven = [pair for pair in sizes if pair[2] != pair[3]]
    if uneven:
        x, y, size_a, size_b = uneven[0]
        raise DataError(
            "{}: {}x{} px, but its partner {} has {}x{} px, and so for {} pair(s). Bring both to "
            "one size".format(x, *size_a, y, *size_b, len(uneven))
        )


def _without_leaks(domains: Domains, leaks: Sequence[Leak]) -> Domains:
    """Remove held-out pictures that are trained on, or their pairs."""
    leaked = {(leak.domain.letter, leak.held_out) for leak in leaks}
    a, b = domains
    clean_a, clean_b = ([(d.letter, f) not in leaked for f in d.held_out] for d in domains)
    if a.aligned:
        clean_a = clean_b = [x and y for x, y in zip(clean_a, clean_b, strict=True)]
    return (
        replace(a, held_out=tuple(itertools.compress(a.held_out, clean_a))),
        replace(b, held_out=tuple(itertools.compress(b.held_out, clean_b))),
    )


def _left_out(before: Domain, after: Domain) -> tuple[Path, ...]:
    remaining = {*after.files, *after.held_out}
    return tuple(file for file in (*before.files, *before.held_out) if file not in remaining)


def _describe(domain: Domain, scans: Scans) -> str:
    scanned = [scans[domain.letter, path] for path in domain.files]
    grey = sum(scan.grey for scan in scanned)
    parts = [
        f"{domain.letter.upper()} {domain.name}: {len(scanned)} pictures to train on",
        _sizes(scanned),
        *([f"{grey} grey"] if grey else []),
        f"{len(domain.held_out)} held out",
    ]
    return ", ".join(parts)


def _sizes(scanned: Sequence[ScannedPicture]) -> str:
    sizes = {scan.size for scan in scanned}
    if len(sizes) == 1:
        return "all {}x{} px".format(*sizes.pop())
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return "{}x{} to {}x{} px".format(*by_area[0], *by_area[-1])


def _about_faults(faulty: Sequence[ScannedPicture]) -> Iterator[Finding]:
    if faulty:
        text = f"{len(faulty)} unreadable files are left out, the first {faulty[0].fault}"
        yield Finding(lines=(text,))


def _about_domains(
    readable: Domains, checked: Domains, scans: Scans, settings: DataSettings
) -> Iterator[Finding]:
    """Report suspicious pictures, few pictures, none held out, and unequal numbers."""
    for before, domain in zip(readable, checked, strict=True):
        yield from about_pictures(domain, scans, load_size=settings.load_size)
        if len(domain.files) < FEW_PICTURES:
            text = (
                f"{domain.name}: {len(domain.files)} pictures are few; under {FEW_PICTURES} a "
                "network tends to learn them by heart. More pictures are the remedy"
            )
            yield Finding(lines=(text,))
        if before.held_out and not domain.held_out:
            text = (
                f"{domain.name}: all held-out pictures are trained on, so none is judged on. "
                f"Name others with data.held_out_{domain.letter}"
            )
            yield Finding(lines=(text,))
        elif not domain.held_out:
            text = f"{domain.name}: too few pictures to hold any out; samples show trained ones"
            yield Finding(lines=(text,))
    fewer, more = sorted(checked, key=lambda domain: len(domain.files))
    ratio = len(more.files) / len(fewer.files)
    if ratio >= 2:
        text = (
            f"{more.name} has {len(more.files)} pictures, {fewer.name} {len(fewer.files)}: "
            f"each of {fewer.name} is seen {ratio:.1f} times an epoch"
        )
        yield Finding(lines=(text,))
