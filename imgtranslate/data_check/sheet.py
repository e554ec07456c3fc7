"""What the check of training pictures doubts, and some pictures of both sides, on one sheet."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from imgtranslate.data.folders import Domain
from imgtranslate.data_check.check import DataReport
from imgtranslate.data_check.findings import Example, Group
from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images import Picture, writable_suffixes, write_image
from imgtranslate.images.figures import CELL, Section, Tile, contact_sheet, fit
from imgtranslate.settings.config import DataSettings, Settings

MOST: Final = 16  # pictures of a section

Domains = tuple[Domain, Domain]
Titled = tuple[str, Sequence[Group]]


def refuse_sheet(target: Path, data: DataSettings) -> None:
    """Raise ``UsageError`` where no sheet may be written: over a file, or among the pictures."""
    if target.suffix.lower() not in writable_suffixes():
        raise UsageError(f"--sheet {target}: no name of a picture. Name it as in sheet.png")
    if os.path.lexists(target):
        raise UsageError(f"--sheet {target}: something is there already. Name a new file")
    if not target.parent.is_dir():
        raise UsageError(f"--sheet {target}: no such folder {target.parent}. Make it first")
    place = Path(os.path.realpath(target))
    for folder in _folders(data):
        if place.is_relative_to(os.path.realpath(folder)):
            raise UsageError(
                f"--sheet {target}: it would be a training picture there, in {folder}. Name a "
                "place outside"
            )


def write_sheet(target: Path, report: DataReport, settings: Settings) -> None:
    """Read the doubtful pictures and some others once more and write them as one picture.

    Raises ``UsageError`` as ``refuse_sheet`` does, ``ImgTranslateError`` if the disk refuses.
    """
    refuse_sheet(target, settings.data)
    channels = {"a": settings.data.channels_a, "b": settings.data.channels_b}
    paired = report.domains[0].aligned
    doubts = [
        (each.title, each.groups) for each in report.findings if each.groups and each.doubtful
    ]
    sections = [
        Section(title=title, groups=[_tiles(group, channels) for group in groups])
        for title, groups in map(_limited, [*doubts, *_sample(report.domains, paired=paired)])
    ]
    write_image(target, Picture(pixels=contact_sheet(sections)))


def _folders(data: DataSettings) -> list[str]:
    places = (data.a, data.b, data.pairs, data.held_out_a, data.held_out_b, data.held_out_pairs)
    return [place for place in places if place and Path(place).is_dir()]


def _limited(titled: Titled) -> Titled:
    """As many groups as a section has room for; the title says if there are more."""
    title, groups = titled
    shown = groups[: max(1, MOST // max(map(len, groups)))]
    count = f" · {len(shown)} of {len(groups)}" if len(shown) < len(groups) else ""
    return title + count, shown


def _sample(domains: Domains, *, paired: bool) -> Iterator[Titled]:
    """Some of what is trained on, the same each time; pairs side by side."""
    a, b = domains
    if paired:
        chosen = _chosen(len(a.files), most=MOST // 2)
        pairs = [(_example(a, a.files[n]), _example(b, b.files[n])) for n in chosen]
        yield f"{a.name} and {b.name}: some pairs", pairs
        return
    for domain in domains:
        singles = [
            (_example(domain, domain.files[n]),) for n in _chosen(len(domain.files), most=MOST)
        ]
        yield f"{domain.name}: some pictures", singles


def _chosen(count: int, *, most: int) -> list[int]:
    return sorted(int(n) for n in np.random.default_rng(0).permutation(count)[:most])


def _example(domain: Domain, path: Path) -> Example:
    return Example(domain=domain, path=path)


def _tiles(group: Group, channels: Mapping[str, int]) -> list[Tile]:
    return [_tile(example, channels[example.domain.letter]) for example in group]


def _tile(example: Example, channels: int) -> Tile:
    name = example.path.name
    caption = f"held out: {name}" if example.held_out else name
    try:
        pixels = example.domain.read(example.path, channels=channels)
    except ImageError:  # it was there when it was checked
        return Tile(pixels=None, caption=caption)
    return Tile(pixels=np.asarray(fit(pixels, cell=CELL)), caption=caption)
