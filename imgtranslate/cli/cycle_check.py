"""``imgtranslate cycle-check``."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.report import save
from imgtranslate.cli.terminal import examples, is_terminal, result, say, say_error
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.evaluation.cycle_check.check import CycleSource, Letter
    from imgtranslate.evaluation.cycle_check.scores import CycleFailure, CycleScore
    from imgtranslate.evaluation.cycle_check.verdicts import Verdict
    from imgtranslate.model_files.checkpoint import Direction
    from imgtranslate.translation.translator import Translator

EPILOG = examples(
    "imgtranslate cycle-check --run runs/horses2zebras",
    "imgtranslate cycle-check ./horses --run runs/horses2zebras -o cycles.png",
    "imgtranslate cycle-check ./zebras --run runs/horses2zebras --from b --json",
    "imgtranslate cycle-check ./horses --ab ab.safetensors --ba ba.safetensors --fail-above 0.1",
    "imgtranslate cycle-check --run runs/horses2zebras --fail-on collapsed --fail-on does-nothing",
)


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
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERDICT",
            help="Exit 1 on hides-information, collapsed, inverts-brightness or does-nothing; "
            "repeatable.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    gpu: Annotated[str | None, typer.Option(help="Number of the GPU.")] = None,
) -> None:
    """Translate pictures there and back, measure what came back, and say what is wrong.

    The error is the mean of |F(G(x)) - x|, from 0 to 1, the full range; it is
    measured again after the translation was saved as JPEG, with slight noise
    and slightly blurred. The change is how much the translation differs from
    the picture. The verdict is healthy, or hides information, collapsed,
    inverts brightness, does nothing. A check of the pictures that a run held
    out stays in the run, on its report.html. The exit status is 1 if a picture
    failed, the limit is passed or a verdict of --fail-on is found.
    """
    from imgtranslate.cli.cycle_check_display import table
    from imgtranslate.evaluation.cycle_check.check import check_sources, refuse_output
    from imgtranslate.evaluation.cycle_check.results import CycleReport

    _check_limit(fail_above)
    verdicts = tuple(_verdict(name) for name in fail_on or [])
    models = _models(run, ab, ba)
    sources = _sources(inputs or [], run, start, models)
    if output is not None:
        refuse_output(output, sources)
    forward, backward = _load(models, device=device, gpu=gpu)
    outcomes = check_sources(sources, ab=forward, ba=backward, output=output)
    report = CycleReport(
        outcomes=tuple(_followed(outcomes, total=len(sources))),
        identities=_identities(sources, run, forward, backward),
        steps={model.header.direction: model.header.step for model in (forward, backward)},
        fail_above=fail_above,
        fail_on=verdicts,
    )
    for failure in report.failures:
        say_error(f"failed: {failure.path}: {failure.reason}")
    document = report.document()
    result(json.dumps(document.to_json()) if as_json else "\n".join(table(report)))
    if run is not None and not inputs:
        save(run, document, device=str(forward.device))
    if report.failures or report.shortfalls:
        raise typer.Exit(1)


def _verdict(name: str) -> "Verdict":
    """Return the verdict that a person names, with or without hyphens."""
    from imgtranslate.errors import nearest
    from imgtranslate.evaluation.cycle_check.verdicts import VERDICTS

    spelled = {verdict.replace(" ", "-"): verdict for verdict in VERDICTS}
    dashed = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    return spelled[nearest(dashed, spelled, what="--fail-on")]


def _check_limit(fail_above: float | None) -> None:
    if fail_above is not None and not 0 <= fail_above <= 1:
        raise UsageError(
            f"--fail-above {fail_above:g}: not a share of the full range. Give 0 to 1, as in 0.05"
        )


def _models(run: Path | None, ab: Path | None, ba: Path | None) -> tuple[Path, Path]:
    """Return the two model files; a run gives both."""
    if run is not None and (ab or ba):
        raise UsageError("--run: given together with --ab or --ba. Give one or the other")
    if run is not None:
        from imgtranslate.translation.translator import find_model

        return find_model(run, direction="ab"), find_model(run, direction="ba")
    if ab is None or ba is None:
        raise UsageError("--run: not given. Name a run's folder, or both models by --ab and --ba")
    return ab, ba


def _sources(
    inputs: list[str], run: Path | None, start: str | None, models: tuple[Path, Path]
) -> list["CycleSource"]:
    from imgtranslate.evaluation.cycle_check.check import find_sources, held_out_sources
    from imgtranslate.model_files.checkpoint import read_model_header

    letter = _letter(start)
    if inputs:
        header = read_model_header(models[1 if letter == "b" else 0])
        return find_sources(inputs, letter=letter or "a", channels=header.in_channels)
    if run is None:
        raise UsageError("INPUT: not given. Name pictures or a folder of them")
    return held_out_sources(run, letters=[letter] if letter else ["a", "b"])


def _letter(start: str | None) -> "Letter | None":
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
    from imgtranslate.evaluation.cycle_check.check import refuse_unless_pair
    from imgtranslate.model_files.checkpoint import read_model_header
    from imgtranslate.translation.translator import load

    refuse_unless_pair(read_model_header(models[0]), read_model_header(models[1]))
    chosen = f"cuda:{gpu.strip()}" if gpu is not None else device
    ab, ba = load(models[0], device=chosen), load(models[1], device=chosen)
    header = ab.header
    say(f"{header.source} <-> {header.target} on {ab.device}")
    return ab, ba


def _identities(
    sources: list["CycleSource"], run: Path | None, ab: "Translator", ba: "Translator"
) -> dict["Direction", list[float]]:
    """Measure the identity errors of the way there, where the pictures are of one side only."""
    from imgtranslate.evaluation.cycle_check.check import identity_errors

    directions = {source.direction for source in sources}
    if run is None or len(directions) != 1:
        return {}
    (direction,) = directions
    return {direction: identity_errors(run, translator=ab if direction == "ab" else ba)}


def _followed(
    outcomes: Iterator["CycleScore | CycleFailure"], *, total: int
) -> Iterable["CycleScore | CycleFailure"]:
    """Pass on each outcome, with a progress bar in a terminal."""
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
