"""``imgtranslate evaluate``."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.completion import complete_model, complete_run
from imgtranslate.cli.options import Device, Gpu, device_of, directions_from, option
from imgtranslate.cli.report import save
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import (
    examples,
    is_terminal,
    printable,
    result,
    say,
    say_error,
    say_notice,
    with_flags,
)
from imgtranslate.errors import UsageError, counted, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from imgtranslate.evaluation.evaluate.evaluation import Evaluation
    from imgtranslate.evaluation.evaluate.schema import DirectionFigures, Figure, Rank
    from imgtranslate.metrics.estimate import Difference

Columns = list["Evaluation"]  # one for each run, all of the same direction
EPILOG = examples(
    "imgtranslate evaluate runs/horses2zebras",
    "imgtranslate evaluate runs/first runs/second",
    "imgtranslate evaluate runs/first runs/second runs/third --csv",
    "imgtranslate evaluate runs/labels2photos --train-segmenter segmenter.safetensors",
    "imgtranslate evaluate --model ab.safetensors --a ./horses --b ./zebras --json",
)
TOLD_EVERY = 50  # steps of the segmenter
WIDTH = 120  # characters, if stdout is not a terminal
CSV_COLUMNS = (
    *("run", "direction", "source", "target", "step", "measure"),
    *("better", "value", "low", "high", "pictures", "best_rank", "worst_rank"),
)
RANKS = (
    "rank 1 is best; runs share ranks, as in 1-2, if the interval of their difference includes 0"
)
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
        result(_csv(found))
    else:
        _write_tables(found)
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


def _write_tables(found: list[Columns]) -> None:
    """Print a table for each direction to stdout, and below it the measures that lack something."""
    from rich.console import Console

    from imgtranslate.evaluation.evaluate.evaluation import side_by_side

    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=WIDTH)
    for columns in side_by_side(found):
        console.print(_table(columns) if len(columns) < 3 else _ranking(columns))
        for line in _notes(columns):
            result(printable(line))


def _table(columns: Columns) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from imgtranslate.evaluation.evaluate.evaluation import differences
    from imgtranslate.evaluation.evaluate.schema import title_of

    first = columns[0].figures
    title = Text(printable(f"{first.source} to {first.target}"))
    table = Table(title=title, title_justify="left")
    table.add_column("measure", no_wrap=True)
    for one in columns:
        table.add_column(Text(printable(one.figures.name)), justify="right")
    if len(columns) > 1:
        table.add_column("difference", justify="right")
    apart = differences(columns[0], columns[1]) if len(columns) > 1 else {}
    measures = [one.figures.measures for one in columns]
    for name in dict.fromkeys(name for found in measures for name in found):
        better = next(found[name].better for found in measures if name in found)
        cells = [_cell(found.get(name)) for found in measures]
        if len(columns) > 1:
            difference = apart.get(name)
            unclear = difference is not None and not difference.is_clear
            cells.append(_cell(difference, sign="+") + (" unclear" if unclear else ""))
        table.add_row(title_of(name, better=better), *cells)
    return table


def _ranking(columns: Columns) -> "Table":
    """Return a table with the runs below each measure, the best first."""
    from rich.table import Table
    from rich.text import Text

    from imgtranslate.evaluation.evaluate.evaluation import ranks
    from imgtranslate.evaluation.evaluate.schema import title_of

    first = columns[0].figures
    table = Table(title=Text(printable(f"{first.source} to {first.target}")), title_justify="left")
    table.add_column("measure", overflow="fold")
    table.add_column("figure (95 % interval)", justify="right", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    for name, places in ranks(columns).items():
        if name.startswith("swd_"):  # a level of the distance; JSON and CSV have them
            continue
        found = [(one.figures, one.figures.measures.get(name)) for one in columns]
        better = next(figure.better for _, figure in found if figure is not None)
        table.add_section()
        table.add_row(title_of(name, better=better), "", "")
        rows = [
            (figure.value, printable(run.name), figure, str(place))
            for (run, figure), place in zip(found, places, strict=True)
            if figure is not None
        ]
        for _, label, figure, place in sorted(
            rows, key=lambda row: row[0], reverse=better == "higher"
        ):
            table.add_row(Text(f"  {label}"), _cell(figure), place)
        for title, figure in _baselines(columns, name):
            table.add_row(title, _cell(figure), "")
    return table


def _baselines(columns: Columns, name: str) -> Iterator[tuple[str, "Figure"]]:
    """Yield the baselines of a measure, once if they are the same for all runs."""
    from imgtranslate.evaluation.evaluate.schema import BASELINES

    for end, title in BASELINES.items():
        found = [one.figures.measures.get(f"{name}{end}") for one in columns]
        for figure in dict.fromkeys(figure for figure in found if figure is not None):
            yield title, figure


def _csv(found: list[Columns]) -> str:
    """Write a row for each figure of each run; ranks of three runs or more."""
    from imgtranslate.evaluation.evaluate.evaluation import ranks, side_by_side

    places: dict[tuple[str, str, int], Rank | None] = {}
    if len(found) > 2:
        for columns in side_by_side(found):
            for name, row in ranks(columns).items():
                way = columns[0].figures.direction
                places |= {(way, name, number): place for number, place in enumerate(row)}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for number, run in enumerate(found):
        for one in (evaluation.figures for evaluation in run):
            for name, figure in one.measures.items():
                place = places.get((one.direction, name, number))
                low, high = figure.interval or ("", "")
                table.writerow(
                    [one.name, one.direction, one.source, one.target, one.step, name]
                    + [figure.better, figure.value, low, high, figure.count]
                    + ([place.best, place.worst] if place else ["", ""])
                )
    return text.getvalue().removesuffix("\n")


def _cell(figure: "Figure | Difference | None", *, sign: str = "") -> str:
    from imgtranslate.evaluation.evaluate.schema import figure_of

    if figure is None:
        return "-"
    value, *interval = (figure_of(each, sign) for each in (figure.value, *figure.interval))
    return f"{value} ({' to '.join(interval)})" if interval else value


def _notes(columns: Columns) -> Iterator[str]:
    from imgtranslate.evaluation.evaluate.schema import left_out_line

    counts = [_counts(one.figures) for one in columns]
    if len(columns) > 2 and len(set(counts)) == 1:
        yield f"each run: {counts[0]}"
    else:
        yield from (f"{one.figures.name}: {n}" for one, n in zip(columns, counts, strict=True))
    if len(columns) > 2:
        yield RANKS
    if line := left_out_line(columns[0].figures.left_out):
        yield line
    if any(one.files != columns[0].files for one in columns):
        yield "the runs were measured on different pictures, so differences are less certain"


def _counts(figures: "DirectionFigures") -> str:
    sizes, counts, resize = figures.sizes, figures.counts, figures.resize
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"
    kind = "pairs" if figures.paired else counted(counts.real, "real picture")
    resized = f"resized ({resize.method})" if resize else "not resized"
    pictures = counted(counts.translated, "translated picture")
    return f"step {figures.step:,}, {pictures}, {kind}, {size} px, {resized}"
