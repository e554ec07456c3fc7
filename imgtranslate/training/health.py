"""The log of a training, ``metrics.jsonl``, and the warnings that follow from its numbers.

Warnings are a function of the rows in order. A resumed run reads the rows again, and so gives the
same warnings as an uninterrupted one.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imgtranslate.methods.learner import Learner
from imgtranslate.methods.schedule import Schedule
from imgtranslate.metrics.brightness import INVERTED
from imgtranslate.metrics.pixels import SMALL_CHANGE
from imgtranslate.runs.folder import MetricsRow, Run
from imgtranslate.settings.config import (
    BicycleGanConfig,
    CutConfig,
    CycleGanConfig,
    MethodConfig,
    MultiScaleConfig,
    Pix2PixConfig,
    Settings,
)
from imgtranslate.training.events import Logged, Report, Unwell, Validated

Warnings = dict[str, str]  # one line for each sign

# A side has won if its loss is below this share of its value in a draw for this many steps.
WON = ((0.2, 2000), (0.05, 300))
# Losses above this many times a draw have diverged; those without a draw, as
# with wgangp, above this number.
FAR_FROM_DRAW, FAR = 100.0, 1e6
LOST_CONTENT = 0.85  # of a one-way method, 1 - agreement about edges; photos of labels have 0.7
OUTWEIGHS = (
    10.0  # times the adversarial loss; cut has 3 to 5, and fastcut 20 to 35 on small pictures
)
COLLAPSED = 0.1  # spread of fakes, as a share of that of real pictures, that counts as collapse
CODE_STEPS, CODE_IGNORED = 500, 0.01  # first checked step, and diversity that counts as ignored
NO_GAIN = 20  # validations without a gain
LASTED = "{lasted}"  # placeholder in a text for the number of steps that the sign has shown
WINNING, WINNING_STEPS = 0.6, 300  # of a draw, a discriminator against such a contrastive loss
REMEDY = "Lower optimizer.lr, add pictures, or start again with another train.seed"
NOT_FINITE = "not_finite"
NO_LOSSES = ("step", "epoch", "lr", "last")  # of a row


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A possible fault, and the number of steps for which it may show without a warning."""

    name: str
    shows: bool
    text: str
    bearable: int = 0  # steps; also distinguishes two signs of one name


@dataclass(kw_only=True)
class Health:
    """The warnings of a training: when a sign begins, and again after twice as many steps."""

    settings: Settings
    last_step: int = 0
    validations: list[tuple[float, int]] = field(default_factory=list)  # value, step
    since: dict[tuple[str, int], int] = field(default_factory=dict)
    warned: dict[str, int] = field(default_factory=dict)  # step of the last warning by name
    diverged: str = ""  # the sentence on losses that have diverged in the last row of losses

    def see(self, row: Mapping[str, Any]) -> Warnings:
        """Process one row and return its warnings."""
        step, warnings = int(row["step"]), Warnings()
        for sign in self._signs(row, step):
            key = (sign.name, sign.bearable)
            if not sign.shows:
                self.since.pop(key, None)
                continue
            lasted = step - self.since.setdefault(key, self.last_step)
            if lasted >= sign.bearable and step >= 2 * self.warned.get(sign.name, 0):
                self.warned[sign.name] = step
                warnings[sign.name] = sign.text.replace(LASTED, str(lasted))
        if any(name.startswith("discriminator") for name in row):
            self.last_step = step
            self.diverged = _divergence(row, self.settings).text
        return warnings

    def _signs(self, row: Mapping[str, Any], step: int) -> Iterator[Sign]:
        yield from _game_signs(row, self.settings)
        yield _divergence(row, self.settings)
        for direction in ("ab", "ba"):
            yield from _fake_signs(row, direction, self.settings)
        if "diversity" in row and step >= CODE_STEPS:
            yield Sign(
                name="code_ignored",
                shows=row["diversity"] < CODE_IGNORED,
                text=(
                    "the generator ignores the code z: two samples of one picture differ by only "
                    f"{row['diversity']:.2%} of the range. Train longer, or raise "
                    "method.lambda_latent"
                ),
            )
        if "validation" in row:
            self.validations.append((row["validation"], step))
            values = [value for value, _ in self.validations]
            best = values.index(min(values))
            yield Sign(
                name="no_gain",
                shows=len(values) - 1 - best >= NO_GAIN,
                text=(
                    f"validation has not improved since step {self.validations[best][1]}: "
                    f"{values[best]:.3g} then, {values[-1]:.3g} now. More steps may not help; "
                    "best/ has the models of that step"
                ),
            )


@dataclass(kw_only=True)
class MetricsLog:
    """The rows of ``metrics.jsonl``, written by rank 0 with the warnings that they give."""

    run: Run
    schedule: Schedule
    report: Report
    health: Health = field(init=False)
    ended: bool = field(init=False)  # the row of the last step that a longer run does not have
    last: tuple[float, int] | None = field(init=False)  # its validation, if it has one, and step

    def __post_init__(self) -> None:
        self._read_again()

    def write(
        self,
        row: Mapping[str, float],
        learner: Learner,
        *,
        learning_rate: float,
        last: bool = False,
    ) -> None:
        """Write one row with its warnings, unless it is empty.

        ``last``: mark it as a row of the last step that a longer run does not have.
        """
        if not row or not learner.group.leads:
            return
        step, mark = learner.steps_done, {"last": True} if last else {}
        full = {**self._head(learner, learning_rate), **mark, **row}
        self._append(full, self.health.see(full))
        if last:
            self._end(full)
        best = self.best(learner)
        if best is not None and "validation" in row:
            value = row["validation"]
            self.report(Validated(step=step, value=value, best=best[0], best_step=best[1]))

    def best(self, learner: Learner) -> tuple[float, int] | None:
        """Return the lowest validation and its step, that of the last step included."""
        found = [best for best in (learner.best(), self.last) if best is not None]
        return min(found, key=lambda best: (math.isnan(best[0]), best[0]), default=None)

    def restart(self, line: str, learner: Learner, *, learning_rate: float) -> None:
        """Continue from the remaining rows after a recovery, and write the reason ``line``."""
        if learner.group.leads:
            self._read_again()
            self._append(self._head(learner, learning_rate), {NOT_FINITE: line})

    def _read_again(self) -> None:
        self.health, self.ended, self.last = Health(settings=self.schedule.settings), False, None
        for row in self.run.read_metrics():
            numbers = {"step": row.step, **row.numbers}
            self.health.see(numbers)
            if row.last:
                self._end(numbers)

    def _end(self, row: Mapping[str, Any]) -> None:
        self.ended = True
        self.last = (row["validation"], row["step"]) if "validation" in row else None

    def _head(self, learner: Learner, learning_rate: float) -> dict[str, Any]:
        return {
            "step": learner.steps_done,
            "epoch": self.schedule.epoch(max(0, learner.steps_done - 1)),
            "lr": learning_rate * learner.rate_factor,
        }

    def _append(self, row: Mapping[str, Any], warnings: Warnings) -> None:
        self.run.append_metrics({**row, "health": warnings} if warnings else row)
        numbers = {name: float(row[name]) for name in row if name not in ("step", "last")}
        self.report(Logged(row=MetricsRow(step=row["step"], numbers=numbers, health=warnings)))
        for name, text in warnings.items():
            self.report(Unwell(name=name, text=text))


def draw_of(settings: Settings) -> float:
    """Return the loss of a discriminator that cannot tell real from fake; 0 if unknown."""
    both = {"lsgan": 0.5, "vanilla": 2 * math.log(2), "hinge": 2.0, "wgangp": 0.0}
    discriminator, method = settings.discriminator, settings.method
    scales = discriminator.num_scales if isinstance(discriminator, MultiScaleConfig) else 1
    halves = 1.0 if isinstance(method, BicycleGanConfig) else 0.5
    return both[method.gan_mode] * halves * scales


def _game_signs(row: Mapping[str, Any], settings: Settings) -> Iterator[Sign]:
    """Yield the signs that one network has won; Wasserstein losses do not show this."""
    draw, method = draw_of(settings), settings.method
    contrast = _contrast(row, method)
    remedy = f"{contrast[0].upper()}{contrast[1:]}" if contrast else REMEDY
    if draw and "nce" in row and "discriminator" in row:
        loss = row["discriminator"]
        yield Sign(
            name="contrast_outweighs",
            bearable=WINNING_STEPS,
            shows=bool(contrast) and loss < WINNING * draw,
            text=(
                f"the discriminator is winning, with {loss:.2g} where a draw is {draw:.2g}: "
                f"{contrast}"
            ),
        )
    for name, loss in row.items():
        if name.startswith("discriminator") and draw:
            winner = _spelled(name, settings)
            yield from _won(winner, name, loss, draw, "the generator", remedy=remedy)
        weight = _gan_weight(name, method)
        if weight and method.gan_mode in ("lsgan", "vanilla"):
            half = draw / 2 if isinstance(method, BicycleGanConfig) else draw
            generator = _spelled(name.replace("gan", "generator"), settings)
            yield from _won(generator, f"generator_{name}", loss / weight, half, "it")


def _divergence(row: Mapping[str, Any], settings: Settings) -> Sign:
    """Return the sign that losses are finite but far too large; its text is empty if none is."""
    draw, method = draw_of(settings), settings.method
    share, text = 1.0, ""  # of the limit, and the text, of the loss that is furthest above it
    for name in (name for name in row if name not in NO_LOSSES):
        loss, weight = abs(row[name]), _gan_weight(name, method)
        network = name.replace("gan", "generator") if weight else name
        is_network = bool(weight) or name.startswith("discriminator")
        limit, usual = FAR, f"no loss should reach {FAR:.0e}"
        if draw and is_network and (not weight or method.gan_mode in ("lsgan", "vanilla")):
            loss, limit = loss / (weight or 1.0), FAR_FROM_DRAW * draw
            usual = f"a draw is {draw:.2g}"
        if loss > share * limit:
            share = loss / limit
            text = (
                "the losses have diverged: "
                f"{_spelled(network, settings) if is_network else name} has {loss:.2g}, and "
                f"{usual}. Start again with a lower optimizer.lr, or with norms in both networks"
            )
    return Sign(name="diverged", shows=bool(text), text=text)


def _contrast(row: Mapping[str, Any], method: MethodConfig) -> str:
    """Return a sentence if a contrastive loss leaves the adversarial one no effect, else nothing.

    FastCUT's weight of 10 does so on small pictures: the output stays like the input, which the
    discriminator tells from real pictures with ease.
    """
    if not isinstance(method, CutConfig):
        return ""
    contrast = row.get("nce", 0.0) + row.get("nce_identity", 0.0)
    gan = row.get("gan", 0.0)
    if not contrast > OUTWEIGHS * gan:
        return ""
    return (
        f"the contrastive loss, {contrast:.2g}, outweighs the adversarial one, {gan:.2g}. Start "
        f"again with a method.lambda_nce lower than {method.lambda_nce:g}"
    )


def _won(
    winner: str, name: str, loss: float, draw: float, loser: str, *, remedy: str = REMEDY
) -> Iterator[Sign]:
    for share, steps in WON:
        yield Sign(
            name=f"{name}_won",
            bearable=steps,
            shows=loss < share * draw,
            text=(
                f"{winner} has won: its loss has been below {share * draw:.2g} for {LASTED} steps "
                f"({loss:.2g} now; a draw is {draw:.2g}), and {loser} learns little. {remedy}"
            ),
        )


def _domain_names(settings: Settings) -> dict[str, str]:
    return {"a": settings.data.name_a or "A", "b": settings.data.name_b or "B"}


def _way(direction: str, settings: Settings) -> str:
    """Write a direction with the names of the domains: ``horses → zebras``."""
    return " → ".join(_domain_names(settings)[letter] for letter in direction)


def _spelled(network: str, settings: Settings) -> str:
    """Name a network in words: ``discriminator of horses``, ``generator horses → zebras``."""
    kind, _, part = network.partition("_")
    if part in ("a", "b"):
        return f"{kind} of {_domain_names(settings)[part]}"
    return f"{kind} {_way(part, settings) if part in ('ab', 'ba') else part}".rstrip()


def _gan_weight(name: str, method: MethodConfig) -> float:
    """Return the weight of an adversarial loss; 0 for other losses."""
    if not name.startswith("gan"):
        return 0.0
    match method:
        case CycleGanConfig():
            return method.lambda_gan_ab if name.endswith("ab") else method.lambda_gan_ba
        case Pix2PixConfig() | BicycleGanConfig() | CutConfig():
            return method.lambda_gan


def _fake_signs(row: Mapping[str, Any], direction: str, settings: Settings) -> Iterator[Sign]:
    spread, brightness = row.get(f"spread_{direction}"), row.get(f"brightness_{direction}")
    way = _way(direction, settings)
    if spread is not None:
        yield Sign(
            name=f"collapsed_{direction}",
            shows=spread < COLLAPSED,
            text=(
                f"{way} has collapsed: its outputs differ from each other by only {spread:.1%} of "
                "the difference between real pictures. Start again with another train.seed, a "
                "lower optimizer.lr or more pictures"
            ),
        )
    if brightness is not None:
        yield Sign(
            name=f"inverted_{direction}",
            shows=brightness < INVERTED,
            text=(
                f"{way} inverts brightness: bright becomes dark, with a correlation of "
                f"{brightness:.2f}. Unless that is intended, start again with another train.seed; "
                "with cyclegan a higher method.lambda_identity preserves colours, with cut "
                "method.nce_identity"
            ),
        )
    lost, change = row.get("validation_content"), row.get(f"change_{direction}")
    if direction == "ab" and lost is not None:
        yield Sign(
            name="lost_content_ab",
            shows=lost > LOST_CONTENT,
            text=(
                f"{way} loses content: the edges of its outputs agree with those of the inputs by "
                f"only {1 - lost:.2f} of 1. Raise method.lambda_nce, or train longer"
            ),
        )
    if change is not None:
        yield Sign(
            name=f"does_nothing_{direction}",
            shows=change <= SMALL_CHANGE,
            text=(
                f"{way} does nothing: its outputs differ from the inputs by only {change:.1%} of "
                "the range. Lower method.lambda_nce, or train longer"
            ),
        )
