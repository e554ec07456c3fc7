"""Suspicious pictures: blank, transparent, misnamed, or unlike the others."""

from collections.abc import Iterator, Sequence
from typing import Final

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.findings import Example, Finding, count_and_first
from imgtranslate.data_check.scan import ScannedPicture, Scans

LONG: Final = 3  # ratio of the longer to the shorter side
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
            title=f"{domain.name}: {title}",
            groups=tuple((Example(domain=domain, path=path),) for path in paths),
            doubtful=bool(title),
        )
