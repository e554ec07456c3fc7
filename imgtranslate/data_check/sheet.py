"""The sheet of the data check: suspicious pictures, and a sample of both domains."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from imgtranslate.data.folders import Domains
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.data_check.check import DataReport
from imgtranslate.data_check.findings import Example, Group
from imgtranslate.errors import ImageError, UsageError
from imgtranslate.images import Picture, writable_suffixes, write_image
from imgtranslate.images.figures import CELL, Section, Tile, contact_sheet, fit
from imgtranslate.settings.config import DataSettings, Settings

MOST: Final = 16  # pictures in a section

Titled = tuple[str, Sequence[Group]]


def refuse_sheet(target: Path, data: DataSettings) -> None:
    """Raise ``UsageError`` if a sheet would replace a file or become a training picture."""
    if target.suffix.lower() not in writable_suffixes():
        raise UsageError(f"`sheet` {target}: not a picture file. Give a name such as sheet.png")
    if os.path.lexists(target):
        raise UsageError(f"`sheet` {target}: already exists. Give the name of a new file")
    if not target.parent.is_dir():
        raise UsageError(f"`sheet` {target}: no such folder {target.parent}. Create it first")
    place = Path(os.path.realpath(target))
    given = (data.a, data.b, data.pairs, data.held_out_a, data.held_out_b, data.held_out_pairs)
    for folder in given:
        if folder and Path(folder).is_dir() and place.is_relative_to(os.path.realpath(folder)):
            raise UsageError(
                f"`sheet` {target}: would become a training picture in {folder}. Choose a folder "
                "without training pictures"
            )


def write_sheet(target: Path, report: DataReport, settings: Settings) -> None:
    """Read the suspicious pictures and a sample of the others again, and write one picture.

    Raises ``UsageError`` as ``refuse_sheet`` does, ``ImgTranslateError`` if writing fails.
    """
    refuse_sheet(target, settings.data)
    channels = {"a": settings.data.channels_a, "b": settings.data.channels_b}
    paired = report.domains[0].aligned
    suspicious = [
        (each.title, each.groups) for each in report.findings if each.groups and each.doubtful
    ]
    sections = [
        Section(
            title=title,
            groups=[[_tile(each, channels[each.domain.letter]) for each in g] for g in groups],
        )
        for title, groups in map(_limited, [*suspicious, *_sample(report.domains, paired=paired)])
    ]
    write_image(target, Picture(pixels=contact_sheet(sections)))


def _limited(titled: Titled) -> Titled:
    """Return the groups that fit into a section; the title says how many of them."""
    title, groups = titled
    shown = groups[: max(1, MOST // max(map(len, groups)))]
    count = f" · {len(shown)} of {len(groups)}" if len(shown) < len(groups) else ""
    return title + count, shown


def _sample(domains: Domains, *, paired: bool) -> Iterator[Titled]:
    """Choose evenly spaced training pictures, pairs side by side."""
    a, b = domains
    if paired:
        chosen = evenly_spaced(list(zip(a.files, b.files, strict=True)), MOST // 2)
        pairs = [(Example(domain=a, path=x), Example(domain=b, path=y)) for x, y in chosen]
        yield f"{a.name} and {b.name}: sample pairs", pairs
        return
    for domain in domains:
        files = evenly_spaced(domain.files, MOST)
        yield f"{domain.name}: sample pictures", [(Example(domain=domain, path=f),) for f in files]


def _tile(example: Example, channels: int) -> Tile:
    name = example.path.name
    caption = f"held out: {name}" if example.held_out else name
    try:
        pixels = example.domain.read(example.path, channels=channels)
    except ImageError:  # removed since the check
        return Tile(pixels=None, caption=caption)
    return Tile(pixels=np.asarray(fit(pixels, cell=CELL)), caption=caption)
