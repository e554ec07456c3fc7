"""A diagram of the generator's adversarial losses, and of where their gradients vanish."""

from collections.abc import Callable

import torch
from torch import Tensor

from docs.diagrams.canvas import Canvas, Point, Role
from imgtranslate.losses import adversarial_loss, fake_loss

WIDTH = 880
_LOW, _HIGH = -5.0, 5.0


def draw_gan_losses() -> Canvas:
    """Draw three losses of a fake over the discriminator's answer, and their slopes."""
    canvas = Canvas(
        WIDTH,
        436,
        title="Where the generator's gradient vanishes",
        description="The log loss in its first form is flat where the discriminator is sure that "
        "a picture is fake. Its usual form is flat where the discriminator is fooled. Least "
        "squares is flat only at its target, 1.",
    )
    curves: tuple[tuple[Role, Callable[[Tensor], Tensor]], ...] = (
        ("discriminator", lambda x: -fake_loss(x, gan_mode="vanilla")),
        ("b", lambda x: adversarial_loss(x, gan_mode="vanilla")),
        ("loss", lambda x: adversarial_loss(x, gan_mode="lsgan")),
    )
    panels = (("Loss of a fake", False, -5.0, 5.0), ("Size of its gradient", True, 0.0, 3.0))
    for index, (title, slope, bottom, top) in enumerate(panels):
        x = 16 + index * 432
        canvas.card(x, 16, 416, 300)
        canvas.text(x + 16, 44, title, size=16, bold=True)
        _axes(canvas, x + 44, 60, bottom, top)
        for role, loss in curves:
            points = _clip(
                [_at(loss, answer / 10, slope) for answer in range(-50, 51, 2)], bottom, top
            )
            scaled = [
                (
                    x + 44 + (px - _LOW) / (_HIGH - _LOW) * 352,
                    264 - (py - bottom) / (top - bottom) * 204,
                )
                for px, py in points
            ]
            canvas.line(*scaled, role=role, arrow=False, width=2.4)
    said: tuple[tuple[Role, str, str], ...] = (
        (
            "discriminator",
            "log(1 − σ(x))",
            "Flat on the left: an obvious fake gets almost no hint.",
        ),
        ("b", "−log σ(x)", "Flat on the right: a fake that passes for real gets no further hint."),
        (
            "loss",
            "(x − 1)²",
            "Flat at its target 1 alone: the further away, the stronger the pull.",
        ),
    )
    canvas.card(16, 332, WIDTH - 32, 88)
    for row, (role, name, note) in enumerate(said):
        y = 358 + row * 24
        canvas.line((32, y - 5), (64, y - 5), role=role, arrow=False, width=2.4)
        canvas.text(76, y, name, size=14, mono=True, bold=True)
        canvas.text(214, y, note, size=14, role="caption")
    return canvas


def _at(loss: Callable[[Tensor], Tensor], answer: float, slope: bool) -> Point:
    """Return the loss of a fake with this answer, or the size of its slope."""
    x = torch.tensor([[answer]], dtype=torch.float64, requires_grad=True)
    value = loss(x)
    if not slope:
        return answer, value.item()
    (gradient,) = torch.autograd.grad(value, x)
    return answer, abs(gradient.item())


def _clip(points: list[Point], bottom: float, top: float) -> list[Point]:
    """Cut a curve where it leaves the panel."""
    kept: list[Point] = []
    for index, (x, y) in enumerate(points):
        if bottom <= y <= top:
            kept.append((x, y))
            continue
        for x0, y0 in points[max(0, index - 1) : index] + points[index + 1 : index + 2]:
            if bottom <= y0 <= top:
                edge = top if y > top else bottom
                kept.append((x0 + (x - x0) * (edge - y0) / (y - y0), edge))
    return kept


def _axes(canvas: Canvas, x: float, y: float, bottom: float, top: float) -> None:
    canvas.line((x, y), (x, y + 204), (x + 352, y + 204), role="pale", arrow=False, width=1.2)
    for answer in (-4, -2, 0, 2, 4):
        at = x + (answer - _LOW) / (_HIGH - _LOW) * 352
        canvas.line((at, y + 204), (at, y + 209), role="pale", arrow=False, width=1.2)
        canvas.text(
            at, y + 223, str(answer).replace("-", "−"), size=12, anchor="middle", role="caption"
        )
    for value in range(int(bottom), int(top) + 1, 1 if top - bottom < 5 else 5):
        at = y + 204 - (value - bottom) / (top - bottom) * 204
        canvas.line((x - 5, at), (x, at), role="pale", arrow=False, width=1.2)
        canvas.text(
            x - 9, at + 4, str(value).replace("-", "−"), size=12, anchor="end", role="caption"
        )
    canvas.text(x, y + 242, "says: fake", size=12, role="caption")
    canvas.text(x + 176, y + 242, "output x of D", size=12, anchor="middle", role="caption")
    canvas.text(x + 352, y + 242, "says: real", size=12, anchor="end", role="caption")
