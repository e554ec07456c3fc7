"""Diagrams of the training steps, drawn from steps that really ran."""

from collections.abc import Sequence

from docs.diagrams.canvas import Canvas, text_width
from docs.diagrams.tracing import Update, settings_of, small_method, terms_of, trace_step
from docs.diagrams.words import NETWORKS, Step, step_of

WIDTH = 880


def draw_step(method: str) -> Canvas:
    """Draw each update of a step: its networks, its terms and its optimizer."""
    step, updates = step_of(method), trace_step(small_method(method))
    generators, discriminators = (list(terms) for terms in terms_of(small_method(method)))
    terms = {"generators": generators, "discriminators": discriminators}
    heights = [_height(terms[each.optimizer], step.notes[each.optimizer]) for each in updates]
    canvas = Canvas(
        WIDTH,
        round(32 + sum(heights) + 32 * (len(updates) - 1)),
        title=step.title,
        description=" Then ".join(_describe(each, terms[each.optimizer]) for each in updates),
    )
    y = 16.0
    for index, (update, height) in enumerate(zip(updates, heights, strict=True)):
        if index > 0:
            canvas.line((WIDTH / 2, y - 28), (WIDTH / 2, y - 4))
        _draw_head(canvas, update, index + 1, y)
        canvas.card(16, y, WIDTH - 32, height)
        _draw_terms(canvas, step, update, terms[update.optimizer], y + 96)
        canvas.text(32, y + height - 16, _optimizer(method), size=13, role="caption")
        y += height + 32
    return canvas


def _describe(update: Update, terms: Sequence[str]) -> str:
    held = f" through frozen {' and '.join(update.frozen)}" if update.frozen else ""
    return f"{' and '.join(update.learns)} learn from {', '.join(terms)}{held}."


def _height(terms: Sequence[str], notes: Sequence[str]) -> float:
    return 88 + 20 * len(notes) + 38 * ((len(terms) + 1) // 2) + 38


def _optimizer(method: str) -> str:
    optimizer = settings_of(method).optimizer
    return (
        f"{optimizer.kind.capitalize()} on the sum of the terms: learning rate {optimizer.lr:g}, "
        f"betas {optimizer.beta1:g} and {optimizer.beta2:g}"
    )


def _draw_head(canvas: Canvas, update: Update, number: int, y: float) -> None:
    canvas.dot(46, y + 30, 14, role="plain")
    canvas.text(46, y + 35, str(number), size=15, bold=True, anchor="middle", role="paper")
    names = " and ".join(NETWORKS[name][0] for name in update.learns)
    canvas.text(70, y + 36, f"Update {names}", size=17, bold=True)
    shown = (*update.learns, *update.frozen)
    for index, name in enumerate(shown):
        label, role = NETWORKS[name]
        x = WIDTH - 32 - 84 * (len(shown) - index)
        held = name in update.frozen
        canvas.box(x + 8, y + 14, 76, 32, [label], role=role, dashed=held)
        state = "frozen" if held else "learns"
        canvas.text(x + 46, y + 62, state, size=12, anchor="middle", role="caption")


def _draw_terms(canvas: Canvas, step: Step, update: Update, terms: Sequence[str], y: float) -> None:
    notes = step.notes[update.optimizer]
    canvas.lines(32, y, notes, size=14, role="ink")
    top = y + 20 * len(notes) - 8
    columns = 1 if len(terms) == 1 else 2
    start = max(text_width(term, size=13, mono=True, bold=True) for term in terms) + 12
    width = (WIDTH - 48) / columns - 16
    for index, term in enumerate(terms):
        row, column = divmod(index, columns)
        x = 32 + column * (width + 16)
        canvas.loss(x, top + row * 38, width, term, step.terms[term], start=start)
