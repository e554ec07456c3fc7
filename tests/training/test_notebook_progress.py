import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fixtures.pictures import save_picture

from imgtranslate.errors import UsageError
from imgtranslate.settings.config import Settings
from imgtranslate.training import events
from imgtranslate.training.notebook import NotebookProgress

SPEED = events.Speed(
    steps_per_second=0.4, images_per_second=0.8, waiting=0.0, remaining_seconds=3725
)


class Cell:
    """The outputs of a cell: what each has shown, one after the other."""

    def __init__(self) -> None:
        self.outputs: list[list[Any]] = []

    def display(self, shown: Any, *, display_id: bool) -> Any:
        assert display_id
        output = Output()
        self.outputs.append(output.shown)
        output.update(shown)
        return output

    @property
    def page(self) -> str:
        return self.outputs[0][-1]


class Output:
    def __init__(self) -> None:
        self.shown: list[Any] = []

    def update(self, shown: Any) -> None:
        self.shown.append(shown if isinstance(shown, dict) else shown._repr_html_())


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    cell, notebook = Cell(), ModuleType("IPython.display")
    notebook.__dict__.update(display=cell.display, Image=dict)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    return cell


def started(step: int = 0) -> events.Started:
    return events.Started(
        run=Path("runs/<a>2b"), device="cpu", step=step, total_steps=4000, total_epochs=20,
        parameters=1, settings=Settings(), report=None,
    )  # fmt: skip


def progress(step: int, **losses: float) -> events.Progress:
    return events.Progress(
        step=step, total_steps=4000, epoch=2, total_epochs=20, losses=losses, logged=True,
        speed=SPEED,
    )  # fmt: skip


def validated(step: int, value: float, best_step: int) -> events.Validated:
    return events.Validated(step=step, value=value, best=0.25, best_step=best_step)


def test_one_output_shows_the_figures_and_is_replaced(cell: Cell) -> None:
    show = NotebookProgress()
    show(events.Checking(done=5, total=10))
    assert "checked 5 of 10" in cell.page
    show(events.Checking(done=10, total=10))
    assert "checked 10 of 10" in cell.page
    show(started())
    assert "&lt;a&gt;2b · step 0 of 4,000" in cell.page
    before = len(cell.outputs[0])
    for step in range(1, 51):
        show(progress(step))
    assert len(cell.outputs[0]) - before < 10  # twice a second
    show(progress(1200, gan_ab=0.51234))
    show(validated(500, 0.5, 500))
    show(validated(1000, 0.25, 1000))
    assert len(cell.outputs) == 1
    assert "step 1,200 of 4,000 · epoch 2 of 20" in cell.page
    assert "width:30.0%" in cell.page
    assert "1:02:05 left · 2.5 s/step" in cell.page
    assert "validation 0.25 · best 0.25 at step 1,000" in cell.page
    assert '<polyline points="84.5,6.0 163.0,84.0"' in cell.page
    assert "gan_ab 0.512" in cell.page
    assert "<script" not in cell.page
    assert repr(show) == "<a>2b · step 1,200 of 4,000 · epoch 2 of 20 · 1:02:05 left · 2.5 s/step"


def test_samples_are_shown_when_they_are_new(cell: Cell, tmp_path: Path) -> None:
    show = NotebookProgress()
    show(started())
    show(events.Drawn(step=500, picture=tmp_path / "gone.png"))
    for step in (1000, 1500):
        show(events.Drawn(step=step, picture=save_picture(tmp_path / f"{step}.png", seed=step)))
        for _ in range(3):
            show(validated(step, 0.5, step))
    figures, samples = cell.outputs
    assert len(figures) > 6
    assert [picture["data"] for picture in samples] == [
        (tmp_path / f"{step}.png").read_bytes() for step in (1000, 1500)
    ]


def test_warnings_stay_and_a_recovery_takes_validations_back(cell: Cell) -> None:
    show = NotebookProgress()
    show(started())
    show(events.Unwell(name="collapse", text="the fakes of A are <all> alike"))
    for step in (500, 1000):
        show(validated(step, 0.5, 500))
    show(validated(500, 0.4, 500))
    assert "the fakes of A are &lt;all&gt; alike" in cell.page
    assert '<polyline points="84.5,6.0"' in cell.page  # one point


def test_the_last_step_is_always_drawn(cell: Cell) -> None:
    show = NotebookProgress()
    show(started())
    show(progress(4000))
    assert "width:100.0%" in cell.page


def test_without_ipython_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(UsageError, match=r"^NotebookProgress: IPython is not installed\. Use it"):
        NotebookProgress()
