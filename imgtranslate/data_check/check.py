"""The check of the training data, which reads every picture once before a network is built."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imgtranslate.data.folders import Domain, Domains, without
from imgtranslate.data_check.duplicates import (
    Duplicate,
    about_leaks,
    about_near_duplicates,
    about_same_bytes,
    find_leaks,
    find_near_duplicates,
)
from imgtranslate.data_check.findings import SHOWN, Example, Finding, RefusedPicturesError
from imgtranslate.data_check.mismatched_pairs import about_pairs
from imgtranslate.data_check.scan import ScannedPicture, Scans, scan_pictures
from imgtranslate.data_check.suspicious import about_pictures
from imgtranslate.errors import DataError, counted
from imgtranslate.settings.config import DataSettings

FEW_PICTURES = 200


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """The checked domains, lines that describe them, and warnings with their remedies."""

    domains: Domains  # without unreadable pictures and leaks
    left_out: tuple[tuple[Path, ...], tuple[Path, ...]]  # used neither to train nor to validate
    lines: tuple[str, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]  # the source of the warnings and of some lines

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values: the lines, and every picture of each finding."""
        return {
            "lines": list(self.lines),
            "warnings": list(self.warnings),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check_data(
    domains: Domains,
    settings: DataSettings,
    *,
    paired: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Read every picture of both domains, and report errors and suspicious pictures.

    Raises a ``DataError`` that names the first unreadable pictures, unless the settings skip them.
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
        line = _describe_faults(faulty)
        raise RefusedPicturesError(line, _about_faults(domains, faulty, line=line))
    gone_a, gone_b = ([scan.path for scan in faulty if scan.letter == each] for each in "ab")
    readable = without(domains, (gone_a, gone_b))
    for domain in readable:
        if not domain.files:
            raise DataError(
                f"data.{domain.letter} {domain.folder}: no training picture can be read. "
                "Add readable pictures"
            )
    if paired:
        _refuse_uneven_pairs(readable, scans)

    # Find what is suspicious; leaks are no longer held out.
    near_duplicates = find_near_duplicates(readable, scans)
    leaks = find_leaks(readable, scans, near_duplicates)
    checked = _without_leaks(readable, leaks)
    findings = (
        *([_about_faults(domains, faulty, line=_describe_skipped(faulty))] if faulty else []),
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
    more = len(faulty) - SHOWN
    return (
        f"{shown}{f'; and {more} more' if more > 0 else ''}. "
        f"{counted(len(faulty), 'training file')} cannot be read. Remove the files"
        f"{', which `check` with `json` lists' if more > 0 else ''}"
        ", or skip them with `data.skip_unreadable=true`"
    )


def _describe_skipped(faulty: Sequence[ScannedPicture]) -> str:
    first = "" if len(faulty) == 1 else "the first is "
    return f"left out {counted(len(faulty), 'unreadable file')}: {first}{faulty[0].fault}"


def _refuse_uneven_pairs(domains: Domains, scans: Scans) -> None:
    """Refuse pairs whose pictures differ in size: both are cropped at the same place."""
    a, b = domains
    pairs = zip((*a.files, *a.held_out), (*b.files, *b.held_out), strict=True)
    sizes = [(x, y, scans["a", x].size, scans["b", y].size) for x, y in pairs]
    uneven = [pair for pair in sizes if pair[2] != pair[3]]
    if uneven:
        x, y, size_a, size_b = uneven[0]
        line = "{}: {}x{} px, but its partner {} has {}x{} px".format(x, *size_a, y, *size_b)
        listed = ", which `check` with `json` lists" if len(uneven) > 1 else ""
        raise RefusedPicturesError(
            f"{line}; {counted(len(uneven), 'pair')} of unequal size{listed}. Resize the pictures "
            "of a pair to one size",
            Finding(
                lines=(line,),
                title="pairs of unequal size",
                groups=tuple(
                    (Example(domain=a, path=x), Example(domain=b, path=y)) for x, y, *_ in uneven
                ),
            ),
        )


def _without_leaks(domains: Domains, leaks: Sequence[Duplicate]) -> Domains:
    """Remove held-out pictures, or whole pairs, that are also training pictures."""
    leaked = {(leak.one.domain.letter, leak.one.path) for leak in leaks}
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
        f"{domain.letter.upper()} {domain.name}: {counted(len(scanned), 'picture')} to train on",
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


def _about_faults(domains: Domains, faulty: Sequence[ScannedPicture], *, line: str) -> Finding:
    by_letter = {domain.letter: domain for domain in domains}
    groups = ((Example(domain=by_letter[scan.letter], path=scan.path),) for scan in faulty)
    return Finding(
        lines=(line,),
        title="unreadable",
        groups=tuple(groups),
        reasons=tuple(scan.fault for scan in faulty),
    )


def _about_domains(
    readable: Domains, checked: Domains, scans: Scans, settings: DataSettings
) -> Iterator[Finding]:
    """Report suspicious pictures, small domains, missing held-out pictures and unequal sizes."""
    for before, domain in zip(readable, checked, strict=True):
        yield from about_pictures(domain, scans, load_size=settings.load_size)
        if len(domain.files) < FEW_PICTURES:
            text = (
                f"{domain.name}: only {counted(len(domain.files), 'picture')}; a network tends to "
                f"memorise fewer than {FEW_PICTURES}. Add more pictures"
            )
            yield Finding(lines=(text,))
        if before.held_out and not domain.held_out:
            text = (
                f"{domain.name}: all held-out pictures are training pictures too, so none is left "
                f"to validate on. Set data.held_out_{domain.letter} to other pictures"
            )
            yield Finding(lines=(text,))
        elif not domain.held_out:
            text = f"{domain.name}: too few pictures to hold any out; samples show training ones"
            yield Finding(lines=(text,))
    fewer, more = sorted(checked, key=lambda domain: len(domain.files))
    ratio = len(more.files) / len(fewer.files)
    if ratio >= 2:
        text = (
            f"{more.name} has {len(more.files)} pictures, {fewer.name} only {len(fewer.files)}: "
            f"an epoch shows each picture of {fewer.name} {ratio:.1f} times"
        )
        yield Finding(lines=(text,))
