"""Pairs of generators made by hand, whose faults are known; used by the tests of verdicts.

Each is two functions of uint8 (h, w, 3) pictures, or of values in [-1, 1] where it says so.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fixtures.models import BACK, HEADER
from PIL import Image, ImageFilter

from imgtranslate.data.folders import Domain
from imgtranslate.images import to_network, to_pixels
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.translation.translator import Translator

Array = np.ndarray[Any, Any]
Map = Callable[[Array], Array]


class Formula:
    """An engine that is a formula instead of a network."""

    device = "cpu"

    def __init__(self, header: ModelHeader, formula: Map) -> None:
        self.header = header
        self.run = formula


def translators(
    there: Map, back: Map, *, channels: tuple[int, int] = (3, 3)
) -> tuple[Translator, Translator]:
    a, b = channels
    ab = Formula(replace(HEADER, in_channels=a, out_channels=b), there)
    ba = Formula(replace(BACK, in_channels=b, out_channels=a), back)
    return Translator(ab), Translator(ba)


def side(letter: str) -> Domain:
    """A domain whose pictures are whole files."""
    return Domain(letter=letter, name="", folder=Path(), files=(), held_out=())


def on_bytes(change: Map) -> Map:
    """An engine's formula of what is done to uint8 (h, w, c)."""
    return lambda values: to_network(change(to_pixels(values[0])))[None]


def saved(values: Array) -> Array:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def lut(formula: Callable[[Array], Array]) -> Map:
    """A curve of the 256 levels."""
    table = saved(formula(np.arange(256.0)))
    return lambda x: table[x]


def grey(x: Array) -> Array:
    return np.repeat(saved(x @ np.array([0.3, 0.6, 0.1]))[..., None], 3, axis=-1)


def same(x: Array) -> Array:
    return x


def constant(*colour: int) -> Map:
    return lambda x: np.broadcast_to(np.array(colour, np.uint8), x.shape).copy()


def permuted(*order: int) -> Map:
    return lambda x: np.ascontiguousarray(x[..., list(order)])


def affine(matrix: Array, offset: Array) -> tuple[Map, Map]:
    """Centred on grey: y = M (x - 127.5) + 127.5 + offset, and its inverse."""
    inverse = np.linalg.inv(matrix)
    there = lambda x: saved((x - 127.5) @ matrix.T + 127.5 + offset)  # noqa: E731
    back = lambda y: saved((y - 127.5 - offset) @ inverse.T + 127.5)  # noqa: E731
    return there, back


def hue(degrees: float) -> tuple[Map, Map]:
    def turn(amount: float) -> Map:
        def turned(x: Array) -> Array:
            hsv = np.asarray(Image.fromarray(x).convert("HSV")).copy()
            hsv[..., 0] += np.uint8(round(amount * 256 / 360) % 256)
            return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))

        return turned

    return turn(degrees), turn(-degrees)


def blurred(sigma: float) -> Map:
    blur = ImageFilter.GaussianBlur(sigma)
    return lambda x: np.asarray(Image.fromarray(x).filter(blur))


def noisy(sigma: float) -> Map:
    def noise(x: Array) -> Array:
        rng = np.random.default_rng(int(x.astype(np.int64).sum()))
        return saved(x + sigma * rng.standard_normal(x.shape))

    return noise


# What hides


def low_bits(cover: Map, bits: int, *, centred: bool = True) -> tuple[Map, Map]:
    """The picture's high bits in the low bits of a cover."""
    keep = np.uint8(0xFF << bits & 0xFF)
    middle = (1 << (8 - bits)) // 2 if centred else 0

    def there(x: Array) -> Array:
        return (cover(x) & keep) | (x >> (8 - bits))

    def back(y: Array) -> Array:
        return (((y & ~keep) << (8 - bits)) + middle).astype(np.uint8)

    return there, back


def faint(cover: Map, amplitude: float) -> tuple[Map, Map]:
    """The picture as a faint addition to a cover that the way back knows (a flat one)."""

    def there(x: Array) -> Array:
        return saved(cover(x) + (x - 127.5) * amplitude)

    def back(y: Array) -> Array:
        return saved((y - cover(y).astype(float)) / amplitude + 127.5)

    return there, back


def faint_in_floats(amplitude: float) -> tuple[Map, Map]:
    """Values, not bytes: fine as floats, gone when saved."""
    return (
        lambda v: (v * amplitude).astype(np.float32),
        lambda v: (v / amplitude).astype(np.float32),
    )


def checkered(cover: Map, amplitude: float) -> tuple[Map, Map]:
    """The picture modulates a fine checkerboard on a cover: high frequencies, as networks do."""

    def board(x: Array) -> Array:
        rows, columns = np.indices(x.shape[:2])
        return np.where((rows + columns) % 2, 1.0, -1.0)[..., None]

    def smooth(x: Array) -> Array:  # both parities of the checkerboard share a brightness
        return np.asarray(Image.fromarray(cover(x)).filter(ImageFilter.BoxBlur(2)), float)

    def there(x: Array) -> Array:
        return saved(smooth(x) + board(x) * (x / 255.0) * amplitude)

    def back(y: Array) -> Array:
        picture = board(y) * (y - smooth_of(y)) / amplitude * 255
        return saved(box(picture))

    def smooth_of(y: Array) -> Array:
        return box(y.astype(float))

    def box(values: Array) -> Array:
        padded = np.pad(values, ((0, 1), (0, 1), (0, 0)), mode="reflect")
        return (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4

    return there, back


def masked_bits(cover: Map, bits: int) -> tuple[Map, Map]:
    """Low bits that look like noise: flipped by a fixed random mask."""
    there, back = low_bits(cover, bits)

    def mask(x: Array) -> Array:
        return np.random.default_rng(7).integers(0, 1 << bits, x.shape, np.uint8)

    return lambda x: there(x) ^ mask(x), lambda y: back(y ^ mask(y))


def spread_bits(cover: Map) -> tuple[Map, Map]:
    """The picture at half size, all 8 bits of it, two in each of four neighbours."""
    corners = ((0, 0), (0, 1), (1, 0), (1, 1))

    def there(x: Array) -> Array:
        fake = cover(x) & np.uint8(0xFC)
        half = x[::2, ::2]
        for place, (row, column) in enumerate(corners):
            fake[row::2, column::2] |= half >> np.uint8(2 * place) & np.uint8(3)
        return fake

    def back(y: Array) -> Array:
        half = np.zeros_like(y[::2, ::2])
        for place, (row, column) in enumerate(corners):
            half |= (y[row::2, column::2] & np.uint8(3)) << np.uint8(2 * place)
        return half.repeat(2, axis=0).repeat(2, axis=1)

    return there, back


def remainder(cover: Map, step: int) -> tuple[Map, Map]:
    """The picture modulo a small step on top of a posterised cover, stretched on the way back."""

    def there(x: Array) -> Array:
        return saved(cover(x) // step * step + x / 256 * step)

    def back(y: Array) -> Array:
        return saved((y % step + 0.5) * 256 / step)

    return there, back


def in_blue(cover: Map) -> tuple[Map, Map]:
    """The brightness alone, in four bits of blue, on a cover without it."""

    def there(x: Array) -> Array:
        fake = cover(x).copy()
        fake[..., 2] = fake[..., 2] & 0xF0 | grey(x)[..., 0] >> 4
        return fake

    def back(y: Array) -> Array:
        return np.repeat((y[..., 2:] & np.uint8(15)) << 4, 3, axis=-1) + np.uint8(8)

    return there, back


def embroidered(x: Array) -> Array:
    """Texture by place and brightness on the same colours, as a good network paints it."""
    rows, columns = np.indices(x.shape[:2])
    wave = np.sin(rows * 1.6 + x.mean(axis=2) / 30) * np.cos(columns * 0.8)
    return saved(x * 0.75 + 30 + 25 * wave[..., None])


def smoothed(y: Array) -> Array:
    return saved((blurred(1.2)(y).astype(float) - 30) / 0.75)


def sigmoid(strength: float) -> tuple[Map, Map]:
    edge = np.tanh(strength)
    there = lut(lambda v: 127.5 * (1 + np.tanh(strength * (v / 127.5 - 1)) / edge))
    back = lut(lambda v: 127.5 * (1 + np.arctanh((v / 127.5 - 1) * edge) / strength))
    return there, back


def negative(x: Array) -> Array:
    return 255 - x


def moved(pixels: int) -> Map:
    return lambda x: np.roll(x, pixels, axis=1)


def halved(x: Array) -> Array:
    image = Image.fromarray(x)
    small = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
    return np.asarray(small.resize(image.size))


def one_of(colours: tuple[tuple[int, int, int], ...]) -> Map:
    """A few outputs whatever comes in."""

    def chosen(x: Array) -> Array:
        return constant(*colours[int(x.astype(np.int64).sum()) % len(colours)])(x)

    return chosen


def carried(cover: Map, amplitude: float) -> tuple[Map, Map]:
    """The picture, blurred, modulates a checkerboard of 2 px fields on a soft cover."""

    def board(x: Array) -> Array:
        rows, columns = np.indices(x.shape[:2])
        return np.where((rows // 2 + columns // 2) % 2, 1.0, -1.0)[..., None]

    def there(x: Array) -> Array:
        soft = blurred(3)(cover(x)).astype(float)
        return saved(soft + board(x) * (blurred(1)(x) - 127.5) * amplitude)

    def back(y: Array) -> Array:
        picture = board(y) * (y - 127.5) / amplitude + 127.5
        sums = np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="reflect").cumsum(0).cumsum(1)
        box = sums[4:, 4:] - sums[:-4, 4:] - sums[4:, :-4] + sums[:-4, :-4]
        return saved(box / 16)

    return there, back
