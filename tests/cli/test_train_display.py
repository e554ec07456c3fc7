"""The display of a training: the live block, plain lines, and the last lines."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from imgtranslate.cli.train_display import TrainingDisplay, figures, plain_line
from imgtranslate.data_check.check import DataReport
from imgtranslate.data_check.findings import Finding
from imgtranslate.settings.config import Settings
from imgtranslate.settings.parsing import build_settings
from imgtranslate.training import events

SPEED = events.Speed(
    steps_per_second=0.171, images_per_second=0.342, waiting=0.04, remaining_seconds=1_544_444
)
LOSSES = {
    "cycle_a": 4.0512,
    "cycle_b": 3.0,
    "discriminator_a": 0.2512,
    "discriminator_b": 0.315,
    "gan_ab": 0.412,
    "gan_ba": 1234.5,
    "identity_a": 1.21,
    "identity_b": 0.00132,
}
PROGRESS = events.Progress(
    step=1_100,
    total_steps=265_200,
    epoch=1,
    total_epochs=200,
    losses=LOSSES,
    logged=True,
    speed=SPEED,
)
FIRST = replace(PROGRESS, step=1, losses={}, logged=False, speed=None)
VALIDATED = events.Validated(step=1_000, value=0.8541, best=0.8123, best_step=500)


NAMES = {"data": {"a": "a", "b": "b", "name_a": "horses", "name_b": "zebras"}}


def settings(*, method: str = "cyclegan", preset: str = "paper", **data: str) -> Settings:
    names = {"a": "a", "b": "b", "name_a": "horses", "name_b": "zebras", **data}
    return build_settings(method=method, preset=preset, layers=[{"data": names}])


def started(
    chosen: Settings, *, step: int = 0, total: int = 265_200, device: str = "cpu"
) -> events.Started:
    report = DataReport(domains=(), left_out=((), ()), lines=(), warnings=(), findings=())  # type: ignore[arg-type]
    return events.Started(
        run=Path("runs/r"),
        device=device,
        step=step,
        total_steps=total,
        total_epochs=200,
        parameters=28_300_000,
        settings=chosen,
        report=None if step else report,
    )


def block(width: int, progress: events.Progress = PROGRESS, *, reporting: bool = False) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="256", no_color=False
    )
    with console.capture() as shown:
        console.print(figures(progress, VALIDATED, reporting=reporting, width=width))
    return "\n".join(line.rstrip() for line in plain(shown.get()).splitlines())


def plain(text: str) -> str:
    """Leave the styles out."""
    return "".join(
        part.partition("m")[2] if n else part for n, part in enumerate(text.split("\x1b"))
    )


# The live block


def test_the_block_fits_80_columns_with_the_figures_first_and_the_losses_below() -> None:
    lines = block(80).splitlines()
    assert lines[0].startswith("━")
    assert lines[0].endswith("step   1,100 of 265,200   epoch 1 of 200")
    assert lines[1:] == [
        "ETA 17.9 days   5.85 s/step   0.342 images/s   4% waiting for pictures",
        "validation 0.854 at step 1,000   best 0.812 at step 500",
        "cycle_a 4.05   discriminator_a 0.251   gan_ab 0.412   identity_a    1.21",
        "cycle_b 3.00   discriminator_b 0.315   gan_ba  1234   identity_b 0.00132",
    ]


@pytest.mark.parametrize("width", [30, 50, 80, 100, 120, 200])
def test_no_line_of_the_block_is_wider_than_the_terminal(width: int) -> None:
    shown = block(width)
    assert max(map(cell_len, shown.splitlines())) <= width
    assert {*LOSSES, "ETA", "17.9", "validation", "best"} <= {*shown.split()}  # no word is broken


def test_the_two_directions_stand_one_below_the_other() -> None:
    names = [line.split()[::2] for line in block(60).splitlines()[-4:]]
    assert names[:2] == [["cycle_a", "gan_ab"], ["cycle_b", "gan_ba"]]


def test_few_losses_are_one_row() -> None:
    shown = block(80, replace(PROGRESS, losses={"discriminator": 0.5, "gan": 1.0, "l1": 12.0}))
    assert shown.splitlines()[-1] == "discriminator 0.500   gan 1.00   l1 12.0"


def test_names_of_losses_are_text_and_no_codes() -> None:
    names = ["[/]", "[red]x", "\x1b]0;title\x07", "\u202etxet", "new\nline"]
    shown = block(200, replace(PROGRESS, losses=dict.fromkeys(names, 1.0)))
    for name in ("[/]", "[red]x", r"\x1b]0;title\x07", r"\u202etxet", r"new\nline"):
        assert f"{name} " in shown
    assert not {"\x1b]", "\x07", "\u202e"} & {*shown}


def test_what_is_not_known_yet_is_not_shown() -> None:
    shown = block(80, FIRST)
    assert "step       1 of 265,200" in shown
    assert "ETA" not in shown
    assert "/s" not in shown


def test_a_finished_training_has_no_time_left() -> None:
    done = replace(PROGRESS, step=265_200, speed=replace(SPEED, remaining_seconds=0))
    assert "ETA" not in block(80, done)
    assert block(80, done, reporting=True).splitlines()[1] == "writing the report"


# Plain lines


def test_a_plain_line_has_a_stable_form() -> None:
    assert plain_line(PROGRESS, VALIDATED) == (
        "step=1100/265200 epoch=1/200 eta=429:00:44 steps_per_s=0.171 images_per_s=0.342 "
        "waiting=0.04 validation=0.8541 best=0.8123 best_step=500 cycle_a=4.051 cycle_b=3 "
        "discriminator_a=0.2512 discriminator_b=0.315 gan_ab=0.412 gan_ba=1234 identity_a=1.21 "
        "identity_b=0.00132"
    )
    assert plain_line(FIRST, None) == "step=1/265200 epoch=1/200"


def test_plain_lines_come_at_the_first_step_each_validation_and_the_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = TrainingDisplay()
    display.show(events.Checking(done=1, total=100))
    display.show(started(settings()))
    assert "checked" not in capsys.readouterr().err  # within 15 seconds
    for step in range(1, 9):
        if step == 4:
            display.show(replace(VALIDATED, step=step))
        display.show(replace(PROGRESS, step=step, total_steps=8))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["step=1/8", "step=4/8", "step=8/8"]


# The beginning


def said_at_start(
    capsys: pytest.CaptureFixture[str], start: events.Started, *, seconds_per_step: float
) -> list[str]:
    display, left = TrainingDisplay(), start.total_steps - start.step
    display.show(start)
    display.show(
        events.Forecast(
            steps=left, seconds=left * seconds_per_step, seconds_per_step=seconds_per_step
        )
    )
    return capsys.readouterr().err.splitlines()


def test_the_paper_on_a_cpu_names_the_days_and_the_fast_preset(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said_at_start(capsys, started(settings()), seconds_per_step=5.9) == [
        "training runs/r: horses → zebras and back by cyclegan on cpu, 28.3 million weights, "
        "265,200 steps in 200 epochs",
        "notice: 256 px and 64 base channels are meant for a GPU. The time on this CPU follows "
        "after the first steps",
        "about 18.1 days for the remaining 265,200 steps, at 5.90 s/step. "
        "On a CPU use --preset fast",
    ]


@pytest.mark.parametrize(
    "start",
    [
        started(settings(), device="cuda:0"),
        started(settings(), total=100),
        started(settings(), step=100),
        started(settings(preset="fast")),
    ],
    ids=["gpu", "short", "resumed", "fast"],
)
def test_others_are_not_sent_to_the_fast_preset(
    capsys: pytest.CaptureFixture[str], start: events.Started
) -> None:
    lines = said_at_start(capsys, start, seconds_per_step=5.9)
    assert len(lines) == 2
    assert not any("--preset" in line for line in lines)


def test_one_epoch_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingDisplay().show(replace(started(settings()), total_epochs=1, total_steps=1))
    assert capsys.readouterr().err.endswith("weights, 1 step in 1 epoch\n")


# The end


def ending(
    capsys: pytest.CaptureFixture[str], start: events.Started, outcome: events.TrainResult
) -> list[str]:
    display = TrainingDisplay()
    display.show(start)
    capsys.readouterr()
    display.conclude(outcome, device=["--device", "cpu"])
    return capsys.readouterr().err.splitlines()


DONE = events.TrainResult(
    run=Path("runs/r"),
    step=2000,
    total_steps=2000,
    seconds=724.2,
    best=0.6781,
    best_step=1500,
    report=Path("runs/r/report.html"),
)


def test_the_end_says_what_was_learnt_and_what_comes_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ending(capsys, started(settings(), total=2000), DONE) == [
        "learnt   horses → zebras and back, 2,000 steps in 12 min 4 s",
        "best     step 1,500, validation 0.678",
        "report   runs/r/report.html",
        "judge    imgtranslate cycle-check --run runs/r",
        "use      imgtranslate translate in.jpg --model runs/r",
    ]


def test_pairs_are_learnt_one_way_and_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    unnamed = settings(method="pix2pix", name_a="a", name_b="b")
    outcome = replace(DONE, best=None, best_step=None, report=None)
    assert ending(capsys, started(unnamed, total=2000), outcome) == [
        "learnt   A → B, 2,000 steps in 12 min 4 s",
        "judge    imgtranslate evaluate runs/r",
        "use      imgtranslate translate in.jpg --model runs/r",
    ]


def test_a_training_says_where_all_pictures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    event = started(settings())
    assert event.report is not None
    one = Finding(lines=("a picture",), groups=((),))
    two = Finding(lines=("2 pictures, such as",), groups=((), ()))
    for findings, said in (((one,), False), ((one, two), True)):
        shown = replace(event, report=replace(event.report, findings=findings))
        TrainingDisplay().show(shown)
        assert ("train --check --json lists all pictures" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"train": {"steps": 40}}, "--steps"),
        ({}, "--epochs or --decay-epochs"),
        (
            {"schedule": {"constant_steps": 20, "decay_steps": 20}},
            "--set schedule.decay_steps=N",
        ),
    ],
)
def test_a_finished_run_says_how_to_extend_it(
    changes: dict[str, Any], how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = build_settings(method="cyclegan", preset="paper", layers=[NAMES, changes])
    TrainingDisplay().show(started(chosen, step=40, total=40))
    assert f"is at step 40 of 40 already. Extend it with {how}\n" in capsys.readouterr().err


def test_a_resumed_training_counts_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = replace(DONE, first_step=1999, seconds=0.2)
    lines = ending(capsys, started(settings(), step=1999, total=2000), outcome)
    assert lines[0] == "learnt   horses → zebras and back, 2,000 steps, the last 1 in 0 s"


def test_a_diverged_training_has_learnt_nothing_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = replace(DONE, diverged="the losses have diverged")
    assert ending(capsys, started(settings(), total=2000), outcome) == [
        "ended    horses → zebras and back, 2,000 steps in 12 min 4 s",
        "best     step 1,500, validation 0.678",
        "report   runs/r/report.html",
    ]


def test_an_interrupted_training_says_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = replace(DONE, run=Path("my runs/r"), step=1100)
    assert ending(capsys, started(settings(), total=2000), outcome) == [
        "stopped  at step 1,100 of 2,000, saved in my runs/r",
        "resume   imgtranslate train --resume 'my runs/r' --device cpu",
    ]


def test_a_training_that_ends_early_says_why_and_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = replace(DONE, total_steps=10_000, ended_early=True)
    chosen = settings()
    chosen = replace(chosen, train=replace(chosen.train, patience=5))
    assert ending(capsys, started(chosen, total=10_000), outcome) == [
        "learnt   horses → zebras and back, 2,000 of 10,000 steps in 12 min 4 s",
        "ended    early: no gain in 5 validations (train.patience)",
        "best     step 1,500, validation 0.678",
        "report   runs/r/report.html",
        "judge    imgtranslate cycle-check --run runs/r",
        "use      imgtranslate translate in.jpg --model runs/r",
        "resume   imgtranslate train --resume runs/r --device cpu --set train.patience=0",
    ]
    again = replace(started(chosen, step=2000, total=10_000), ended_early=True)
    TrainingDisplay().show(again)
    assert capsys.readouterr().err.endswith(
        "runs/r has ended at step 2,000 of 10,000: no gain in 5 validations. Continue it with a "
        "higher --set train.patience=N, or 0\n"
    )


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = settings(name_a="\x1b[31mhorses\n", name_b="走" * 60)
    lines = ending(capsys, started(hostile, total=2000), DONE)
    assert lines[0].startswith(rf"learnt   \x1b[31mhorses\n → {'走' * 60} and back, ")
