"""Suspicious pictures: blank, transparent, misnamed, or unlike the others."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.findings import Example, Finding, count_and_first
from imgtranslate.data_check.scan import ScannedPicture, Scans

LONG: Final = 3  # ratio of the longer to the shorter side
NARROW: Final = 0.25  # share of the range of values that is suspiciously small
FEW: Final = 0.1  # largest share of grey, or of coloured, pictures that counts as an exception


def about_pictures(domain: Domain, scans: Scans, *, load_size: int) -> Iterator[Finding]:
    """Find suspicious training pictures of a domain, and suspicious files, held-out ones too."""
    scanned = [scans[domain.letter, path] for path in domain.files]
    yield from _about(
        domain,
        [scan for scan in scanned if min(scan.size) * 2 < load_size],
        f" to {load_size} px, which teaches blur. Use larger pictures, or a smaller data.crop_size",
        title="enlarged more than twice",
        verbs=("would be {}", "would be {}"),
    )
    yield from _about(
        domain,
        [scan for scan in scanned if max(scan.size) > LONG * min(scan.size)],
        ", so a crop shows a small part. Cut such pictures into pieces, or remove them",
        title=f"more than {LONG} times as long as wide",
    )
    narrow = list(_about_range(domain, scanned))
    yield from narrow
    if not narrow:  # there, pictures look like one colour but are not
        yield from _about(
            domain,
            [scan for scan in scanned if scan.one_colour],
            ", which teaches nothing. Remove such pictures",
            title="of one colour",
        )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.opacity < 0.5],
        "; training uses the hidden colours. Flatten such pictures onto a background",
        title="mostly transparent",
    )
    yield from _about_colours(domain, scanned)
    held_out = [scans[domain.letter, path] for path in domain.held_out]
    files = [
        scan
        for scan in (*scanned, *held_out)
        if domain.letter == "a" or domain.half_of(scan.path) == "whole"  # a pair shares one file
    ]
    yield from _about_files(domain, files)


def _about_range(domain: Domain, scanned: Sequence[ScannedPicture]) -> Iterator[Finding]:
    """Report a domain that uses a small part of its range: label ids, 0/1 masks, 12 of 16 bits.

    White does not count beside several other values: label maps use it for pixels without a label.
    """
    low, high = min(scan.low for scan in scanned), max(scan.high for scan in scanned)
    if not 0 < high - low <= NARROW:
        return
    white, ignored = scanned[0].white, any(scan.has_white for scan in scanned)
    if ignored or low > 0:
        remedy = f"Spread the values over 0 to {white:g}"
    elif round(high * white) == 1:
        remedy = f"Write {white:g} for 1"
    else:  # a power of two leaves room for values that other pictures have
        remedy = f"Multiply all values by {2 ** int(math.log2(1 / high))}"
    palette = ", or give label ids a palette" if white == 255 else ""
    line = (
        f"{domain.name}: all values {f'below {white:g} ' if ignored else ''}lie between "
        f"{low * white:.6g} and {high * white:.6g}, {100 * (high - low):.2g}% of the range 0 to "
        f"{white:g}, so the networks see nearly one colour. {remedy}{palette}"
    )
    yield Finding(
        lines=(line,),
        title=f"{domain.name}: a small part of the range of values",
        groups=tuple((Example(domain=domain, path=scan.path),) for scan in scanned),
    )


def _about_colours(domain: Domain, scanned: Sequence[ScannedPicture]) -> Iterator[Finding]:
    grey = [scan for scan in scanned if scan.grey and not scan.one_colour]
    coloured = [scan for scan in scanned if not scan.grey]
    advice = ". If colour matters, remove such pictures"
    if len(grey) <= FEW * len(scanned):
        yield from _about(domain, grey, advice, title="grey among colour pictures")
    elif len(coloured) <= FEW * len(scanned):
        yield from _about(domain, coloured, advice, title="in colour among grey pictures")


def _about_files(domain: Domain, scanned: Sequence[ScannedPicture]) -> Iterator[Finding]:
    misnamed = [scan for scan in scanned if scan.stored.misnamed]
    first = misnamed[0].stored.misnamed if misnamed else ""
    yield from _about(
        domain,
        misnamed,
        ". Other programs may fail to read them: rename them",
        title="names that contradict their format",
        verbs=(f"is a {first} file despite its name", f"have {{}}; the first is a {first} file"),
    )
    faulty = [scan for scan in scanned if scan.warning]
    yield from _about(
        domain,
        faulty,
        f": {faulty[0].warning}" if faulty else "",
        title="faulty beside their pixels",
        verbs=("is faulty", "are {}; the first"),
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.stored.cmyk],
        "; converted to sRGB, as translate does",
        verbs=("is CMYK", "are CMYK"),
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.stored.foreign],
        "; converted to sRGB, as translate does",
        verbs=("has a colour profile other than sRGB", "have colour profiles other than sRGB"),
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.stored.turned],
        "; other programs may show them sideways",
        verbs=("is rotated upright by its EXIF tag", "are rotated upright by their EXIF tags"),
    )


def _about(
    domain: Domain,
    found: Sequence[ScannedPicture],
    effect: str,
    *,
    title: str = "",
    verbs: tuple[str, str] = ("is {}", "are {}"),
) -> Iterator[Finding]:
    """Yield a finding unless ``found`` is empty: a warning with a title, else a plain fact.

    ``verbs``: for one picture and for many, with ``{}`` in the place of the title.
    """
    if found:
        paths = [scan.path for scan in found]
        one, many = (verb.format(title) for verb in verbs)
        yield Finding(
            lines=(f"{domain.name}: {count_and_first(paths, one, many)}{effect}",),
            title=f"{domain.name}: {title or many}",
            groups=tuple((Example(domain=domain, path=path),) for path in paths),
            doubtful=bool(title),
        )
