"""``imgtranslate evaluate``."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from imgtranslate.cli.options import Device, Gpu, device_of, directions_from
from imgtranslate.cli.report import save
from imgtranslate.cli.terminal import examples, is_terminal, result, say, say_error
from imgtranslate.errors import UsageError, nearest

EPILOG = examples(
    "imgtranslate evaluate runs/horses2zebras",
    "imgtranslate evaluate runs/first runs/second",
    "imgtranslate evaluate runs/labels2photos --train-segmenter segmenter.safetensors",
    "imgtranslate evaluate --model ab.safetensors --a ./horses --b ./zebras --json",
)
TOLD_EVERY = 50  # steps of the segmenter
picture_option = partial(typer.Option, rich_help_panel="Pictures, instead of those held out")
outside_option = partial(typer.Option, rich_help_panel="Networks and palettes")


def evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN...", help="One run, or two side by side.")
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A model file; twice for two side by side."),
    ] = None,
    a: Annotated[Path | None, picture_option("--a", metavar="DIR", help="Pictures of A.")] = None,
    b: Annotated[Path | None, picture_option("--b", metavar="DIR", help="Pictures of B.")] = None,
    pairs: Annotated[
        Path | None, picture_option(metavar="DIR|FILE.csv", help="Pairs side by side.")
    ] = None,
    pair_order: Annotated[str, picture_option(help="ab: A is the left half.")] = "ab",
    paired: Annotated[
        bool, picture_option("--paired", help="Equal names in --a and --b belong together.")
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
        outside_option(metavar="FILE", help="Label colours, one a line: 0 0 255."),
    ] = None,
    segmenter: Annotated[
        Path | None, outside_option(metavar="FILE", help="Reads classes from photos.")
    ] = None,
    train_segmenter: Annotated[
        Path | None,
        outside_option(
            metavar="FILE", help="Train one on the run's real pairs, keep it here, use it."
        ),
    ] = None,
    segmenter_steps: Annotated[int, outside_option(help="How long to train it.", min=1)] = 1000,
    inception: Annotated[
        Path | None,
        outside_option(metavar="FILE.pth", help="Inception weights, for FID and KID."),
    ] = None,
    lpips: Annotated[
        Path | None, outside_option(metavar="FILE.pth", help="AlexNet, for LPIPS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object.")] = False,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Measure how good a run or a model is on pictures it did not learn from.

    What can be measured follows from the pictures: pairs, labels, or two
    sets. What was left out is said, with the reason. Each figure has its 95 %
    interval. Figures of the pictures that a run held out stay in the run, on
    its report.html. The exit status is 1 if a picture failed.
    """
    from imgtranslate.cli.evaluate_display import write_tables
    from imgtranslate.evaluation.evaluate import evaluation, measures, subjects
    from imgtranslate.evaluation.evaluate.label_sides import train_on
    from imgtranslate.metrics.inception import load_inception
    from imgtranslate.metrics.lpips import load_lpips
    from imgtranslate.metrics.segmenter import load_segmenter

    _check(runs or [], model or [], segmenter=segmenter, train_segmenter=train_segmenter)

    # What to measure: the directions of each run, or that of each model
    order = nearest(pair_order, ("ab", "ba"), what="--pair-order")
    places = subjects.Places(
        a=a, b=b, pairs=pairs, pair_order="ba" if order == "ba" else "ab", paired=paired
    )
    ways, chosen = directions_from(start), device_of(device, gpu)
    columns = [
        subjects.subjects_of_run(run, places, directions=ways, resize=resize, device=chosen)
        for run in runs or []
    ]
    for file in model or []:
        column = subjects.subjects_of_model(file, places, resize=resize, device=chosen)
        if column[0].header.direction not in ways:
            raise UsageError(f"--from {start}: {file} translates the other way. Leave --from out")
        columns.append(column)

    # With what
    options = measures.EvaluateOptions(
        limit=limit,
        samples=samples,
        seed=seed,
        palette=palette,
        inception=load_inception(inception) if inception else None,
        lpips=load_lpips(lpips) if lpips else None,
        segmenter=load_segmenter(segmenter) if segmenter else None,
    )
    if train_segmenter is not None:

        def tell_loss(step: int, loss: float) -> None:
            if step % TOLD_EVERY == 0 or step == segmenter_steps:
                say(f"segmenter: step {step} of {segmenter_steps}, loss {loss:.3f}")

        network = train_on(
            columns[0][0], steps=segmenter_steps, palette=palette, seed=seed, tell=tell_loss
        )
        network.save(train_segmenter)
        say(f"wrote {train_segmenter}: {len(network.palette)} classes")
        options = replace(options, segmenter=network)

    found = [
        [evaluation.evaluate(subject, options, tell=_tell) for subject in column]
        for column in columns
    ]
    if as_json:
        result(json.dumps(evaluation.document(found).to_json()))
    else:
        write_tables(found)
    if runs and not places.given:
        for run, own in zip(runs, found, strict=True):
            save(run, evaluation.document([own]), device=chosen)
    figures = [one.figures for column in found for one in column]
    failures = [failure for one in figures for failure in one.failed]
    for failure in failures:
        say_error(f"failed: {failure.path}: {failure.reason}")
    for one in figures:
        if not one.measures:
            say(f"{one.name}, {one.direction}: nothing could be measured. See what was left out")
    if failures:
        raise typer.Exit(1)


def _check(
    runs: list[Path], models: list[Path], *, segmenter: Path | None, train_segmenter: Path | None
) -> None:
    if runs and models:
        raise UsageError("--model: given together with a run. Give one or the other")
    if not runs and not models:
        raise UsageError("RUN: not given. Name a run's folder, or a file with --model")
    count = len(runs) + len(models)
    if count > 2:
        raise UsageError(f"RUN: {count} given. Name one, or two to compare side by side")
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


def _tell(line: str) -> None:
    if is_terminal():
        say(line)
