"""Many pictures on one sheet, in titled sections, small and with captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from imgtranslate.images.figures import Font, Pixels, fit, font_of, one_line

CELL: Final = 160  # px
COLUMNS: Final = 8

_MARGIN, _GAP, _TOUCH = 16, 16, 2  # px: around, between groups, within a group
_TITLE, _CAPTION = 18, 12  # px, of letters
_TITLE_ROOM, _CAPTION_ROOM = 34, 22  # px
_WIDTH = 2 * _MARGIN + COLUMNS * CELL + (COLUMNS - 1) * _GAP
_PAPER, _INK, _PALE_INK, _FRAME = "#ffffff", "#111827", "#6b7280", "#e5e7eb"


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """One picture, (h, w, c) of any size, and what stands below it."""

    pixels: Pixels | None  # None: it is gone
    caption: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """Groups of pictures that are looked at together, under one title."""

    title: str
    groups: Sequence[Sequence[Tile]]


Placed = tuple[Tile, int, int]  # left and top, in px


def contact_sheet(sections: Sequence[Section]) -> Pixels:
    """Draw sections below each other: (H, 1424, 3). A group is one row of up to 8 pictures."""
    sheet = Image.new("RGB", (_WIDTH, _height(sections)), _PAPER)
    draw, title_font, font = ImageDraw.Draw(sheet), font_of(_TITLE), font_of(_CAPTION)
    top = _MARGIN
    for section in sections:
        title = one_line(section.title, title_font, width=_WIDTH - 2 * _MARGIN)
        draw.text((_MARGIN, top), title, fill=_INK, font=title_font)
        for tile, x, y in _placed(section, top + _TITLE_ROOM):
            _draw_tile(sheet, tile, x, y, font)
        top += _section_height(section)
    return np.asarray(sheet)


def _height(sections: Sequence[Section]) -> int:
    return 2 * _MARGIN + sum(_section_height(section) for section in sections)


def _section_height(section: Section) -> int:
    bottom = max((y for _, _, y in _placed(section, 0)), default=-_row())
    return _TITLE_ROOM + bottom + _row() + _GAP


def _row() -> int:
    return CELL + _CAPTION_ROOM


def _placed(section: Section, top: int) -> Iterator[Placed]:
    """Groups from left to right; one that does not fit begins a new row."""
    x, y = _MARGIN, top
    for group in section.groups:
        shown = group[:COLUMNS]
        width = len(shown) * (CELL + _TOUCH) - _TOUCH
        if x > _MARGIN and x + width > _WIDTH - _MARGIN:
            x, y = _MARGIN, y + _row()
        for n, tile in enumerate(shown):
            yield tile, x + n * (CELL + _TOUCH), y
        x += width + _GAP


def _draw_tile(sheet: Image.Image, tile: Tile, x: int, y: int, font: Font) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=_FRAME)
    if tile.pixels is not None:
        picture = fit(tile.pixels, cell=CELL)
        sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
    caption = _shortened(tile.caption, font)
    draw.text((x, y + CELL + 2), caption, fill=_PALE_INK, font=font)


def _shortened(text: str, font: Font) -> str:
    """One line of the width of a cell; of a long name both ends are kept."""
    half = 60  # letters: more never fit
    text = text if len(text) <= 2 * half else text[:half] + text[-half:]
    whole = one_line(text, font, width=10 * _WIDTH)
    if font.getlength(whole) <= CELL:
        return whole
    half = min(half, len(whole) // 2)
    while half and font.getlength(f"{whole[:half]}…{whole[-half:]}") > CELL:
        half -= 1
    return f"{whole[:half]}…{whole[-half:]}"
