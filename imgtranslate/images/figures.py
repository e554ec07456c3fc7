"""Figures: pictures side by side with titles, and contact sheets of many small pictures."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from imgtranslate.images.picture import Pixels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MARGIN, _GAP = 16, 8  # px
_TITLE_SIZE, _CAPTION_SIZE = 18, 14  # px
_TITLE_LINE, _CAPTION_LINE = 27, 21  # px, the heights of their lines
_PAPER, _INK, _PALE_INK, _FRAME = "#ffffff", "#111827", "#6b7280", "#e5e7eb"


def comparison(
    rows: Sequence[Sequence[Pixels]],
    *,
    titles: Sequence[str],
    captions: Sequence[str] = (),
    cell: int = 256,
) -> Pixels:
    """Draw pictures in rows and titled columns, such as Real | Fake | Recovered.

    Pictures (h, w, c) may have any size; three of their channels are shown, or one. A row may have
    fewer pictures than there are titles. Each picture keeps its aspect ratio and is scaled to
    ``cell`` px: enlarged by a whole factor, so that its pixels stay visible, or reduced. A caption
    is below its row. Returns (H, W, 3).
    """
    # The font that is part of Pillow makes figures equal on every machine.
    title_font = ImageFont.load_default(_TITLE_SIZE)
    caption_font = ImageFont.load_default(_CAPTION_SIZE)
    titles = [_line(title, title_font, width=cell) for title in titles]
    fitted = [[fit(pixels, cell=cell) for pixels in row] for row in rows]
    captions = [*captions, *[""] * (len(rows) - len(captions))]

    # The layout
    widths = [picture.width for row in fitted for picture in row]
    widths += [round(title_font.getlength(title)) for title in titles]
    column = max([cell // 2, *widths])
    lefts = [_MARGIN + n * (column + _GAP) for n in range(len(titles))]
    width = 2 * _MARGIN + len(titles) * column + (len(titles) - 1) * _GAP
    heights = [max(picture.height for picture in row) for row in fitted]
    tops, bottom = list[int](), _MARGIN + _TITLE_LINE
    for height, caption in zip(heights, captions, strict=True):
        tops.append(bottom + (_GAP if tops else 0))
        bottom = tops[-1] + height + (_CAPTION_LINE if caption else 0)

    figure = Image.new("RGB", (width, bottom + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(figure)
    for left, title in zip(lefts, titles, strict=True):
        x = left + (column - title_font.getlength(title)) / 2
        draw.text((x, _MARGIN - _GAP // 2), title, fill=_INK, font=title_font)
    for row, caption, top, height in zip(fitted, captions, tops, heights, strict=True):
        for left, picture in zip(lefts, row, strict=False):
            x, y = left + (column - picture.width) // 2, top + (height - picture.height) // 2
            figure.paste(picture, (x, y))
            draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_FRAME)
        caption = _line(caption, caption_font, width=width - 2 * _MARGIN)
        draw.text((_MARGIN, top + height + _GAP // 2), caption, fill=_PALE_INK, font=caption_font)
    return np.asarray(figure)


def fit(pixels: Pixels, *, cell: int) -> Image.Image:
    """Enlarge by a whole factor, or reduce, to a longest side of at most ``cell`` px."""
    shown = pixels[..., :3] if pixels.shape[-1] > 2 else pixels[..., 0]
    picture = Image.fromarray(np.ascontiguousarray(shown)).convert("RGB")
    longest = max(picture.size)
    if longest <= cell:
        return ImageOps.scale(picture, cell // longest, Image.Resampling.NEAREST)
    width, height = (max(1, round(side * cell / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


# Contact sheets

CELL: Final = 160  # px
COLUMNS: Final = 8

_GROUP_GAP, _TOUCH = 16, 2  # px between groups, and between the pictures of a group
_SMALL_SIZE = 12  # px, font size of captions
_TITLE_ROOM, _CAPTION_ROOM = 34, 22  # px
_WIDTH = 2 * _MARGIN + COLUMNS * CELL + (COLUMNS - 1) * _GROUP_GAP


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """A picture (h, w, c) of any size, and its caption."""

    pixels: Pixels | None  # None if the file is missing
    caption: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """Groups of pictures under one title."""

    title: str
    groups: Sequence[Sequence[Tile]]


def contact_sheet(sections: Sequence[Section]) -> Pixels:
    """Draw sections below each other: (H, 1424, 3). A group is one row of up to 8 pictures."""
    titles: list[tuple[str, int]] = []  # with their top, in px
    tiles: list[tuple[Tile, int, int]] = []  # with their left and top, in px
    top = _MARGIN
    for section in sections:
        titles.append((section.title, top))
        x, y = _MARGIN, top + _TITLE_ROOM
        for group in section.groups:
            shown = group[:COLUMNS]
            width = len(shown) * (CELL + _TOUCH) - _TOUCH
            if x > _MARGIN and x + width > _WIDTH - _MARGIN:  # no room in this row
                x, y = _MARGIN, y + CELL + _CAPTION_ROOM
            tiles += [(tile, x + n * (CELL + _TOUCH), y) for n, tile in enumerate(shown)]
            x += width + _GROUP_GAP
        top = y + CELL + _CAPTION_ROOM + _GROUP_GAP

    sheet = Image.new("RGB", (_WIDTH, top + _MARGIN), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_SMALL_SIZE)
    title_font = ImageFont.load_default(_TITLE_SIZE)
    for title, y in titles:
        line = _line(title, title_font, width=_WIDTH - 2 * _MARGIN)
        draw.text((_MARGIN, y), line, fill=_INK, font=title_font)
    for tile, x, y in tiles:
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=_FRAME)
        if tile.pixels is not None:
            picture = fit(tile.pixels, cell=CELL)
            place = (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2)
            sheet.paste(picture, place)
        draw.text((x, y + CELL + 2), _name_line(tile.caption, font), fill=_PALE_INK, font=font)
    return np.asarray(sheet)


def _line(text: str, font: Font, *, width: float) -> str:
    """Shorten ``text`` to one line of at most ``width`` px; an ellipsis marks the cut."""
    text = _drawable(" ".join(text.split()))
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _name_line(text: str, font: Font) -> str:
    """Shorten to the width of a cell; both ends of a long name are kept."""
    whole = _drawable(" ".join(text.split()))
    if font.getlength(whole) <= CELL:
        return whole
    half = len(whole) // 2
    while half and font.getlength(f"{whole[:half]}…{whole[-half:]}") > CELL:
        half -= 1
    return f"{whole[:half]}…{whole[-half:]}"


def _drawable(text: str) -> str:
    """Reduce ``text`` to the built-in font: accents are dropped, other letters become ``?``."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if (c.isascii() and c.isprintable()) or c == "·" else "?" for c in plain)
