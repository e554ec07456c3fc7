"""``imgtranslate cycle-check``."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.options import Device, Gpu, device_of, directions_from, option
from imgtranslate.cli.report import save
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, printable, progress_bar, result, say, say_error
from imgtranslate.errors import UsageError, counted, nearest

if TYPE_CHECKING:
    from imgtranslate.evaluation.cycle_check.schema import (
        CycleCheckFile,
        DirectionFigures,
        Row,
        Spread,
    )
    from imgtranslate.evaluation.cycle_check.scores import CycleScore, CycleSource
    from imgtranslate.evaluation.cycle_check.verdicts import Verdict
    from imgtranslate.model_files.checkpoint import ModelHeader

EPILOG = examples(
    "imgtranslate cycle-check --run runs/horses2zebras",
    "imgtranslate cycle-check ./horses --run runs/horses2zebras -o cycles.png",
    "imgtranslate cycle-check ./zebras --run runs/horses2zebras --from b --json",
    "imgtranslate cycle-check ./horses --ab ab.safetensors --ba ba.safetensors --fail-above 0.1",
    "imgtranslate cycle-check --run runs/horses2zebras --fail-on collapsed --fail-on does-nothing",
)
ROWS = 20  # pictures in the table
NAME = 30  # columns; with five cells a line has 80
LINE = 80  # columns of a sentence
STOPPING = "stopping after this picture"


def cycle_check(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Pictures, folders or globs to check.",
            show_default="the held-out pictures of the run",
        ),
    ] = None,
    run: Annotated[Path | None, option("RUN", "Run whose two models are checked.")] = None,
    ab: Annotated[
        Path | None, option("FILE", "Model from A to B, in place of --run.", "--ab")
    ] = None,
    ba: Annotated[
        Path | None, option("FILE", "Model from B to A, in place of --run.", "--ba")
    ] = None,
    start: Annotated[
        str | None,
        option(
            "a|b",
            "Domain of the pictures to check.",
            "--from",
            show_default="a for INPUT, both for a run",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        option(
            "DIR|FILE.png",
            "Write Real | Fake | Recovered: a folder gets one file per picture, a .png file "
            "up to 8 pictures. Existing files are replaced.",
            "--output",
            "-o",
        ),
    ] = None,
    as_json: Annotated[
        bool, option("", "Print one JSON object with images, summary and verdict.", "--json")
    ] = False,
    fail_above: Annotated[
        float | None, option("X", "Exit with status 1 if the mean error is above X, from 0 to 1.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        option(
            "VERDICT",
            "Exit with status 1 on this verdict: hides-information, collapsed, "
            "inverts-brightness, recovers-nothing, does-nothing or recovers-in-part. Repeatable.",
        ),
    ] = None,
    device: Device = "auto",
    gpu: Gpu = None,
) -> None:
    """Translate pictures there and back, measure the cycle error, and give a verdict.

    The error is the mean of |F(G(x)) - x| as a share of the full range, from 0 to 1.
    It is measured again with the translation saved as JPEG, with slight noise, and
    slightly blurred. The change is the difference between picture and translation.
    The verdict is healthy, or names a fault: hides information, collapsed, inverts
    brightness, recovers nothing, does nothing, recovers in part. A check of the
    held-out pictures of a run is saved in the run and shown on its report.html.
    The exit status is 1 if a picture fails, the error exceeds --fail-above, or a
    verdict of --fail-on is found.
    """
    from imgtranslate.evaluation.cycle_check.check import (
        check_sources,
        identity_errors,
        refuse_unless_pair,
    )
    from imgtranslate.evaluation.cycle_check.drawing import refuse_output
    from imgtranslate.evaluation.cycle_check.results import results_of
    from imgtranslate.model_files.checkpoint import read_model_header
    from imgtranslate.translation.translator import load

    if fail_above is not None and not 0 <= fail_above <= 1:
        raise UsageError(
            f"--fail-above {fail_above:g}: not in 0 to 1, the full range. Use a number such as 0.05"
        )
    verdicts = [_verdict(name) for name in fail_on or []]
    models = _models(run, ab, ba)
    headers = tuple(read_model_header(model) for model in models)
    sources = _sources(inputs or [], run, start, headers)
    if output is not None:
        refuse_output(output, sources)
    refuse_unless_pair(*headers)
    forward, backward = (load(model, device=device_of(device, gpu)) for model in models)
    domains = (forward.header.source, forward.header.target)
    say(f"{' → '.join(domains)} and back on {forward.device} with {forward.runtime}")

    scores: list[CycleScore] = []
    with stop_on_signals(STOPPING) as stopped, progress_bar("checking") as show:
        checked = check_sources(
            sources,
            ab=forward,
            ba=backward,
            output=output,
            stop=stopped.is_set,
            notice=lambda line: say(f"warning: {line}"),
        )
        for score in checked:
            scores.append(score)
            show(len(scores), len(sources))
    partial = len(scores) < len(sources)

    # With pictures of one side, measure the identity errors on the other side of the run.
    ways, identities = {source.direction for source in sources}, {}
    if run is not None and len(ways) == 1 and not partial:
        (way,) = ways
        identities[way] = identity_errors(run, translator=forward if way == "ab" else backward)
    found = results_of(
        scores,
        identities=identities,
        steps={model.header.direction: model.header.step for model in (forward, backward)},
        fail_above=fail_above,
        fail_on=verdicts,
        partial=partial,
    )
    for row in found.images:
        if row.error is not None:
            say_error(f"failed: {row.path}: {row.error}")
    result(json.dumps(found.to_json()) if as_json else "\n".join(_table(found, domains=domains)))
    if partial:
        say(f"partial: stopped after {len(scores):,} of {counted(len(sources), 'picture')}")
        raise typer.Exit(stopped.exit_code)
    if run is not None and not inputs:
        save(run, found, device=str(forward.device))
    if found.summary.failed or found.summary.shortfalls:
        raise typer.Exit(1)


def _verdict(name: str) -> "Verdict":
    """Find the verdict of this name, with or without hyphens."""
    from imgtranslate.evaluation.cycle_check.verdicts import VERDICTS

    spelled = {verdict.replace(" ", "-"): verdict for verdict in VERDICTS}
    dashed = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    return spelled[nearest(dashed, spelled, what="--fail-on")]


def _models(run: Path | None, ab: Path | None, ba: Path | None) -> tuple[Path, Path]:
    """Return the files of both models."""
    if run is not None and (ab or ba):
        raise UsageError("--run: cannot be combined with --ab or --ba. Give a run or two models")
    if run is not None:
        from imgtranslate.translation.translator import find_model

        return find_model(run, direction="ab"), find_model(run, direction="ba")
    if ab is None or ba is None:
        raise UsageError(
            "--run: not given. Name the folder of a run, or two models with --ab and --ba"
        )
    return ab, ba


def _sources(
    inputs: list[str], run: Path | None, start: str | None, headers: "tuple[ModelHeader, ...]"
) -> list["CycleSource"]:
    """Find the pictures to check: the inputs, or the held-out pictures of the run."""
    from imgtranslate.evaluation.cycle_check.check import find_sources, held_out_sources

    directions = directions_from(start)
    if inputs:
        header = headers[0 if directions[0] == "ab" else 1]
        return find_sources(inputs, direction=directions[0], channels=header.in_channels)
    if run is None:
        raise UsageError("INPUT: not given. Name pictures or a folder of them")
    return held_out_sources(run, directions=directions)


def _table(found: "CycleCheckFile", *, domains: tuple[str, str]) -> list[str]:
    """Write the pictures, the figures and verdict of each direction, and the overall verdict.

    ``domains``: the names of A and B.
    """
    rows = [row for row in found.images if row.error is None]
    titles = ("error", "PSNR", "SSIM", "change", "identity")
    lines = [_cells("", titles)] if rows else []
    lines += [_row_line(row) for row in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"… and {len(rows) - ROWS} more")
    for way, figures in found.summary.directions.items():
        here = [row for row in rows if row.direction == way]
        ends = domains if way == "ab" else domains[::-1]
        lines += ["", *_direction_lines(ends, figures, here)]
    lines += ["", *(_shortfall(line, domains) for line in found.summary.shortfalls)]
    measured = f"{len(rows)} of {len(found.images)} measured"
    measured += ", partial: stopped before the end" if found.partial else ""
    return [*lines, f"verdict: {found.verdict} ({measured})"]


def _direction_lines(
    domains: tuple[str, str], found: "DirectionFigures", rows: "Sequence[Row]"
) -> list[str]:
    from imgtranslate.evaluation.cycle_check.schema import TITLES, worst_of

    source, target = map(printable, domains)
    spreads = dict(found)
    lines = [f"{source} → {target} and back, {counted(found.count, 'picture')}:"]
    lines.append(_cells("", ("mean", "spread", "95 % interval")))
    lines += [_spread_line(said, spreads[key]) for key, said in TITLES.items()]
    if found.identity is None:
        lines.append(f"identity: not measured, without pictures of {target} of as many channels")
    else:
        pictures = counted(found.identity.count, "picture")
        lines.append(_spread_line(f"identity, {pictures}", found.identity))
    if found.count > len(found.worst):
        lines.append(f"worst {len(found.worst)}")
        lines += [_row_line(row) for row in worst_of(rows)]
    sentence = f"{' and '.join(found.verdicts)}: {found.reason}"
    return [*lines, *textwrap.wrap(sentence, LINE, initial_indent="-> ", subsequent_indent="   ")]


def _shortfall(line: str, domains: tuple[str, str]) -> str:
    """Name the domains in a reason to fail, which begins with its direction."""
    way, _, reason = line.partition(": ")
    source, target = domains if way == "ab" else domains[::-1]
    return f"fell short: {printable(source)} → {printable(target)}: {reason}"


def _spread_line(said: str, spread: "Spread | None") -> str:
    cells = spread.cells(".1f" if "dB" in said else ".4f") if spread else ["-", "-", "-"]
    return _cells(said, cells)


def _row_line(row: "Row") -> str:
    ratio = "equal" if row.psnr is None else f"{row.psnr:.1f}"
    error, *others = (
        "-" if number is None else f"{number:.4f}"
        for number in (row.mae, row.ssim, row.change, row.identity)
    )
    return _cells(row.path, (error, ratio, *others))


def _cells(name: str, cells: Sequence[str]) -> str:
    """Align cells after a name, of which a long one is shortened to its more telling end."""
    from rich.cells import cell_len

    name = shown = printable(name)
    while cell_len(shown) > NAME:
        name = name[1:]
        shown = f"…{name}"
    return shown + " " * (NAME - cell_len(shown)) + "".join(f"  {cell:>8}" for cell in cells)
