"""Single pictures that may not be what they seem: blank, transparent, misnamed, exceptions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.findings import Finding, single, some
from imgtranslate.data_check.picture_facts import Facts, PictureFacts

LONG: Final = 3  # times as long as wide
FEW: Final = 0.1  # the share up to which a kind of picture is the exception


def about_pictures(domain: Domain, facts: Facts, *, load: int) -> Iterator[Finding]:
    """Judge the pictures that one side is trained on, one by one; files of held-out ones too."""
    found = [facts[domain.letter, path] for path in domain.files]
    yield from _told(domain, _too_small(load), [f for f in found if min(f.size) * 2 < load])
    yield from _told(domain, _TOO_LONG, [f for f in found if max(f.size) > LONG * min(f.size)])
    yield from _told(domain, _BLANK, [f for f in found if f.one_colour])
    yield from _told(domain, _CLEAR, [f for f in found if f.opaque < 0.5])
    yield from _about_colours(domain, found)
    if domain.letter == "a" or domain.half == "whole":  # of two halves the file is told of once
        yield from _about_files(domain, [*found, *_held_out(domain, facts)])


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How one kind of doubtful picture is told."""

    title: str
    one: str
    many: str
    then: str
    doubtful: bool = True


def _too_small(load: int) -> _Kind:
    return _Kind(
        title="enlarged more than twice",
        one="would be enlarged more than twice",
        many="would be enlarged more than twice",
        then=f" to {load} px, which teaches blur. Remove them or train at a smaller --size",
    )


_TOO_LONG = _Kind(
    title=f"more than {LONG} times as long as wide",
    one=f"is more than {LONG} times as long as wide",
    many=f"are more than {LONG} times as long as wide",
    then=", so a sample shows a small part of it. Cut it up or leave it out",
)
_BLANK = _Kind(
    title="of one colour",
    one="is of one colour",
    many="are of one colour",
    then=". Nothing is learnt from that: leave it out",
)
_CLEAR = _Kind(
    title="mostly transparent",
    one="is mostly transparent",
    many="are mostly transparent",
    then="; the colours beneath are trained on. Lay it over a background",
)
_GREY = _Kind(
    title="grey among colour pictures",
    one="is grey among colour pictures",
    many="are grey among colour pictures",
    then=". If colours matter, leave it out",
)
_COLOURED = _Kind(
    title="in colour among grey pictures",
    one="is in colour among grey pictures",
    many="are in colour among grey pictures",
    then=". If colours matter, leave it out",
)
_MISNAMED = _Kind(
    title="other formats than their names say",
    one="holds {}, not what its name says",
    many="hold other formats than their names say ({} the first)",
    then=". Other programs may not read it: rename it",
)
_CMYK = _Kind(
    title="CMYK",
    one="is CMYK",
    many="are CMYK",
    then="; read as sRGB, as translate does",
    doubtful=False,
)
_PROFILE = _Kind(
    title="profile",
    one="has a colour profile other than sRGB",
    many="have colour profiles other than sRGB",
    then="; read as sRGB, as translate does",
    doubtful=False,
)
_TURNED = _Kind(
    title="turned",
    one="is turned upright by its EXIF",
    many="are turned upright by their EXIF",
    then="; other programs may show it lying",
    doubtful=False,
)


def _held_out(domain: Domain, facts: Facts) -> list[PictureFacts]:
    return [facts[domain.letter, path] for path in domain.held_out]


def _about_colours(domain: Domain, found: Sequence[PictureFacts]) -> Iterator[Finding]:
    grey = [fact for fact in found if fact.grey and not fact.one_colour]
    coloured = [fact for fact in found if not fact.grey]
    if len(grey) <= FEW * len(found):
        yield from _told(domain, _GREY, grey)
    elif len(coloured) <= FEW * len(found):
        yield from _told(domain, _COLOURED, coloured)


def _about_files(domain: Domain, found: Sequence[PictureFacts]) -> Iterator[Finding]:
    misnamed = [fact for fact in found if fact.stored.misnamed]
    for fact in misnamed[:1]:
        kind = fact.stored.misnamed
        named = replace(_MISNAMED, one=_MISNAMED.one.format(kind), many=_MISNAMED.many.format(kind))
        yield from _told(domain, named, misnamed)
    yield from _told(domain, _CMYK, [fact for fact in found if fact.stored.cmyk])
    yield from _told(domain, _PROFILE, [fact for fact in found if fact.stored.foreign])
    yield from _told(domain, _TURNED, [fact for fact in found if fact.stored.turned])


def _told(domain: Domain, kind: _Kind, found: Sequence[PictureFacts]) -> Iterator[Finding]:
    """One finding about some pictures; none about none."""
    if found:
        paths: list[Path] = [fact.path for fact in found]
        yield Finding(
            lines=(f"{domain.name}: {some(paths, kind.one, kind.many)}{kind.then}",),
            title=f"{domain.name}: {kind.title}",
            groups=single(domain, paths),
            doubtful=kind.doubtful,
        )
