"""``imgtranslate cycle-check``."""

import contextlib
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
from imgtranslate.errors import CheckpointError, UsageError, counted, nearest

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
    "imgtranslate cycle-check ./horses --ab ab.safetensors --fail-on loses-content",
)
ROWS = 20  # pictures in the table
ONE_WAY_CELLS = ("content", "change", "bright")
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
    run: Annotated[Path | None, option("RUN", "Run whose models are checked.")] = None,
    ab: Annotated[
        Path | None, option("FILE", "Model from A to B, in place of --run.", "--ab")
    ] = None,
    ba: Annotated[
        Path | None,
        option("FILE", "Model from B to A, the way back. Without it content is checked.", "--ba"),
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
            "inverts-brightness, recovers-nothing, does-nothing or recovers-in-part; "
            "loses-content without a way back. Repeatable.",
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
    brightness, recovers nothing, does nothing, recovers in part. A model without a
    way back, as of cut or pix2pix, is checked for kept content instead: do the edges
    of translation and picture agree? Its faults are collapsed, inverts brightness,
    loses content, does nothing. A check of the held-out pictures of a run is saved
    in the run and shown on its report.html.
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
    headers = [read_model_header(model) for model in models]
    both = len(models) == 2
    _refuse_unjudged(verdicts, fail_above, both=both, model=run or models[0])
    sources = _sources(inputs or [], run, start, headers)
    if output is not None:
        refuse_output(output, sources)
    if both:
        refuse_unless_pair(*headers)
    forward, *rest = (load(model, device=device_of(device, gpu)) for model in models)
    backward = rest[0] if rest else None
    domains = (forward.header.source, forward.header.target)
    way = " → ".join(domains) + (" and back" if both else "")
    say(f"{way} on {forward.device} with {forward.runtime}")
    if not both:
        say(f"{run or ab}: has no way back, so the kept content is checked, not the cycle")

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
        generator = backward if way == "ba" and backward is not None else forward
        identities[way] = identity_errors(run, translator=generator)
    found = results_of(
        scores,
        identities=identities,
        steps={header.direction: header.step for header in headers},
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


def _refuse_unjudged(
    verdicts: "Sequence[Verdict]", fail_above: float | None, *, both: bool, model: Path
) -> None:
    """Raise ``UsageError`` for a requirement that these models cannot meet or miss."""
    from imgtranslate.evaluation.cycle_check.verdicts import ONE_WAY_FAULTS

    if both and "loses content" in verdicts:
        raise UsageError(
            "--fail-on loses-content: is judged of models without a way back. Use recovers-nothing"
        )
    if both:
        return
    if fail_above is not None:
        raise UsageError(
            f"--fail-above: {model} has no way back, so no cycle error. Use --fail-on loses-content"
        )
    spelled = [fault.replace(" ", "-") for fault in ONE_WAY_FAULTS]
    for verdict in verdicts:
        if verdict not in (*ONE_WAY_FAULTS, "healthy", "not judged"):
            raise UsageError(
                f"--fail-on {verdict.replace(' ', '-')}: {model} has no way back. "
                f"Use {', '.join(spelled[:-1])} or {spelled[-1]}"
            )


def _models(run: Path | None, ab: Path | None, ba: Path | None) -> list[Path]:
    """Return the files of both models, or of the only one if there is no way back."""
    if run is not None and (ab or ba):
        raise UsageError("--run: cannot be combined with --ab or --ba. Give a run or two models")
    if run is not None:
        from imgtranslate.translation.translator import find_model

        models = [find_model(run, direction="ab")]
        with contextlib.suppress(CheckpointError):  # trained in one direction only
            models.append(find_model(run, direction="ba"))
        return models
    if ab is None:
        raise UsageError(
            "--run: not given. Name the folder of a run, two models with --ab and --ba, or --ab "
            "alone for a model without a way back"
        )
    return [ab] if ba is None else [ab, ba]


def _sources(
    inputs: list[str], run: Path | None, start: str | None, headers: "Sequence[ModelHeader]"
) -> list["CycleSource"]:
    """Find the pictures to check: the inputs, or the held-out pictures of the run."""
    from imgtranslate.evaluation.cycle_check.check import find_sources, held_out_sources

    directions = directions_from(start)
    if len(headers) == 1:
        only = headers[0]
        if start is not None and directions != [only.direction]:
            raise UsageError(
                f"--from {start}: the only model translates {only.source} to {only.target}. "
                "Leave the option out"
            )
        directions = [only.direction]
        headers = [only, only]
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
    one_way = any(row.content is not None or row.mae is None for row in rows)
    titles = ONE_WAY_CELLS if one_way else ("error", "PSNR", "SSIM", "change", "identity")
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
    from imgtranslate.evaluation.cycle_check.schema import worst_of

    source, target = map(printable, domains)
    spreads = dict(found)
    back = " and back" if found.mae is not None else ""
    lines = [f"{source} → {target}{back}, {counted(found.count, 'picture')}:"]
    lines.append(_cells("", ("mean", "spread", "95 % interval")))
    lines += [_spread_line(said, spreads[key]) for key, said in found.titles.items()]
    if found.other_content is not None:
        lines.insert(3, _cells("  with other pictures", (f"{found.other_content:.4f}",)))
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
    if row.mae is None:
        figures = (row.content, row.change, row.brightness)
        return _cells(row.path, ["-" if n is None else f"{n:.4f}" for n in figures])
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
