"""``imgtranslate evaluate``."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.completion import complete_model, complete_run
from imgtranslate.cli.evaluate_display import Columns, to_csv, write_tables
from imgtranslate.cli.options import Device, Gpu, device_of, directions_from, option
from imgtranslate.cli.report import save
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import (
    examples,
    is_terminal,
    result,
    say,
    say_error,
    say_notice,
    with_flags,
)
from imgtranslate.errors import UsageError, counted, nearest

if TYPE_CHECKING:
    from imgtranslate.evaluation.evaluate.evaluation import Evaluation

EPILOG = examples(
    "imgtranslate evaluate runs/horses2zebras",
    "imgtranslate evaluate runs/first runs/second",
    "imgtranslate evaluate runs/first runs/second runs/third --csv",
    "imgtranslate evaluate runs/labels2photos --train-segmenter segmenter.safetensors",
    "imgtranslate evaluate --model ab.safetensors --a ./horses --b ./zebras --json",
)
TOLD_EVERY = 50  # steps of the segmenter
STOPPING = "stopping: the pictures translated so far are measured"
picture_option = partial(
    option, rich_help_panel="Pictures, in place of the held-out ones of the run"
)
outside_option = partial(option, rich_help_panel="Palettes and pretrained networks")


def evaluate(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...",
            help="Folder of a run to measure, or of several runs to compare.",
            autocompletion=complete_run,
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        option(
            "FILE",
            "Model file to measure, in place of a run; give it again to compare several.",
            autocompletion=complete_model,
        ),
    ] = None,
    a: Annotated[Path | None, picture_option("DIR", "Folder with pictures of A.", "--a")] = None,
    b: Annotated[Path | None, picture_option("DIR", "Folder with pictures of B.", "--b")] = None,
    pairs: Annotated[
        Path | None,
        picture_option(
            "DIR|FILE.csv",
            "Pairs, in place of --a and --b: a folder of pictures side by side, or a CSV "
            "file with two columns of paths.",
        ),
    ] = None,
    pair_order: Annotated[
        str,
        picture_option(
            "ab|ba", "Order in --pairs: with ab, the left half or first column is A; with ba, B."
        ),
    ] = "ab",
    paired: Annotated[
        bool,
        picture_option("", "Treat pictures of equal names in --a and --b as pairs.", "--paired"),
    ] = False,
    start: Annotated[
        str | None,
        option("a|b", "Translate pictures of this domain only.", "--from", show_default="both"),
    ] = None,
    resize: Annotated[
        int,
        option("PX", "Resize the shorter side to this before measuring; 0 keeps the size.", min=0),
    ] = 0,
    limit: Annotated[
        int, option("N", "Most pictures of each side to use, evenly spread.", min=1)
    ] = 500,
    samples: Annotated[
        int,
        option(
            "N", "Samples of each picture that measure the diversity of BicycleGAN.", min=1, max=100
        ),
    ] = 5,
    seed: Annotated[
        int, option("N", "Random seed of codes, resampling and the segmenter.", min=0)
    ] = 0,
    palette: Annotated[
        Path | None,
        outside_option(
            "FILE", "Colours of a label map: red, green and blue in each line, such as 0 0 255."
        ),
    ] = None,
    segmenter: Annotated[
        Path | None,
        outside_option("FILE", "Segmenter that reads label classes from translated photos."),
    ] = None,
    train_segmenter: Annotated[
        Path | None,
        outside_option(
            "FILE", "Train a segmenter on the real pairs of the run, save it here, and use it."
        ),
    ] = None,
    segmenter_steps: Annotated[
        int, outside_option("N", "Steps of --train-segmenter.", min=1)
    ] = 1000,
    inception: Annotated[
        Path | None, outside_option("FILE.pth", "Inception-v3 weights, for FID and KID.")
    ] = None,
    lpips: Annotated[Path | None, outside_option("FILE.pth", "AlexNet weights, for LPIPS.")] = None,
    as_json: Annotated[
        bool, option("", "Print one JSON object in place of tables.", "--json")
    ] = False,
    as_csv: Annotated[
        bool, option("", "Print a row for each figure in place of tables, as CSV.", "--csv")
    ] = False,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Measure the quality of a run or model on pictures that it was not trained on.

    The measures depend on the pictures: pairs, label maps, or two unpaired sets.
    A line names those that lack something, such as weights or pictures. Each
    figure from 5 or more pictures has a 95 % interval. Below it stand its
    baselines, such as the figure of the untouched input. Three runs or more are
    ranked by each measure, and must have the same pictures. Figures of the
    held-out pictures of a run are saved in the run and shown on its report.html.
    The exit status is 1 if a picture fails.
    """
    from imgtranslate.evaluation.evaluate import evaluation, measures, subjects
    from imgtranslate.evaluation.evaluate.label_sides import train_on
    from imgtranslate.metrics.inception import load_inception
    from imgtranslate.metrics.lpips import load_lpips
    from imgtranslate.metrics.segmenter import load_segmenter

    if as_json and as_csv:
        raise UsageError("--csv: cannot be combined with --json. Give one of them")
    _check(runs or [], model or [], segmenter=segmenter, train_segmenter=train_segmenter)

    # Choose what to measure: the directions of each run, or the direction of each model.
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
            raise UsageError(
                f"--from {start}: {file} translates the other direction. Leave --from out"
            )
        columns.append(column)
    subjects.refuse_incomparable(columns)

    # Load the networks to measure with.
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
        classes = counted(len(network.palette), "class", "classes")
        say(f"wrote {train_segmenter}: {classes}")
        options = replace(options, segmenter=network)

    noticed: set[str] = set()

    def notice(line: str) -> None:
        if line not in noticed:  # several runs have the same pictures
            noticed.add(line)
            say_notice(f"warning: {line}")

    found: list[Columns] = []
    with stop_on_signals(STOPPING) as stopped:
        for column in columns:
            found.append([])
            for subject in column:
                if not stopped.is_set():
                    one = evaluation.evaluate(
                        subject,
                        options,
                        tell=_tell,
                        notice=notice,
                        stop=stopped.is_set,
                    )
                    found[-1].append(_with_flags(one))
    engines = {
        f"{one.translator.device} with {one.translator.runtime}"
        for column in columns
        for one in column
    }
    say(f"translated on {' and '.join(sorted(engines))}")
    found = [column for column in found if column]
    figures = [one.figures for column in found for one in column]
    partial = len(figures) < sum(map(len, columns)) or any(each.partial for each in figures)
    if as_json:
        result(json.dumps(evaluation.document(found, partial=partial).to_json()))
    elif as_csv:
        result(to_csv(found))
    else:
        write_tables(found)
    if partial:
        say("partial: stopped before all was measured, and not saved in a run")
    elif runs and not places.given:
        for run, own in zip(runs, found, strict=True):
            save(run, evaluation.document([own]), device=chosen)
    failures = [failure for one in figures for failure in one.failed]
    for failure in failures:
        say_error(f"failed: {failure.path}: {failure.reason}")
    for each in figures:
        if not each.measures:
            say(f"{each.name}, {each.direction}: no measure applies to the pictures")
    if partial:
        raise typer.Exit(stopped.exit_code)
    if failures:
        raise typer.Exit(1)


def _check(
    runs: list[Path], models: list[Path], *, segmenter: Path | None, train_segmenter: Path | None
) -> None:
    if runs and models:
        raise UsageError("--model: cannot be combined with a run. Give runs or model files")
    if not runs and not models:
        raise UsageError("RUN: not given. Name the folder of a run, or a model with --model")
    if segmenter and train_segmenter:
        raise UsageError("--train-segmenter: cannot be combined with --segmenter. Give one of them")
    if train_segmenter is not None and train_segmenter.suffix != ".safetensors":
        raise UsageError(
            f"--train-segmenter {train_segmenter}: does not end in .safetensors. "
            f"Use {train_segmenter.with_suffix('.safetensors')}"
        )
    for run in runs:
        if run.is_file():
            raise UsageError(f"{run}: a file, not a run. Give it with --model")


def _with_flags(found: "Evaluation") -> "Evaluation":
    """Name flags in the reasons why measures were left out."""
    left_out = {name: with_flags(reason) for name, reason in found.figures.left_out.items()}
    return replace(found, figures=found.figures.model_copy(update={"left_out": left_out}))


def _tell(line: str) -> None:
    if is_terminal():
        say(line)
