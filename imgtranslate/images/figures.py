"""The figures that people look at: pictures side by side, with titles."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
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
        """Where the row ends, with its caption, in px."""
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
    a whole number of times, so that their pixels show; large ones are shrunk. A caption stands
    below its row.
    Returns (H, W, 3).
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
    """Enlarge by a whole number of times, or shrink, to a longest side of ``cell`` px or less."""
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
    """``text`` on one line of at most ``width`` px; what is left out is marked."""
    text = _drawable(" ".join(text.split()))
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def font_of(size: int) -> Font:
    """The built-in font, so that figures look alike on every machine."""
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
    """``text`` in the letters of the built-in font: accents are dropped, others become ``?``."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if (c.isascii() and c.isprintable()) or c == "·" else "?" for c in plain)
