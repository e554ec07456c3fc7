"""``imgtranslate evaluate``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.report import save
from imgtranslate.cli.terminal import examples, is_terminal, result, say, say_error
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.evaluation.evaluate.evaluation import Evaluation
    from imgtranslate.evaluation.evaluate.measures import Options
    from imgtranslate.evaluation.evaluate.subjects import Places, Subject
    from imgtranslate.model_files.checkpoint import Direction

EPILOG = examples(
    "imgtranslate evaluate runs/horses2zebras",
    "imgtranslate evaluate runs/first runs/second",
    "imgtranslate evaluate runs/labels2photos --train-segmenter segmenter.safetensors",
    "imgtranslate evaluate --model ab.safetensors --a ./horses --b ./zebras --json",
)
PICTURES = "Pictures, instead of those held out"
OUTSIDE = "Networks and palettes"
MOST_SUBJECTS = 2
TOLD_EVERY = 50  # steps of the segmenter


def evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN...", help="One run, or two side by side.")
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A model file; twice for two side by side."),
    ] = None,
    a: Annotated[
        Path | None,
        typer.Option("--a", metavar="DIR", help="Pictures of A.", rich_help_panel=PICTURES),
    ] = None,
    b: Annotated[
        Path | None,
        typer.Option("--b", metavar="DIR", help="Pictures of B.", rich_help_panel=PICTURES),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="DIR|FILE.csv", help="Pairs side by side.", rich_help_panel=PICTURES),
    ] = None,
    pair_order: Annotated[
        str, typer.Option(help="ab: A is the left half.", rich_help_panel=PICTURES)
    ] = "ab",
    paired: Annotated[
        bool,
        typer.Option(
            "--paired",
            help="Equal names in --a and --b belong together.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="a|b", help="Only translate pictures of A, or of B."),
    ] = None,
    resize: Annotated[
        int,
        typer.Option(help="px of the shorter side before anything; 0: full size.", min=0),
    ] = 0,
    limit: Annotated[
        int, typer.Option(help="At most so many pictures of a side, evenly spread.", min=1)
    ] = 500,
    samples: Annotated[
        int, typer.Option(help="Looks of a picture, for the diversity.", min=1, max=100)
    ] = 5,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.", min=0)] = 0,
    palette: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Label colours, one a line: 0 0 255.", rich_help_panel=OUTSIDE
        ),
    ] = None,
    segmenter: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Reads classes from photos.", rich_help_panel=OUTSIDE),
    ] = None,
    train_segmenter: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Train one on the run's real pairs, keep it here, use it.",
            rich_help_panel=OUTSIDE,
        ),
    ] = None,
    segmenter_steps: Annotated[
        int, typer.Option(help="How long to train it.", min=1, rich_help_panel=OUTSIDE)
    ] = 1000,
    inception: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pth", help="Inception weights, for FID and KID.", rich_help_panel=OUTSIDE
        ),
    ] = None,
    lpips: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pth", help="AlexNet, for LPIPS.", rich_help_panel=OUTSIDE),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    gpu: Annotated[str | None, typer.Option(help="Number of the GPU.")] = None,
) -> None:
    """Measure how good a run or a model is on pictures it did not learn from.

    What can be measured follows from the pictures: pairs, labels, or two
    sets. What was left out is said, with the reason. Each figure has its 95 %
    interval. Figures of the pictures that a run held out stay in the run, on
    its report.html. The exit status is 1 if a picture failed.
    """
    from imgtranslate.evaluation.evaluate.evaluation import evaluate as measure
    from imgtranslate.evaluation.evaluate.measures import Options
    from imgtranslate.evaluation.evaluate.subjects import Places

    _check(runs or [], model or [], segmenter=segmenter, train_segmenter=train_segmenter)
    places = Places(a=a, b=b, pairs=pairs, pair_order=_order(pair_order), paired=paired)
    chosen = f"cuda:{gpu.strip()}" if gpu is not None else device
    columns = [
        *(_of_run(run, places, start, resize=resize, device=chosen) for run in runs or []),
        *(_of_model(file, places, start, resize=resize, device=chosen) for file in model or []),
    ]
    options = Options(limit=limit, samples=samples, seed=seed, palette=palette)
    options = _with_weights(options, inception=inception, lpips=lpips)
    options = _with_segmenter(
        options, columns[0][0], given=segmenter, place=train_segmenter, steps=segmenter_steps
    )
    found = [[measure(subject, options, tell=_tell) for subject in column] for column in columns]
    _show(found, as_json=as_json)
    if runs and not places.given:
        _save(runs, found, device=chosen)
    failures = [failure for column in found for one in column for failure in one.failures]
    for failure in failures:
        say_error(f"failed: {failure.path}: {failure.reason}")
    unmeasured = [one for column in found for one in column if not one.estimates]
    for one in unmeasured:
        what = f"{one.subject.name}, {one.direction}"
        say(f"{what}: nothing could be measured. See what was left out")
    if failures:
        raise typer.Exit(1)


def _check(
    runs: list[Path], models: list[Path], *, segmenter: Path | None, train_segmenter: Path | None
) -> None:
    if runs and models:
        raise UsageError("--model: given together with a run. Give one or the other")
    if not runs and not models:
        raise UsageError("RUN: not given. Name a run's folder, or a file with --model")
    if len(runs) + len(models) > MOST_SUBJECTS:
        raise UsageError(
            f"RUN: {len(runs) + len(models)} given. Name one, or two to compare side by side"
        )
    if segmenter and train_segmenter:
        raise UsageError("--train-segmenter: given together with --segmenter. Give one of them")
    if train_segmenter is not None and train_segmenter.suffix != ".safetensors":
        raise UsageError(
            f"--train-segmenter {train_segmenter}: not a .safetensors file. "
            "Give a name that ends in .safetensors"
        )
    for run in runs:
        if run.is_file():
            raise UsageError(f"{run}: a file, not a run. Give it with --model")


def _order(pair_order: str) -> "Direction":
    from imgtranslate.errors import nearest

    return "ba" if nearest(pair_order, ("ab", "ba"), what="--pair-order") == "ba" else "ab"


def _of_run(
    run: Path, places: "Places", start: str | None, *, resize: int, device: str
) -> list["Subject"]:
    from imgtranslate.evaluation.evaluate.subjects import subjects_of_run

    return subjects_of_run(run, places, directions=_directions(start), resize=resize, device=device)


def _of_model(
    file: Path, places: "Places", start: str | None, *, resize: int, device: str
) -> list["Subject"]:
    from imgtranslate.evaluation.evaluate.subjects import subjects_of_model

    subjects = subjects_of_model(file, places, resize=resize, device=device)
    if subjects[0].header.direction not in _directions(start):
        raise UsageError(f"--from {start}: {file} translates the other way. Leave --from out")
    return subjects


def _directions(start: str | None) -> list["Direction"]:
    from imgtranslate.errors import nearest

    match start and nearest(start.lower(), ("a", "b"), what="--from"):
        case "a":
            return ["ab"]
        case "b":
            return ["ba"]
        case _:
            return ["ab", "ba"]


def _with_weights(options: "Options", *, inception: Path | None, lpips: Path | None) -> "Options":
    """Return the options with the pretrained networks."""
    from dataclasses import replace

    if inception is not None:
        from imgtranslate.metrics.inception import load_inception

        options = replace(options, inception=load_inception(inception))
    if lpips is not None:
        from imgtranslate.metrics.lpips import load_lpips

        options = replace(options, lpips=load_lpips(lpips))
    return options


def _with_segmenter(
    options: "Options", subject: "Subject", *, given: Path | None, place: Path | None, steps: int
) -> "Options":
    """Return the options with a segmenter that is read, or trained and saved."""
    from dataclasses import replace

    if given is not None:
        from imgtranslate.metrics.segmenter import load_segmenter

        return replace(options, segmenter=load_segmenter(given))
    if place is None:
        return options
    from imgtranslate.evaluation.evaluate.label_sides import train_on

    segmenter = train_on(
        subject, steps=steps, palette=options.palette, seed=options.seed, tell=_told_of(steps)
    )
    segmenter.save(place)
    say(f"wrote {place}: {len(segmenter.palette)} classes")
    return replace(options, segmenter=segmenter)


def _told_of(steps: int) -> Callable[[int, float], None]:
    def tell(step: int, loss: float) -> None:
        if step % TOLD_EVERY == 0 or step == steps:
            say(f"segmenter: step {step} of {steps}, loss {loss:.3f}")

    return tell


def _tell(line: str) -> None:
    if is_terminal():
        say(line)


def _show(found: list[list["Evaluation"]], *, as_json: bool) -> None:
    from imgtranslate.cli.evaluate_display import write_tables
    from imgtranslate.evaluation.evaluate.evaluation import document

    if as_json:
        result(json.dumps(document(found).to_json()))
    else:
        write_tables(found)


def _save(runs: list[Path], found: list[list["Evaluation"]], *, device: str) -> None:
    """Save each run's own column in the run."""
    from imgtranslate.evaluation.evaluate.evaluation import document

    for run, column in zip(runs, found, strict=True):
        save(run, document([column]), device=device)
