"""Diagrams of GANs and CycleGAN: the game, why a cycle is needed, and both cycles."""

from collections.abc import Sequence

from docs.diagrams.canvas import Canvas, Content, Role, Shape
from docs.diagrams.words import cyclegan, times

WIDTH = 880
_SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle")


def draw_gan() -> Canvas:
    """Draw the two turns of the game."""
    canvas = Canvas(
        WIDTH,
        304,
        title="The two turns of a GAN",
        description="The discriminator's turn: it sees a real and a fake picture of B and learns "
        "to answer 1 and 0. The generator's turn: its fake goes through the frozen discriminator, "
        "whose gradient tells the generator how to make the answer 1.",
    )
    canvas.card(16, 16, 376, 272)
    canvas.text(32, 44, "D learns to tell them apart", size=16, bold=True)
    canvas.labelled(36, 64, "real_b", "circle", "striped")
    canvas.labelled(36, 168, "fake_b", "circle", "poor")
    canvas.line((102, 94), (186, 94), (186, 120), role="discriminator")
    canvas.line((102, 198), (186, 198), (186, 172), role="discriminator")
    canvas.box(148, 124, 76, 44, ["D"], role="discriminator", size=17)
    canvas.line((228, 138), (244, 138), (244, 115), (260, 115), role="discriminator")
    canvas.line((228, 154), (244, 154), (244, 177), (260, 177), role="discriminator")
    canvas.loss(264, 100, 116, "real_b", "→ 1")
    canvas.loss(264, 162, 116, "fake_b", "→ 0")
    canvas.text(32, 272, "G does not change here.", size=13, role="caption")

    canvas.card(408, 16, 456, 272)
    canvas.text(424, 44, "G learns to be taken for real", size=16, bold=True)
    canvas.labelled(424, 84, "real_a", "circle", "plain")
    canvas.line((488, 114), (506, 114), role="generator")
    canvas.box(510, 92, 52, 44, ["G"], role="generator", size=17)
    canvas.line((566, 114), (584, 114), role="generator")
    canvas.labelled(588, 84, "fake_b", "circle", "poor")
    canvas.line((652, 114), (670, 114), role="discriminator")
    canvas.box(674, 92, 48, 44, ["D"], role="discriminator", size=17, dashed=True)
    canvas.text(698, 154, "frozen", size=13, role="caption", anchor="middle")
    canvas.line((726, 114), (740, 114), role="discriminator")
    canvas.loss(744, 99, 110, "fake_b", "→ 1")
    canvas.line((799, 133), (799, 206), (536, 206), (536, 142), role="loss", dashed=True)
    canvas.text(668, 198, "gradient", size=13, role="loss", anchor="middle")
    canvas.lines(
        424, 246, ["The gradient passes through D and says which pixels", "would look more real."]
    )
    return canvas


def draw_unpaired() -> Canvas:
    """Draw three translations that all please the discriminator."""
    canvas = Canvas(
        WIDTH,
        424,
        title="Three translations that look right to the discriminator",
        description="Plain shapes are domain A, striped shapes domain B. Collapse: every plain "
        "shape becomes the same striped circle, and only the circle comes back. Shuffle: each "
        "becomes another striped shape. Translation: each becomes its own striped shape and "
        "comes back.",
    )
    _panel(
        canvas,
        16,
        "Collapse",
        there=(0, 0, 0),
        back=(0, 0, 0),
        returns=("1 of 3", "discriminator"),
        note=("The cycle loss rules it out:", "one fake cannot become", "three originals."),
    )
    _panel(
        canvas,
        304,
        "Shuffle",
        there=(1, 2, 0),
        back=(0, 1, 2),
        returns=("it can", "plain"),
        note=(
            "The cycle loss allows it, but",
            "convolutions learn changes",
            "in place more easily.",
        ),
    )
    _panel(
        canvas,
        592,
        "Translation",
        there=(0, 1, 2),
        back=(0, 1, 2),
        returns=("yes", "loss"),
        note=("What differs between the", "domains changes, the rest", "stays."),
    )
    return canvas


def _panel(
    canvas: Canvas,
    x: float,
    name: str,
    *,
    there: Sequence[int],
    back: Sequence[int],
    returns: tuple[str, Role],
    note: Sequence[str],
) -> None:
    canvas.card(x, 16, 272, 392)
    canvas.text(x + 136, 44, name, size=17, bold=True, anchor="middle")
    for column, label in enumerate(("real_a", "fake_b", "rec_a")):
        middle = x + 45 + column * 91
        canvas.text(middle, 70, label, size=13, mono=True, anchor="middle", role="caption")
    for row, shape in enumerate(_SHAPES):
        y = 80 + row * 62
        canvas.picture(x + 20, y, 50, shape, "plain")
        canvas.line((x + 74, y + 25), (x + 107, y + 25), role="generator")
        canvas.picture(x + 111, y, 50, _SHAPES[there[row]], "striped")
        canvas.line((x + 165, y + 25), (x + 198, y + 25), role="generator")
        canvas.picture(x + 202, y, 50, _SHAPES[back[row]], "plain")
    canvas.text(x + 20, 296, "Each fake looks like B?", size=14)
    canvas.text(x + 252, 296, "yes", size=14, bold=True, anchor="end", role="loss")
    canvas.text(x + 20, 320, "Each comes back?", size=14)
    canvas.text(x + 252, 320, returns[0], size=14, bold=True, anchor="end", role=returns[1])
    canvas.lines(x + 20, 352, note, room=(x + 8, x + 264))


def draw_cycles() -> Canvas:
    """Draw both cycles and the identity term with their weights."""
    config = cyclegan()
    canvas = Canvas(
        WIDTH,
        672,
        title="The two cycles of CycleGAN and the identity term",
        description="Generator ab makes fake_b from real_a, generator ba makes rec_a from fake_b. "
        "Discriminator b judges fake_b. The cycle loss compares rec_a with real_a. The second "
        "cycle does the same from B. The identity loss compares real_b with what generator ab "
        "makes of it, and real_a with what generator ba makes of it.",
    )
    _cycle(canvas, 16, "a", "b", gan=config.lambda_gan_ab, cycle=config.lambda_a)
    _cycle(canvas, 244, "b", "a", gan=config.lambda_gan_ba, cycle=config.lambda_b)
    canvas.card(16, 472, WIDTH - 32, 184)
    canvas.text(32, 500, "Identity", size=16, bold=True)
    said = "A generator should not change a picture of its target domain."
    canvas.text(110, 500, said, size=13, role="caption")
    _identity(canvas, 40, "b", "ab", config.lambda_identity * config.lambda_b)
    _identity(canvas, 468, "a", "ba", config.lambda_identity * config.lambda_a)
    return canvas


def _cycle(canvas: Canvas, y: float, start: str, other: str, *, gan: float, cycle: float) -> None:
    there, back = f"{start}{other}", f"{other}{start}"
    own, made = _content(start), _content(other)
    canvas.card(16, y, WIDTH - 32, 216)
    title = f"Cycle {start.upper()} → {other.upper()} → {start.upper()}"
    canvas.text(32, y + 28, title, size=16, bold=True)
    row = y + 98
    canvas.labelled(40, row - 30, f"real_{start}", "circle", own)
    canvas.line((106, row), (168, row), role="generator")
    canvas.box(172, row - 24, 110, 48, [f"G_{there}"], role="generator", size=16)
    canvas.line((286, row), (348, row), role="generator")
    canvas.labelled(352, row - 30, f"fake_{other}", "circle", made)
    canvas.line((418, row), (480, row), role="generator")
    canvas.box(484, row - 24, 110, 48, [f"G_{back}"], role="generator", size=16)
    canvas.line((598, row), (752, row), role="generator")
    canvas.labelled(756, row - 30, f"rec_{start}", "circle", own)
    # The discriminator judges the fake
    canvas.line((382, row - 34), (382, row - 62), (480, row - 62), role="discriminator")
    canvas.box(484, row - 80, 110, 36, [f"D_{other}"], role="discriminator", size=15)
    canvas.line((598, row - 62), (622, row - 62), role="discriminator")
    canvas.loss(626, row - 77, 206, f"gan_{there}", f"looks real? {times(gan)}")
    # The cycle compares both ends
    canvas.line((70, row + 54), (70, row + 90), (290, row + 90), role="loss", arrow=False)
    canvas.line((786, row + 54), (786, row + 90), (566, row + 90), role="loss", arrow=False)
    canvas.loss(290, row + 75, 276, f"cycle_{start}", f"came back? L1 {times(cycle)}")


def _identity(canvas: Canvas, x: float, domain: str, direction: str, weight: float) -> None:
    content = _content(domain)
    canvas.labelled(x, 520, f"real_{domain}", "circle", content)
    canvas.line((x + 66, 550), (x + 122, 550), role="generator")
    canvas.box(x + 126, 526, 110, 48, [f"G_{direction}"], role="generator", size=16)
    canvas.line((x + 240, 550), (x + 296, 550), role="generator")
    canvas.labelled(x + 300, 520, f"idt_{domain}", "circle", content)
    canvas.line((x + 30, 604), (x + 30, 625), (x + 82, 625), role="loss", arrow=False)
    canvas.line((x + 330, 604), (x + 330, 625), (x + 280, 625), role="loss", arrow=False)
    canvas.loss(x + 82, 610, 198, f"identity_{domain}", f"L1 {times(weight)}")


def _content(domain: str) -> Content:
    return "plain" if domain == "a" else "striped"
