"""The data set of `imgtranslate demo`: painted landscapes, and embroideries of others.

A scene has three layers: the colour of each pixel, the kind of object it belongs to, and the
seams between objects. Two styles render them:

* a *painting* is the smooth colour layer alone;
* a *stitch* picture is the scene embroidered: each kind of object has its own stitch on cells of
  4 x 4 px (rows for the sky, bars for the hills, knots for the trees, ...), and dark thread runs
  along the seams.

Colours stay about the same, which makes the mapping unique. Stitches and seams depend on the
objects, so no filter can add them. The training folders hold different scenes, so they are
unpaired. Held-out scenes are written in both styles, so translations can be compared with their
truth. Every scene is a function of (seed, group, index) alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtranslate.errors import UsageError, checks_arguments

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

SIZE: Final = 64
TRAIN_COUNT: Final = 300  # pictures of each kind
TEST_COUNT: Final = 16
CELL: Final = 4

# Each group of scenes has its own random stream, so no scene is in two groups.
GROUPS: Final = {"paintings": 1, "stitches": 2, "held_out": 3}

# The stitch of each kind of object, on a cell of 4 x 4 px. Every stitch is its own mirror image,
# so pictures may be flipped horizontally in training.
STITCHES: Final = {
    "sky": "#### #### oooo ----",
    "sun": "#--# -##- -##- #--#",
    "hill": "-##- -##- -##- -##-",
    "field": "#..# #### .##. ....",
    "lake": ".##. .... #..# ####",
    "house": "oooo #### oooo ####",
    "tree": ".oo. o##o o##o .oo.",
}
# The share of yarn over cloth at a pixel of a stitch.
COVER: Final = {".": 0.3, "-": 0.5, "o": 0.8, "#": 1.1}
KINDS: Final = tuple(STITCHES)
CELL_MIX: Final = 0.4  # the share of the mean colour of its cell in a stitch
SEAM_STRENGTH: Final = 0.75

# (top, horizon); the night sky has a moon.
SKIES: Final = (
    ((96, 156, 222), (206, 226, 240)),
    ((126, 178, 216), (246, 226, 190)),
    ((110, 104, 176), (250, 176, 128)),
    ((74, 88, 150), (200, 154, 192)),
    ((140, 186, 200), (226, 232, 224)),
)
NIGHT_SKY: Final = 3
HILLS: Final = ((56, 108, 62), (88, 126, 52), (196, 122, 48), (120, 84, 120), (48, 98, 76))
FIELDS: Final = ((122, 160, 70), (196, 172, 86), (104, 148, 84), (164, 178, 92), (186, 142, 96))
TREES: Final = ((52, 104, 60), (84, 122, 52), (206, 126, 46), (164, 72, 52), (46, 96, 74))
ROOFS: Final = ((184, 70, 54), (126, 80, 66), (76, 90, 132), (206, 122, 62))
WALLS: Final = ((240, 226, 200), (230, 206, 164), (224, 224, 228), (234, 196, 180))
SUN: Final = (255, 232, 140)
MOON: Final = (246, 244, 236)
CLOUD: Final = (247, 242, 235)
WATER: Final = (70, 130, 180)
DOOR: Final = (104, 72, 56)
TRUNK: Final = (104, 74, 52)
CLOTH: Final = (70, 54, 44)
SEAM: Final = (44, 34, 40)


@dataclass(frozen=True)
class Scene:
    """A landscape before it is rendered in a style."""

    colour: Floats  # (size, size, 3), from 0 to 1
    kind: NDArray[np.int64]  # (size, size), indices into KINDS
    seam: Floats  # (size, size), from 0 to 1


@dataclass(frozen=True)
class DemoData:
    """The folders of a demo data set."""

    paintings: Path
    stitches: Path
    held_out: Path
    truth: Path


def draw_scene(seed: int, group: str, index: int, size: int = SIZE) -> Scene:
    """Draw one scene, a function of (seed, group, index)."""
    if size % CELL:
        raise ValueError(f"the size of a scene must be a multiple of {CELL}, not {size}")
    canvas = _Canvas(np.random.default_rng([seed, GROUPS[group], index]), size)
    top, horizon = _draw_sky(canvas)
    _draw_hills(canvas, horizon)
    _draw_field(canvas)
    _draw_lake(canvas, top)
    _draw_house_and_trees(canvas)
    return Scene(np.clip(canvas.colour, 0, 1), canvas.kind, canvas.seam)


def render_painting(scene: Scene) -> Bytes:
    """Render a scene in style A: smooth colours."""
    return _to_bytes(scene.colour)


def render_stitches(scene: Scene) -> Bytes:
    """Render a scene in style B: a stitch for each kind of object, and dark seams."""
    yarn = _mix(scene.colour, _cell_means(scene.colour), CELL_MIX)
    cloth = 0.5 * yarn + 0.2 * _rgb(CLOTH)
    stitched = _mix(cloth, 0.95 * yarn, _yarn_cover(scene.kind)[..., None])
    return _to_bytes(_mix(stitched, _rgb(SEAM), SEAM_STRENGTH * scene.seam[..., None]))


@checks_arguments
def write_demo_data(
    folder: Path | str,
    *,
    seed: int = 0,
    train_count: int = TRAIN_COUNT,
    test_count: int = TEST_COUNT,
) -> DemoData:
    """Draw pictures to try a training on: landscapes as paintings and as embroideries.

    The result names the folders of the two sides, which show different scenes, and those of the
    ``held_out`` paintings and their ``truth``, the same scenes embroidered.
    """
    if seed < 0:
        raise UsageError(f"`seed` {seed}: negative. Give 0 or more")
    folder = Path(folder)
    held_out = folder / "held_out"
    data = DemoData(
        folder / "paintings", folder / "embroideries", held_out / "paintings", held_out / "truth"
    )
    with writing(folder):
        for index in range(train_count):
            painting = render_painting(draw_scene(seed, "paintings", index))
            _save(painting, data.paintings / f"painting-{index:04d}.png")
            stitches = render_stitches(draw_scene(seed, "stitches", index))
            _save(stitches, data.stitches / f"embroidery-{index:04d}.png")
        for index in range(test_count):
            scene, name = draw_scene(seed, "held_out", index), f"scene-{index:04d}.png"
            _save(render_painting(scene), data.held_out / name)
            _save(render_stitches(scene), data.truth / name)
    return data


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Convert an ``OSError`` that occurs in the folder of the demo into a ``UsageError``."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"{folder}: cannot be written: {why}. Use another folder") from error


class _Canvas:
    """The layers of a scene being drawn, in units of 1/64 of its side."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.unit = size / SIZE
        self.y, self.x = (np.mgrid[0:size, 0:size] + 0.5) / self.unit
        self.colour: Floats = np.zeros((size, size, 3))
        self.kind = np.zeros((size, size), dtype=np.int64)
        self.seam: Floats = np.zeros((size, size))

    def paint(self, inside: Floats, colour: Floats, kind: str, seam: float = 0.0) -> None:
        """Paint a shape, given the distance of each pixel to its edge, positive inside."""
        cover = np.clip(inside * self.unit + 0.5, 0, 1)
        edge = np.clip(1.3 - np.abs(inside * self.unit - 0.3), 0, 1)
        self.colour = _mix(self.colour, colour, cover[..., None])
        self.kind[inside > 0] = KINDS.index(kind)
        self.seam = np.maximum(self.seam * (1 - cover), seam * edge)

    def glaze(self, strength: Floats, colour: Floats) -> None:
        """Tint the colours; kinds and seams stay."""
        self.colour = _mix(self.colour, colour, strength[..., None])

    def pick(self, colours: Sequence[tuple[int, int, int]]) -> Floats:
        """Choose one of the colours, and vary it slightly."""
        colour = _rgb(colours[int(self.rng.integers(len(colours)))])
        varied = colour * self.rng.uniform(0.92, 1.08) + self.rng.uniform(-0.02, 0.02, 3)
        return np.clip(varied, 0, 1)

    def ridge(self, height: float, swing: float) -> Floats:
        """Compute the depth of each pixel below a wavy line across the picture."""
        line: Floats = np.full_like(self.x, height)
        for wave in (1, 2, 3):
            pace = wave * self.rng.uniform(0.6, 1.2) * 2 * np.pi / SIZE
            line += swing / wave * np.sin(self.x * pace + self.rng.uniform(0, 2 * np.pi))
        depth: Floats = self.y - line
        return depth


def _draw_sky(canvas: _Canvas) -> tuple[Floats, Floats]:
    """Draw the sky with clouds and a sun or moon, and return its two colours."""
    chosen = int(canvas.rng.integers(len(SKIES)))
    top, horizon = (_rgb(colour) for colour in SKIES[chosen])
    fade = np.clip(canvas.y / 30, 0, 1) ** 1.2
    canvas.paint(np.ones_like(canvas.x), _mix(top, horizon, fade[..., None]), "sky")
    for _ in range(canvas.rng.integers(0, 4)):
        _draw_cloud(canvas)
    _draw_sun(canvas, MOON if chosen == NIGHT_SKY else SUN)
    return top, horizon


def _draw_cloud(canvas: _Canvas) -> None:
    """Draw three soft puffs side by side, the middle one the tallest."""
    x, y, width = canvas.rng.uniform((0, 4, 8), (64, 20, 14))
    puffs = np.zeros_like(canvas.x)
    for shift, height in ((-0.6, 0.34), (0.0, 0.5), (0.6, 0.34)):
        across = (canvas.x - x - shift * width) / (0.7 * width)
        away = np.hypot(across, (canvas.y - y) / (height * width))
        puffs = np.maximum(puffs, np.clip(1.6 * (1 - away), 0, 1))
    canvas.glaze(0.85 * puffs, _rgb(CLOUD))


def _draw_sun(canvas: _Canvas, colour: tuple[int, int, int]) -> None:
    """Draw a disc with a glow around it."""
    x, y, radius = canvas.rng.uniform((9, 8, 5), (55, 15, 7))
    away = np.hypot(canvas.x - x, canvas.y - y)
    canvas.glaze(0.45 * np.exp(-((away / (2.2 * radius)) ** 2)), _rgb(colour))
    canvas.paint(radius - away, _rgb(colour), "sun", seam=0.8)


def _draw_hills(canvas: _Canvas, horizon: Floats) -> None:
    """Draw two rows of hills, the far one paler."""
    for height, haze in ((30, 0.5), (36, 0.25)):
        depth = canvas.ridge(height + canvas.rng.uniform(-3, 2), canvas.rng.uniform(2.5, 5))
        slope = canvas.rng.uniform(0.2, 0.5)
        light = 1 + 0.12 * np.sin(0.5 * depth + slope * canvas.x)
        colour = _mix(canvas.pick(HILLS), horizon, haze)
        canvas.paint(depth, _shade(colour, light), "hill", seam=0.7)


def _draw_field(canvas: _Canvas) -> None:
    """Draw the ground with furrows, in perspective or across."""
    depth = canvas.ridge(canvas.rng.uniform(39, 43), canvas.rng.uniform(1, 2.5))
    near = np.clip(depth / 22, 0, 1)
    if canvas.rng.random() < 0.6:
        fan = (canvas.x - canvas.rng.uniform(0, 64)) / (canvas.y - 24)
        furrows = np.sin(canvas.rng.uniform(8, 13) * fan)
    else:
        slant = canvas.rng.uniform(-0.15, 0.15)
        furrows = np.sin(canvas.rng.uniform(0.5, 0.65) * canvas.y**1.15 + slant * canvas.x)
    light = _mix(1.08, 0.9, near) * (1 + 0.2 * furrows * np.clip(3 * near, 0, 1))
    canvas.paint(depth, _shade(canvas.pick(FIELDS), light), "field", seam=0.7)


def _draw_lake(canvas: _Canvas, sky: Floats) -> None:
    """Draw, in most scenes, a lake with waves that reflects the sky."""
    if canvas.rng.random() < 0.35:
        return
    x, y, width, height = canvas.rng.uniform((10, 57, 16, 5), (54, 61, 26, 7))
    inside = height * (1 - np.hypot((canvas.x - x) / width, (canvas.y - y) / height))
    sway = 0.6 * np.sin(0.25 * canvas.x + canvas.rng.uniform(0, 2 * np.pi))
    light = 1 + 0.18 * np.sin(canvas.y + sway)
    canvas.paint(inside, _shade(_mix(sky, _rgb(WATER), 0.5), light), "lake", seam=0.7)


def _draw_house_and_trees(canvas: _Canvas) -> None:
    """Draw a house, in most scenes, and one to three trees beside it."""
    places = canvas.rng.permutation([9.0, 24.0, 40.0, 55.0]) + canvas.rng.uniform(-2, 2, 4)
    if canvas.rng.random() < 0.8:
        _draw_house(canvas, places[0])
    for place in places[1 : canvas.rng.integers(2, 5)]:
        _draw_tree(canvas, place)


def _draw_house(canvas: _Canvas, x: float) -> None:
    """Draw a house: a wall lit from the left, a roof and a door."""
    ground, half, wall, roof = canvas.rng.uniform((48, 7.5, 7.5, 7), (53, 9.5, 9.5, 9))
    side, up = np.abs(canvas.x - x), ground - canvas.y
    light = _mix(1.02, 0.84, np.clip((canvas.x - x + half) / (2 * half), 0, 1))
    front = _intersection(half - side, up, wall - up)
    canvas.paint(front, _shade(canvas.pick(WALLS), light), "house", seam=1)
    above = up - wall
    gable = _intersection(
        above, roof - above, 0.8 * (half + 1.5 - side - above * (half - 1) / roof)
    )
    canvas.paint(
        gable, _shade(canvas.pick(ROOFS), 1 + 0.1 * np.sin(1.2 * canvas.y)), "house", seam=1
    )
    canvas.paint(_intersection(2 - side, up, 5 - up), _rgb(DOOR), "house")


def _draw_tree(canvas: _Canvas, x: float) -> None:
    """Draw a tree: a trunk, and a round or pointed crown with mottled leaves."""
    ground, scale = canvas.rng.uniform((47, 1.05), (57, 1.4))
    side, up = (canvas.x - x) / scale, (ground - canvas.y) / scale
    canvas.paint(scale * _intersection(1.3 - np.abs(side), up, 6 - up), _rgb(TRUNK), "tree", seam=1)
    if canvas.rng.random() < 0.5:
        crown = 6 - np.hypot(side, 0.9 * (up - 9))
    else:
        crown = _intersection(0.38 * (19 - up) - np.abs(side), up - 4)
    mottle = 0.16 * np.sin(0.9 * canvas.x) * np.sin(0.9 * canvas.y)
    light = 1 + mottle + 0.22 * np.clip((up - 9) / 8 - side / 6, -1, 1)
    canvas.paint(scale * crown, _shade(canvas.pick(TREES), light), "tree", seam=1)


def _yarn_cover(kind: NDArray[np.int64]) -> Floats:
    """Look up the share of yarn at each pixel in the stitch of its kind."""
    repeats = kind.shape[0] // CELL
    cells = [[[COVER[mark] for mark in row] for row in STITCHES[name].split()] for name in KINDS]
    patterns = np.tile(np.array(cells), (1, repeats, repeats))
    cover: Floats = np.take_along_axis(patterns, kind[None], axis=0)[0]
    return cover


def _cell_means(colour: Floats) -> Floats:
    """Replace each pixel by the mean colour of its cell."""
    cells = colour.shape[0] // CELL
    means = colour.reshape(cells, CELL, cells, CELL, 3).mean(axis=(1, 3))
    return np.repeat(np.repeat(means, CELL, axis=0), CELL, axis=1)


def _intersection(*shapes: Floats) -> Floats:
    """Intersect shapes, each given as the distance inside it."""
    intersection: Floats = np.minimum.reduce(shapes)
    return intersection


def _mix(start: Floats | float, end: Floats | float, share: Floats | float) -> Floats:
    """Interpolate linearly from start (share 0) to end (share 1)."""
    return np.asarray(start + (np.asarray(end) - start) * share, dtype=np.float64)


def _shade(colour: Floats, light: Floats) -> Floats:
    """Scale one colour by the light at each pixel."""
    return np.clip(colour * light[..., None], 0, 1)


def _rgb(colour: tuple[int, int, int]) -> Floats:
    return np.array(colour, dtype=np.float64) / 255


def _to_bytes(colour: Floats) -> Bytes:
    return np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)


def _save(pixels: Bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
