"""What a training's own numbers say is wrong with it, in plain words.

Everything is read from the rows of ``metrics.jsonl`` in their order, so a resumed run, which reads
the rows again, goes on to say what an unbroken one would.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imgtranslate.metrics.brightness import INVERTED
from imgtranslate.settings.config import (
    BicycleGanConfig,
    CycleGanConfig,
    MethodConfig,
    MultiScaleConfig,
    Pix2PixConfig,
    Settings,
)

Lines = dict[str, str]  # by the name of what is wrong

# A loss below this share of what it is in a draw, for so many steps, is a won game.
WON = ((0.2, 2000), (0.05, 300))
ALIKE = 0.1  # the share of the pictures' spread below which fakes are alike
CODE_STEPS, CODE_IGNORED = 500, 0.01  # samples of one input nearer than this: z does nothing
NO_GAIN = 20  # validations
LASTED = "{lasted}"  # stands in texts for how many steps it has been so


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One thing that may be wrong: whether it shows, and for how many steps it may."""

    name: str
    shows: bool
    text: str
    bearable: int = 0  # steps
    threshold: float = 0.0  # tells two signs of one name apart


@dataclass(kw_only=True)
class Health:
    """Says what is wrong when it begins, and again when twice as many steps have gone by."""

    settings: Settings
    last_step: int = 0
    validations: list[tuple[float, int]] = field(default_factory=list)  # value, step
    since: dict[tuple[str, float], int] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)

    def see(self, row: Mapping[str, Any]) -> Lines:
        """Take in one row and return what is to be said of it."""
        step, lines = int(row["step"]), Lines()
        for sign in self._signs({**row}, step):
            key = (sign.name, sign.threshold)
            if not sign.shows:
                self.since.pop(key, None)
                continue
            lasted = step - self.since.setdefault(key, self.last_step)
            if lasted >= sign.bearable and step >= 2 * self.said.get(sign.name, 0):
                self.said[sign.name] = step
                lines[sign.name] = sign.text.replace(LASTED, str(lasted))
        if any(name.startswith("discriminator") for name in row):
            self.last_step = step
        return lines

    def _signs(self, row: Mapping[str, Any], step: int) -> Iterator[Sign]:
        yield from _games(row, self.settings)
        for direction in ("ab", "ba"):
            yield from _looks(row, direction)
        if "diversity" in row and step >= CODE_STEPS:
            yield _code(row["diversity"])
        if "validation" in row:
            self.validations.append((row["validation"], step))
            yield _gain(self.validations)


def _games(row: Mapping[str, Any], settings: Settings) -> Iterator[Sign]:
    """Whether one side of a game has won; Wasserstein's losses do not tell."""
    draw = draw_of(settings)
    for name in row:
        if name.startswith("discriminator") and draw:
            yield from _won(name.replace("_", " "), name, row[name], draw, "the generator")
        weight = _weight_of(name, settings.method)
        if weight and settings.method.gan_mode in ("lsgan", "vanilla"):
            half = draw / 2 if isinstance(settings.method, BicycleGanConfig) else draw
            named = " ".join(["generator", *name.split("_")[1:]])
            yield from _won(named, f"generator_{name}", row[name] / weight, half, "it")


def _won(said: str, name: str, loss: float, draw: float, loser: str) -> Iterator[Sign]:
    for share, steps in WON:
        yield Sign(
            name=f"{name}_won",
            threshold=share,
            bearable=steps,
            shows=loss < share * draw,
            text=(
                f"{said} has won: its loss has been below {share * draw:.2g} for {LASTED} steps "
                f"({loss:.2g} now, {draw:.2g} in a draw), and {loser} learns little. Lower --lr, "
                "add pictures, or begin anew with another --seed"
            ),
        )


def draw_of(settings: Settings) -> float:
    """What a discriminator's loss is where it cannot tell; 0 where that says nothing."""
    both = {"lsgan": 0.5, "vanilla": 2 * math.log(2), "hinge": 2.0, "wgangp": 0.0}
    discriminator, method = settings.discriminator, settings.method
    scales = discriminator.num_scales if isinstance(discriminator, MultiScaleConfig) else 1
    halves = 1.0 if isinstance(method, BicycleGanConfig) else 0.5
    return both[method.gan_mode] * halves * scales


def _weight_of(name: str, method: MethodConfig) -> float:
    """What the adversarial loss of that name is weighted with; 0 of other losses."""
    if not name.startswith("gan"):
        return 0.0
    match method:
        case CycleGanConfig():
            return method.lambda_gan_ab if name.endswith("ab") else method.lambda_gan_ba
        case Pix2PixConfig() | BicycleGanConfig():
            return method.lambda_gan


def _looks(row: Mapping[str, Any], direction: str) -> Iterator[Sign]:
    spread, brightness = row.get(f"spread_{direction}"), row.get(f"brightness_{direction}")
    way = " to ".join(direction.upper())
    if spread is not None:
        yield Sign(
            name=f"collapsed_{direction}",
            shows=spread < ALIKE,
            text=(
                f"{way} has collapsed: its outputs differ by {spread:.1%} of what real pictures "
                "do. Begin anew with another --seed or a lower --lr; more pictures help"
            ),
        )
    if brightness is not None:
        yield Sign(
            name=f"inverted_{direction}",
            shows=brightness < INVERTED,
            text=(
                f"{way} inverts brightness: bright becomes dark, a correlation of "
                f"{brightness:.2f}. If that is not wanted begin anew with another --seed; with "
                "cyclegan a higher method.lambda_identity keeps colours"
            ),
        )


def _code(diversity: float) -> Sign:
    return Sign(
        name="code_ignored",
        shows=diversity < CODE_IGNORED,
        text=(
            f"the code z is being ignored: two samples of one picture differ by {diversity:.2%} "
            "of the range. Train longer, or raise method.lambda_latent"
        ),
    )


def _gain(validations: list[tuple[float, int]]) -> Sign:
    best = min(range(len(validations)), key=lambda place: validations[place])
    (least, at), (now, _) = validations[best], validations[-1]
    idle = len(validations) - 1 - best
    return Sign(
        name="no_gain",
        shows=idle >= NO_GAIN,
        text=(
            f"no better validation since step {at}: {least:.3g} there, {now:.3g} now. More steps "
            "may not help; best/ keeps the models of that step"
        ),
    )
