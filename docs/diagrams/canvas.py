"""A canvas for SVG: boxes, pictures, arrows and text, readable on light and on dark pages.

Every text is measured when it is placed. ``Canvas.svg`` refuses text that leaves the drawing or
its box, or that lies on another text: an SVG does not wrap lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

from PIL import ImageFont

Role = Literal["a", "b", "generator", "discriminator", "encoder", "loss", "plain", "pale"]
Ink = Role | Literal["ink", "caption", "paper"]
Anchor = Literal["start", "middle", "end"]
Content = Literal["plain", "striped", "poor", "outline", "red", "green"]
Shape = Literal["circle", "square", "triangle"]
Point = tuple[float, float]

_SPARE = 1.08  # other systems' fonts are wider than the one that texts are measured with
_MONO_WIDTH = 0.602  # em
_SANS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
_MONO = "Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace"

_COLOURS: dict[str, tuple[str, str]] = {  # light, dark
    "a": ("#b85a12", "#f0a15e"),
    "b": ("#2f6fb5", "#76adec"),
    "generator": ("#7a4bb3", "#bd9cf0"),
    "discriminator": ("#b8413a", "#ef857d"),
    "encoder": ("#6f6a12", "#c9c45c"),
    "loss": ("#1f7a66", "#63c9b6"),
    "plain": ("#57606a", "#aab2bd"),
    "pale": ("#8c959f", "#6e7781"),
    "red": ("#b8413a", "#ef857d"),
    "green": ("#1f7a66", "#63c9b6"),
}
_PAPER, _LINE = ("#ffffff", "#15181c"), ("#d5d9de", "#363c44")
_INK, _PALE_INK = ("#1d2126", "#e7e8ea"), ("#59616b", "#a3abb6")


@dataclass(frozen=True)
class _Placed:
    """The rectangle that a text covers, and the one that it must stay in."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    room: tuple[float, float]  # left and right edge

    def overlaps(self, other: "_Placed") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Canvas:
    """One drawing, with a title and a description for those who do not see it."""

    def __init__(self, width: int, height: int, *, title: str, description: str) -> None:
        self.width, self.height = width, height
        self.title, self.description = title, description
        self._parts: list[str] = []
        self._texts: list[_Placed] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 14,
        anchor: Anchor = "start",
        bold: bool = False,
        mono: bool = False,
        role: Ink = "ink",
        room: tuple[float, float] | None = None,
    ) -> None:
        """Write one line whose baseline is at ``y``."""
        width = text_width(text, size=size, mono=mono, bold=bold)
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        room = room or (4, self.width - 4)
        self._texts.append(_Placed(text, left, y - 0.75 * size, left + width, y + 0.2 * size, room))
        classes = f"t {role}" + (" m" if mono else "") + (" h" if bold else "")
        place = f'x="{_n(x)}" y="{_n(y)}" font-size="{size}"'
        turned = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(f'<text class="{classes}" {place}{turned}>{escape(text)}</text>')

    def lines(
        self,
        x: float,
        y: float,
        lines: Sequence[str],
        *,
        size: int = 13,
        anchor: Anchor = "start",
        role: Ink = "caption",
        room: tuple[float, float] | None = None,
    ) -> None:
        """Write several lines; the baseline of the first is at ``y``."""
        for index, line in enumerate(lines):
            at = y + index * size * 1.4
            self.text(x, at, line, size=size, anchor=anchor, role=role, room=room)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[str] = (),
        *,
        role: Role = "plain",
        size: int = 14,
        mono: bool = False,
        dashed: bool = False,
        radius: float = 8,
    ) -> None:
        """Draw a box with centred lines, the first of them bold; a dashed box is frozen."""
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        kind = f"f {role}" + (" d" if dashed else "")
        self._parts.append(f'<rect class="{kind}" {place} rx="{_n(radius)}"/>')
        step = size * 1.35
        first = y + height / 2 - (len(lines) - 1) * step / 2 + size * 0.36
        for index, line in enumerate(lines):
            self.text(
                x + width / 2,
                first + index * step,
                line,
                size=size if index == 0 else size - 2,
                anchor="middle",
                bold=index == 0,
                mono=mono,
                room=(x + 4, x + width - 4),
            )

    def card(self, x: float, y: float, width: float, height: float) -> None:
        """Draw a frame around a group."""
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._parts.append(f'<rect class="card" {place} rx="10"/>')

    def picture(self, x: float, y: float, side: float, shape: Shape, content: Content) -> None:
        """Draw a framed picture of one shape: A is plain, B is striped."""
        frame = f'x="{_n(x)}" y="{_n(y)}" width="{_n(side)}" height="{_n(side)}"'
        self._parts.append(f'<rect class="frame" {frame} rx="4"/>')
        cx, cy, r = x + side / 2, y + side / 2, side * 0.31
        match shape:
            case "circle":
                drawn = f'<circle class="p {content}" cx="{_n(cx)}" cy="{_n(cy)}" r="{_n(r)}"/>'
            case "square":
                corner = f'x="{_n(cx - r)}" y="{_n(cy - r)}"'
                drawn = (
                    f'<rect class="p {content}" {corner} width="{_n(2 * r)}" height="{_n(2 * r)}"/>'
                )
            case "triangle":
                points = (
                    f"{_n(cx)},{_n(cy - r)} {_n(cx + r)},{_n(cy + r)} {_n(cx - r)},{_n(cy + r)}"
                )
                drawn = f'<polygon class="p {content}" points="{points}"/>'
        self._parts.append(drawn)

    def line(
        self,
        *points: Point,
        role: Role = "plain",
        arrow: bool = True,
        dashed: bool = False,
        width: float = 1.6,
    ) -> None:
        """Draw a line through points, with a head at its end; a dashed one compares."""
        joined = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        kind = f"l {role}" + (" d" if dashed else "")
        thick = "" if width == 1.6 else f' style="stroke-width:{_n(width)}"'
        self._parts.append(f'<polyline class="{kind}"{thick} points="{joined}"/>')
        if arrow:
            self._head(points[-2], points[-1], role)

    def dot(self, x: float, y: float, radius: float, *, role: Role, hollow: bool = False) -> None:
        """Draw a dot, or a ring."""
        kind = f"l {role}" if hollow else f"s {role}"
        self._parts.append(f'<circle class="{kind}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"/>')

    def bar(self, x: float, y: float, width: float, height: float, *, role: Role) -> None:
        """Draw a filled rectangle without a text."""
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._parts.append(f'<rect class="s {role}" {place} rx="1"/>')

    def labelled(
        self, x: float, y: float, label: str, shape: Shape, content: Content, *, side: float = 60
    ) -> None:
        """Draw a picture with its name below."""
        self.picture(x, y, side, shape, content)
        below = y + side + 16
        self.text(x + side / 2, below, label, size=13, anchor="middle", mono=True, role="caption")

    def loss(
        self, x: float, y: float, width: float, name: str, formula: str, *, start: float = 0
    ) -> None:
        """Draw a loss: its logged name, and what it compares, ``start`` px after the name's left.

        Without ``start`` both stand in the middle.
        """
        self.box(x, y, width, 30, role="loss", radius=15)
        room = (x + 6, x + width - 6)
        if start:
            self.text(x + 14, y + 20, name, size=13, mono=True, bold=True, role="loss", room=room)
            self.text(x + 14 + start, y + 20, formula, size=13, room=room)
            return
        wide = text_width(name, size=13, mono=True, bold=True) + 9 + text_width(formula, size=13)
        middle = x + width / 2
        both = (middle - wide / 2, y + 10, middle + wide / 2, y + 23)
        self._texts.append(_Placed(f"{name} {formula}", *both, room))
        self._parts.append(
            f'<text class="t ink" x="{_n(middle)}" y="{_n(y + 20)}" font-size="13" '
            f'text-anchor="middle"><tspan class="t m h loss">{name}</tspan>'
            f'<tspan dx="9">{escape(formula)}</tspan></text>'
        )

    def faults(self) -> list[str]:
        """List texts that leave their room or the drawing, or that lie on another text."""
        found = []
        for index, one in enumerate(self._texts):
            left, right = one.room
            if one.left < left or one.right > right or one.top < 0 or one.bottom > self.height:
                found.append(f"{one.text!r} leaves its room")
            for other in self._texts[:index]:
                if one.overlaps(other):
                    found.append(f"{one.text!r} lies on {other.text!r}")
        return found

    def svg(self) -> str:
        """Return the file's text; raise ``ValueError`` if a text does not fit."""
        if faults := self.faults():
            raise ValueError(f"{self.title}: {'; '.join(faults)}")
        size = f'viewBox="0 0 {self.width} {self.height}"'
        paper = f'<rect class="paper" width="{self.width}" height="{self.height}" rx="12"/>'
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} width="{self.width}" '
            f'role="img" aria-labelledby="title desc">\n'
            f'<title id="title">{escape(self.title)}</title>\n'
            f'<desc id="desc">{escape(self.description)}</desc>\n'
        )
        return head + _style() + _STRIPES + "\n".join([paper, *self._parts]) + "\n</svg>\n"

    def _head(self, start: Point, end: Point, role: Role) -> None:
        """Draw the head of an arrow as a triangle: markers cannot take a line's colour."""
        (x0, y0), (x, y) = start, end
        length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        u, v = (x - x0) / length, (y - y0) / length
        left = f"{_n(x - 9 * u + 4.5 * v)},{_n(y - 9 * v - 4.5 * u)}"
        right = f"{_n(x - 9 * u - 4.5 * v)},{_n(y - 9 * v + 4.5 * u)}"
        self._parts.append(f'<polygon class="s {role}" points="{_n(x)},{_n(y)} {left} {right}"/>')


def text_width(text: str, *, size: int, mono: bool = False, bold: bool = False) -> float:
    """Measure a line in px, with some spare width for other fonts."""
    if mono:
        return _MONO_WIDTH * size * len(text) * (1.03 if bold else 1)
    font = ImageFont.load_default(size)
    letters = font.getlength(text.replace("→", "")) + size * text.count("→")
    return letters * _SPARE * (1.06 if bold else 1)


_STRIPES = (
    '<defs><pattern id="stripes" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect class="under" width="7" height="7"/>'
    '<rect class="s b" width="3.6" height="7"/></pattern></defs>\n'
)


def _style() -> str:
    """Return the style sheet: the light colours, and the dark ones for dark pages."""
    fixed = (
        f".t{{font-family:{_SANS}}}.m{{font-family:{_MONO}}}.h{{font-weight:600}}"
        ".l{fill:none;stroke-width:1.6;stroke-linejoin:round}.f{stroke-width:1.6;fill-opacity:.13}"
        ".d{stroke-dasharray:5 4}.s{stroke:none}.card,.frame{stroke-width:1.2}"
        ".p{stroke-width:1.8}.striped{fill:url(#stripes)}.outline{fill:none}"
    )
    return f"<style>{fixed}{_scheme(0)}@media (prefers-color-scheme:dark){{{_scheme(1)}}}</style>\n"


def _scheme(dark: int) -> str:
    rules = [
        f".paper,.frame,.under{{fill:{_PAPER[dark]}}}",
        f".card{{fill:none;stroke:{_LINE[dark]}}}",
        f".frame{{stroke:{_LINE[dark]}}}",
        f".t{{fill:{_INK[dark]}}}.t.caption{{fill:{_PALE_INK[dark]}}}.t.paper{{fill:{_PAPER[dark]}}}",
        f".p.plain{{fill:{_COLOURS['a'][dark]};stroke:{_COLOURS['a'][dark]}}}",
        f".p.striped,.p.poor{{stroke:{_COLOURS['b'][dark]}}}.p.poor{{fill:{_COLOURS['b'][dark]}}}",
        f".p.outline{{stroke:{_INK[dark]}}}",
    ]
    for role, colours in _COLOURS.items():
        rules.append(f".l.{role},.f.{role}{{stroke:{colours[dark]}}}")
        rules.append(f".s.{role},.f.{role},.t.{role}{{fill:{colours[dark]}}}")
    rules += [
        f".p.{name}{{fill:{_COLOURS[name][dark]};stroke:{_INK[dark]}}}" for name in ("red", "green")
    ]
    return "".join(rules)


def _n(number: float) -> str:
    """Write a number with one decimal at most."""
    return f"{number:.1f}".removesuffix(".0")
