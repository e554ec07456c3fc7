"""``imgtranslate cycle-check``."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.terminal import examples, is_terminal, printable, result, say
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.translator import Translator
    from imgtranslate.workflows.cycle_check import (
        CycleFailure,
        CycleReport,
        CycleScore,
        CycleSummary,
    )
    from imgtranslate.workflows.cycle_files import CycleSource, Domain

EPILOG = examples(
    "imgtranslate cycle-check --run runs/horses2zebras",
    "imgtranslate cycle-check ./horses --run runs/horses2zebras -o cycles.png",
    "imgtranslate cycle-check ./zebras --run runs/horses2zebras --from b --json",
    "imgtranslate cycle-check ./horses --ab ab.safetensors --ba ba.safetensors --fail-above 0.1",
)
ROWS = 20  # of the table
SHORTEST_NAME, LONGEST_NAME = 28, 44  # characters


def cycle_check(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Pictures, folders of them, globs; else those that the run held out.",
        ),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A run with both of its models.")
    ] = None,
    ab: Annotated[
        Path | None, typer.Option("--ab", metavar="FILE", help="The model of A to B.")
    ] = None,
    ba: Annotated[
        Path | None, typer.Option("--ba", metavar="FILE", help="The model of B to A.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="a|b", help="Where the pictures belong: a, or b; a for INPUT."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR|FILE.png",
            help="A strip of each picture, or one figure of up to 8; replaced if there.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One object: images, summary, verdict.")
    ] = False,
    fail_above: Annotated[
        float | None,
        typer.Option(metavar="X", help="Exit 1 if the mean error is above X, 0 to 1."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    gpu: Annotated[str | None, typer.Option(help="Number of the GPU.")] = None,
) -> None:
    """Translate pictures there and back and measure what came back.

    The error is the mean of |F(G(x)) - x|, from 0 to 1, the full range. The
    change is how much the translation differs from the picture. Both are
    measured on 8-bit pictures, as saved files would be. The exit status is 1
    if a picture failed or the limit is passed.
    """
    from imgtranslate.workflows.cycle_check import CycleReport
    from imgtranslate.workflows.cycle_files import check_sources, refuse_output

    _check_limit(fail_above)
    models = _models(run, ab, ba)
    sources = _sources(inputs or [], run, start, models)
    if output is not None:
        refuse_output(output, sources)
    forward, backward = _load(models, device=device, gpu=gpu)
    outcomes = check_sources(sources, ab=forward, ba=backward, output=output)
    report = CycleReport(
        outcomes=tuple(_followed(outcomes, total=len(sources))), fail_above=fail_above
    )
    for failure in report.failures:
        say(f"failed: {failure.path}: {failure.reason}")
    result(json.dumps(report.to_json()) if as_json else "\n".join(_table(report)))
    if report.failures or report.verdict == "failed":
        raise typer.Exit(1)


def _check_limit(fail_above: float | None) -> None:
    if fail_above is not None and not 0 <= fail_above <= 1:
        raise UsageError(
            f"--fail-above {fail_above:g}: not a share of the full range. Give 0 to 1, as in 0.05"
        )


def _models(run: Path | None, ab: Path | None, ba: Path | None) -> tuple[Path, Path]:
    """The two model files; a run gives both."""
    if run is not None and (ab or ba):
        raise UsageError("--run: given together with --ab or --ba. Give one or the other")
    if run is not None:
        from imgtranslate.translator import find_model

        return find_model(run, direction="ab"), find_model(run, direction="ba")
    if ab is None or ba is None:
        raise UsageError("--run: not given. Name a run's folder, or both models by --ab and --ba")
    return ab, ba


def _sources(
    inputs: list[str], run: Path | None, start: str | None, models: tuple[Path, Path]
) -> list["CycleSource"]:
    from imgtranslate.checkpoint import read_model_header
    from imgtranslate.workflows.cycle_files import find_sources, held_out_sources

    domain = _domain(start)
    if inputs:
        header = read_model_header(models[1 if domain == "b" else 0])
        return find_sources(inputs, domain=domain or "a", channels=header.in_channels)
    if run is None:
        raise UsageError("INPUT: not given. Name pictures or a folder of them")
    return held_out_sources(run, domains=[domain] if domain else ["a", "b"])


def _domain(start: str | None) -> "Domain | None":
    from imgtranslate.errors import nearest

    match start and nearest(start.lower(), ("a", "b"), what="--from"):
        case "a":
            return "a"
        case "b":
            return "b"
        case _:
            return None


def _load(
    models: tuple[Path, Path], *, device: str, gpu: str | None
) -> tuple["Translator", "Translator"]:
    """Refuse two models that are not a pair by their headers alone, then load both."""
    from imgtranslate.checkpoint import read_model_header
    from imgtranslate.device import device_of_gpu
    from imgtranslate.translator import load
    from imgtranslate.workflows.cycle_check import refuse_unless_pair

    refuse_unless_pair(read_model_header(models[0]), read_model_header(models[1]))
    chosen = device_of_gpu(gpu) if gpu is not None else device
    ab, ba = load(models[0], device=chosen), load(models[1], device=chosen)
    header = ab.header
    say(f"{header.source} <-> {header.target} on {ab.device}")
    return ab, ba


def _followed(
    outcomes: Iterator["CycleScore | CycleFailure"], *, total: int
) -> Iterable["CycleScore | CycleFailure"]:
    """Pass on what comes, under a bar where a person looks on."""
    from rich.console import Console
    from rich.progress import track

    return track(
        outcomes,
        description="checking",
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=total == 1 or not is_terminal(),
    )


def _table(report: "CycleReport") -> list[str]:
    """The pictures, the means and the worst, for a person to read."""
    scores, width = report.scores, _name_width(report)
    lines = [f"{'':{width}}  {'error':>7}  {'PSNR':>8}  {'change':>7}"]
    lines += [_score_line(score, width) for score in scores[:ROWS]]
    if len(scores) > ROWS:
        lines.append(f"… and {len(scores) - ROWS} more")
    for direction, summary in report.directions.items():
        lines += ["", *_summary_lines(f"{direction[0]} to {direction[1]} and back", summary, width)]
    lines += ["", _verdict_line(report)]
    return lines


def _summary_lines(name: str, summary: "CycleSummary", width: int) -> list[str]:
    spreads = (summary.mae, summary.psnr, summary.change)
    means = [spread.mean if spread else None for spread in spreads]
    deviations = [spread.std if spread else None for spread in spreads]
    lines = [
        _line(f"{name}: mean of {summary.count}", means, width),
        _line("standard deviation", deviations, width),
    ]
    if summary.count > len(summary.worst):
        lines.append(f"worst {len(summary.worst)}")
        lines += [_score_line(score, width) for score in summary.worst]
    return lines


def _score_line(score: "CycleScore", width: int) -> str:
    return _line(_short(str(score.path), width), [score.mae, score.psnr, score.change], width)


def _line(name: str, numbers: Sequence[float | None], width: int) -> str:
    error, ratio, change = numbers
    cells = (_number(error, "7.4f"), _number(ratio, "5.1f", " dB"), _number(change, "7.4f"))
    return f"{name:{width}}  {cells[0]:>7}  {cells[1]:>8}  {cells[2]:>7}"


def _number(number: float | None, form: str, unit: str = "") -> str:
    if number is None:
        return "-"
    return "equal" if math.isinf(number) else f"{number:{form}}{unit}"


def _name_width(report: "CycleReport") -> int:
    names = [len(printable(str(score.path))) for score in report.scores]
    return min(max([*names, SHORTEST_NAME]), LONGEST_NAME)


def _short(name: str, width: int) -> str:
    """The end of a name, which tells more than its beginning."""
    name = printable(name)
    return name if len(name) <= width else f"…{name[1 - width :]}"


def _verdict_line(report: "CycleReport") -> str:
    measured = f"{len(report.scores)} of {len(report.outcomes)} measured"
    if report.fail_above is None:
        return measured
    return f"{measured}, {report.verdict}: limit {report.fail_above:g}"
