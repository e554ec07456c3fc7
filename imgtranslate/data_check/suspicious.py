"""Pictures that are suspicious by themselves: blank, transparent, misnamed, unlike the others."""

from collections.abc import Iterator, Sequence
from typing import Final

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.findings import Example, Finding, count_and_first
from imgtranslate.data_check.scan import ScannedPicture, Scans

LONG: Final = 3  # times as long as wide
FEW: Final = 0.1  # the largest share of grey, or of coloured, pictures that is an exception


def about_pictures(domain: Domain, scans: Scans, *, load_size: int) -> Iterator[Finding]:
    """Find suspicious training pictures of a domain; files of held-out pictures too."""
    scanned = [scans[domain.letter, path] for path in domain.files]
    yield from _about(
        domain,
        [scan for scan in scanned if min(scan.size) * 2 < load_size],
        ("would be {}", "would be {}"),
        f" to {load_size} px, which teaches blur. Remove them or train at a smaller --size",
        title="enlarged more than twice",
    )
    yield from _about(
        domain,
        [scan for scan in scanned if max(scan.size) > LONG * min(scan.size)],
        _IS,
        ", so a sample shows a small part of it. Cut it up or leave it out",
        title=f"more than {LONG} times as long as wide",
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.one_colour],
        _IS,
        ". Nothing is learnt from that: leave it out",
        title="of one colour",
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.opacity < 0.5],
        _IS,
        "; the colours beneath are trained on. Lay it over a background",
        title="mostly transparent",
    )
    yield from _about_colours(domain, scanned)
    held_out = [scans[domain.letter, path] for path in domain.held_out]
    files = [
        scan
        for scan in (*scanned, *held_out)
        if domain.letter == "a" or domain.half_of(scan.path) == "whole"  # two halves are one file
    ]
    yield from _about_files(domain, files)


def _about_colours(domain: Domain, scanned: Sequence[ScannedPicture]) -> Iterator[Finding]:
    grey = [scan for scan in scanned if scan.grey and not scan.one_colour]
    coloured = [scan for scan in scanned if not scan.grey]
    advice = ". If colours matter, leave it out"
    if len(grey) <= FEW * len(scanned):
        yield from _about(domain, grey, _IS, advice, title="grey among colour pictures")
    elif len(coloured) <= FEW * len(scanned):
        yield from _about(domain, coloured, _IS, advice, title="in colour among grey pictures")


def _about_files(domain: Domain, scanned: Sequence[ScannedPicture]) -> Iterator[Finding]:
    misnamed = [scan for scan in scanned if scan.stored.misnamed]
    first = misnamed[0].stored.misnamed if misnamed else ""
    yield from _about(
        domain,
        misnamed,
        (f"holds {first}, not what its name says", f"hold {{}} ({first} the first)"),
        ". Other programs may not read it: rename it",
        title="other formats than their names say",
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.stored.cmyk],
        ("is CMYK", "are CMYK"),
        "; read as sRGB, as translate does",
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.stored.foreign],
        ("has a colour profile other than sRGB", "have colour profiles other than sRGB"),
        "; read as sRGB, as translate does",
    )
    yield from _about(
        domain,
        [scan for scan in scanned if scan.stored.turned],
        ("is turned upright by its EXIF", "are turned upright by their EXIF"),
        "; other programs may show it lying",
    )


_IS = ("is {}", "are {}")


def _about(
    domain: Domain,
    found: Sequence[ScannedPicture],
    verbs: tuple[str, str],
    effect: str,
    *,
    title: str = "",
) -> Iterator[Finding]:
    """Yield one finding if there are such pictures: a doubtful one if it has a title, else a fact.

    ``verbs``: of one picture and of many, with ``{}`` for the title.
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
