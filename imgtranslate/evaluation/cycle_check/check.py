"""The cycle check of many pictures: list them, refuse models that are no pair, check each.

A model without a way back has no cycle; its check measures the content that it keeps.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from imgtranslate.data.folders import Domain
from imgtranslate.data.sampling import evenly_spaced
from imgtranslate.errors import ImgTranslateError, UsageError, checks_arguments, counted
from imgtranslate.evaluation.cycle_check.drawing import (
    FIGURE_ROWS,
    STRIP_SUFFIX,
    draw_figure,
    draw_strip,
    is_figure,
    refuse_output,
    strip_targets,
)
from imgtranslate.evaluation.cycle_check.results import results_of
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile, Row
from imgtranslate.evaluation.cycle_check.scores import (
    CycleResult,
    CycleScore,
    CycleSource,
    check_one_way,
    check_picture,
    identity_error,
)
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.runs.data import held_out_of_run
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Direction
from imgtranslate.translation.inputs import list_inputs
from imgtranslate.translation.translator import Translator, find_model, load, size_notice

IDENTITY_PICTURES = 32


@checks_arguments
def cycle_check(
    run: Path | str,
    inputs: Sequence[str | Path] = (),
    *,
    direction: Direction = "ab",
    output: Path | str | None = None,
    device: str = "auto",
) -> CycleCheckFile:
    """Translate pictures there and back, and return the figures and verdict of each direction.

    ``run``: the run whose two models are checked, with its held-out pictures in both directions, or
    with ``inputs``: pictures, folders or globs, in one ``direction``. ``output``: a ``.png`` file
    for one figure Real | Fake | Recovered of up to 8 pictures, or a folder for one of each picture.
    A picture that cannot be read has an ``error``. The result has ``verdict``, ``summary`` and
    ``images``, and ``to_json()`` converts it. Raises ``UsageError`` for wrong names.
    """
    folder, place = Path(run), None if output is None else Path(output)
    models = [find_model(folder, direction="ab"), find_model(folder, direction="ba")]
    ab, ba = (load(model, device=device) for model in models)
    forward = ab if direction == "ab" else ba
    if inputs:
        channels = forward.header.in_channels
        sources = find_sources(inputs, direction=direction, channels=channels)
    else:
        sources = held_out_sources(folder, directions=("ab", "ba"))
    if place is not None:
        refuse_output(place, sources)
    scores = list(check_sources(sources, ab=ab, ba=ba, output=place))
    return results_of(scores, steps={each.header.direction: each.header.step for each in (ab, ba)})


def find_sources(
    inputs: Sequence[str | Path], *, direction: Direction, channels: int = 3
) -> list[CycleSource]:
    """List the pictures in files, folders and globs, each once and in the given order.

    Strips of an earlier check are left out unless they are named. Raises ``UsageError`` for a name
    without pictures.
    """
    domain = Domain(letter=direction[0], name="", folder=Path(), files=(), held_out=())
    distinct: dict[Path, CycleSource] = {}
    for found in list_inputs(
        inputs, channels=channels, ignore=lambda path: path.name.endswith(STRIP_SUFFIX)
    ):
        source = CycleSource(path=found.path, relative=found.relative, domain=domain)
        distinct.setdefault(found.path.absolute(), source)
    return list(distinct.values())


def held_out_sources(run: Path, *, directions: Sequence[Direction]) -> list[CycleSource]:
    """List the held-out pictures of a run; raises ``UsageError`` if there are none."""
    sources = [
        CycleSource(path=path, relative=Path(domain.letter, path.name), domain=domain)
        for domain in held_out_of_run(*Run(run).read_config())
        for path in domain.held_out
    ]
    sources = [source for source in sources if source.direction in directions]
    if not sources:
        raise UsageError(
            f"{run}: no pictures were held out in this run. Name pictures or a folder of them"
        )
    return sources


def refuse_unless_pair(forward: ModelHeader, backward: ModelHeader) -> None:
    """Raise ``UsageError`` unless the two models translate in opposite directions."""
    there = (forward.source, forward.target, forward.in_channels, forward.out_channels)
    back = (backward.target, backward.source, backward.out_channels, backward.in_channels)
    if forward.direction != backward.direction and there == back:
        return
    first, second = (
        f"{header.source} to {header.target} ({header.direction}; "
        f"{counted(header.in_channels, 'channel')} to {header.out_channels})"
        for header in (forward, backward)
    )
    raise UsageError(
        f"`ab`, `ba`: the models translate {first} and {second}, so they do not form a pair. "
        "Give ab.safetensors and ba.safetensors of one run"
    )


def check_sources(
    sources: Sequence[CycleSource],
    *,
    ab: Translator,
    ba: Translator | None,
    output: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    notice: Callable[[str], None] = lambda _: None,
) -> Iterator[CycleScore]:
    """Check each picture in its direction; draw a figure or strips if ``output`` is given.

    Without ``ba`` all pictures are translated by ``ab``, and the content is checked.
    ``stop`` is called before each picture; when it returns True, the check ends with the pictures
    before, which are in the figure. ``notice`` is called once if a picture is much larger than
    those of the training. The first measured picture of a direction is also checked as its negative
    upside down. A picture whose strip cannot be written fails. Raises ``UsageError`` if the two
    models are not a pair.
    """
    if ba is not None:
        refuse_unless_pair(ab.header, ba.header)
    as_figure = output is not None and is_figure(output)
    strips = [] if output is None or as_figure else strip_targets(sources, output)
    in_figure = evenly_spaced(range(len(sources)), FIGURE_ROWS) if as_figure else []
    shown: list[CycleResult] = []
    turned: set[Direction] = set()
    noticed = False

    for number, source in enumerate(sources):
        if stop():
            break
        way = source.direction
        forward, backward = (ab, ba) if ba is None or way == "ab" else (ba, ab)
        try:
            result = _check(source, forward, backward, turned=way not in turned)
            turned.add(way)
            line = size_notice(source.path, result.real, forward.header)
            if line and not noticed:
                noticed = True
                notice(f"{line}. Check smaller pictures as well")
            if strips:
                draw_strip(strips[number], result, forward=forward.header)
        except ImgTranslateError as error:
            lacking = ("mae", "psnr", "ssim", "change", "identity") if backward else ("change",)
            row = Row(
                path=str(source.path),
                direction=forward.header.direction,
                **dict.fromkeys(lacking),
                error=str(error).removeprefix(f"{source.path}: "),
            )
            yield CycleScore(row=row)
            continue
        if number in in_figure:
            shown.append(result)
        yield result.score

    if output is not None and shown:
        draw_figure(output, shown)


def _check(
    source: CycleSource, forward: Translator, backward: Translator | None, *, turned: bool
) -> CycleResult:
    path, domain = source.path, source.domain
    if backward is None:
        return check_one_way(path, domain, forward=forward, turned=turned)
    return check_picture(path, domain, forward=forward, backward=backward, turned=turned)


def identity_errors(run: Path, *, translator: Translator) -> list[float]:
    """Measure the change that a generator makes to held-out pictures of its target.

    At most 32 pictures are used, evenly spaced. Empty if the run has no such pictures, if they
    cannot be read, or if the channels differ.
    """
    a, b = held_out_of_run(*Run(run).read_config())
    target = b if translator.header.direction == "ab" else a
    errors = []
    for path in evenly_spaced(target.held_out, IDENTITY_PICTURES):
        with contextlib.suppress(ImgTranslateError):
            real = target.read(path, channels=translator.header.out_channels)
            errors.append(identity_error(real, translator))
    return [error for error in errors if error is not None]
