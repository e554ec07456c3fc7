"""Figures: pictures side by side with titles, and contact sheets of many small pictures."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from imgtranslate.images.picture import Pixels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MARGIN, _GAP = 16, 8  # px
_TITLE_SIZE, _CAPTION_SIZE = 18, 14  # px
_LINE = 1.5  # of the letters' size
_PAPER, _INK, _PALE_INK, _FRAME = "#ffffff", "#111827", "#6b7280", "#e5e7eb"


@dataclass(frozen=True, kw_only=True)
class _Row:
    pictures: Sequence[Image.Image]
    caption: str
    top: int  # px
    height: int  # px, of the pictures

    @property
    def bottom(self) -> int:
        """Return the bottom edge of the row and its caption, in px."""
        return self.top + self.height + (_line(_CAPTION_SIZE) if self.caption else 0)


def comparison(
    rows: Sequence[Sequence[Pixels]],
    *,
    titles: Sequence[str],
    captions: Sequence[str] = (),
    cell: int = 256,
) -> Pixels:
    """Draw pictures in rows and titled columns, such as Real | Fake | Recovered.

    Pictures are (h, w, c), of any sizes; three of their channels are shown, or one. A row may be
    shorter than the titles. Each keeps its aspect and fits ``cell`` px: small ones are enlarged by
    a whole factor, so that their pixels show; large ones are shrunk. A caption stands below its
    row. Returns (H, W, 3).
    """
    title_font, caption_font = font_of(_TITLE_SIZE), font_of(_CAPTION_SIZE)
    titles = [one_line(title, title_font, width=cell) for title in titles]
    fitted = [[fit(pixels, cell=cell) for pixels in row] for row in rows]
    widths = [picture.width for row in fitted for picture in row]
    widths += [round(title_font.getlength(title)) for title in titles]
    column = max([cell // 2, *widths])
    placed = _stack(fitted, captions)
    bottom = placed[-1].bottom if placed else _first_top()
    width = 2 * _MARGIN + len(titles) * column + (len(titles) - 1) * _GAP
    figure = Image.new("RGB", (width, bottom + _MARGIN), _PAPER)
    _draw_titles(figure, titles, title_font, column=column)
    for row in placed:
        _draw_row(figure, row, caption_font, column=column)
    return np.asarray(figure)


def fit(pixels: Pixels, *, cell: int) -> Image.Image:
    """Enlarge by a whole factor, or shrink, to a longest side of ``cell`` px or less."""
    shown = pixels[..., :3] if pixels.shape[-1] > 2 else pixels[..., 0]
    picture = Image.fromarray(np.ascontiguousarray(shown)).convert("RGB")
    longest = max(picture.size)
    if longest <= cell:
        times = cell // longest
        size = (picture.width * times, picture.height * times)
        return picture.resize(size, Image.Resampling.NEAREST)
    width, height = (max(1, round(side * cell / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def one_line(text: str, font: Font, *, width: float) -> str:
    """Shorten ``text`` to one line of at most ``width`` px; an ellipsis marks the cut."""
    text = _drawable(" ".join(text.split()))
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def font_of(size: int) -> Font:
    """Load the built-in font, so that figures look alike on every machine."""
    return ImageFont.load_default(size)


def _stack(rows: Sequence[Sequence[Image.Image]], captions: Sequence[str]) -> list[_Row]:
    """Give each row its place below the one before."""
    placed: list[_Row] = []
    for i, pictures in enumerate(rows):
        top = placed[-1].bottom + _GAP if placed else _first_top()
        caption = captions[i] if i < len(captions) else ""
        height = max(picture.height for picture in pictures)
        placed.append(_Row(pictures=pictures, caption=caption, top=top, height=height))
    return placed


def _draw_titles(figure: Image.Image, titles: Sequence[str], font: Font, *, column: int) -> None:
    draw = ImageDraw.Draw(figure)
    for i, title in enumerate(titles):
        left = _left(i, column=column) + (column - font.getlength(title)) / 2
        draw.text((left, _MARGIN - _GAP // 2), title, fill=_INK, font=font)


def _draw_row(figure: Image.Image, row: _Row, font: Font, *, column: int) -> None:
    draw = ImageDraw.Draw(figure)
    for i, picture in enumerate(row.pictures):
        x = _left(i, column=column) + (column - picture.width) // 2
        y = row.top + (row.height - picture.height) // 2
        figure.paste(picture, (x, y))
        draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_FRAME)
    caption = one_line(row.caption, font, width=figure.width - 2 * _MARGIN)
    place = (_MARGIN, row.top + row.height + _GAP // 2)
    draw.text(place, caption, fill=_PALE_INK, font=font)


def _left(i: int, *, column: int) -> int:
    return _MARGIN + i * (column + _GAP)


def _first_top() -> int:
    return _MARGIN + _line(_TITLE_SIZE)


def _line(size: int) -> int:
    return round(size * _LINE)


def _drawable(text: str) -> str:
    """Reduce ``text`` to the built-in font: accents are dropped, other letters become ``?``."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if (c.isascii() and c.isprintable()) or c == "·" else "?" for c in plain)


# Contact sheets

CELL: Final = 160  # px
COLUMNS: Final = 8

_GROUP_GAP, _TOUCH = 16, 2  # px: between groups, within a group
_SMALL_SIZE = 12  # px, of the letters of captions
_TITLE_ROOM, _CAPTION_ROOM = 34, 22  # px
_WIDTH = 2 * _MARGIN + COLUMNS * CELL + (COLUMNS - 1) * _GROUP_GAP


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """A picture, (h, w, c) of any size, and its caption."""

    pixels: Pixels | None  # None: the file is gone
    caption: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """Groups of pictures under one title."""

    title: str
    groups: Sequence[Sequence[Tile]]


Placed = tuple[Tile, int, int]  # left and top, in px


def contact_sheet(sections: Sequence[Section]) -> Pixels:
    """Draw sections below each other: (H, 1424, 3). A group is one row of up to 8 pictures."""
    sheet = Image.new("RGB", (_WIDTH, _height(sections)), _PAPER)
    draw, title_font, font = ImageDraw.Draw(sheet), font_of(_TITLE_SIZE), font_of(_SMALL_SIZE)
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
    return _TITLE_ROOM + bottom + _row() + _GROUP_GAP


def _row() -> int:
    return CELL + _CAPTION_ROOM


def _placed(section: Section, top: int) -> Iterator[Placed]:
    """Place groups from left to right; a group that does not fit begins a new row."""
    x, y = _MARGIN, top
    for group in section.groups:
        shown = group[:COLUMNS]
        width = len(shown) * (CELL + _TOUCH) - _TOUCH
        if x > _MARGIN and x + width > _WIDTH - _MARGIN:
            x, y = _MARGIN, y + _row()
        for n, tile in enumerate(shown):
            yield tile, x + n * (CELL + _TOUCH), y
        x += width + _GROUP_GAP


def _draw_tile(sheet: Image.Image, tile: Tile, x: int, y: int, font: Font) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=_FRAME)
    if tile.pixels is not None:
        picture = fit(tile.pixels, cell=CELL)
        sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
    caption = _shortened(tile.caption, font)
    draw.text((x, y + CELL + 2), caption, fill=_PALE_INK, font=font)


def _shortened(text: str, font: Font) -> str:
    """Shorten to the width of a cell; both ends of a long name are kept."""
    half = 60  # letters: more never fit
    text = text if len(text) <= 2 * half else text[:half] + text[-half:]
    whole = one_line(text, font, width=10 * _WIDTH)
    if font.getlength(whole) <= CELL:
        return whole
    half = min(half, len(whole) // 2)
    while half and font.getlength(f"{whole[:half]}…{whole[-half:]}") > CELL:
        half -= 1
    return f"{whole[:half]}…{whole[-half:]}"
