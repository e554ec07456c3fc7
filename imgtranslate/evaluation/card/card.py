"""The model card of a run: a README in the form that model hubs read, without private paths."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imgtranslate.errors import ImgTranslateError, UsageError
from imgtranslate.evaluation.card.sections import TODO_MARK, Model, blocks_of
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile
from imgtranslate.evaluation.evaluate.schema import EvaluationFile
from imgtranslate.evaluation.report.checks import missing_checks, read_check
from imgtranslate.files import explained, write_text
from imgtranslate.images import read_image, write_image
from imgtranslate.model_files.checkpoint import read_model_header
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Direction, is_paired
from imgtranslate.translation.translator import find_model


@dataclass(frozen=True, kw_only=True)
class Card:
    """A written card, and what belongs to it."""

    path: Path
    models: tuple[str, ...]  # files to publish with it, relative to the run
    sample: Path | None  # likewise, beside the card
    todos: int  # places where the author must write


def write_card(
    run: Path | str,
    *,
    output: Path | str | None = None,
    overwrite: bool = False,
    notice: Callable[[str], None] = lambda _: None,
) -> Card:
    """Write the model card of a run, ``RUN/README.md`` unless ``output`` names another file.

    It describes the models that `translate` would take, from files alone. The samples of their step
    are in ``samples/`` beside the card. ``notice`` receives a line for whatever the card lacks.
    Raises ``UsageError`` for an existing file without ``overwrite``.
    """
    folder = Run(Path(run))
    page = Path(output) if output is not None else folder.folder / "README.md"
    if page.is_dir():
        raise UsageError(f"`output` {page}: a folder. Name a file, as in `output` README.md")
    settings, _ = folder.read_config()
    models = [_read_model(folder, way) for way in _directions(folder)]
    cycle = read_check(folder, CycleCheckFile, warn=notice)
    evaluated = read_check(folder, EvaluationFile, warn=notice)
    paired = is_paired(settings.method)
    for lacking in missing_checks(folder, cycle, evaluated, paired=paired):
        notice(f"{lacking['text']} Run {lacking['command']}")

    # The picture, which a card in the folder of the run shares with the run
    source = _sample_of(folder, models[0].header.step)
    sample = source and page.parent / "samples" / source.name
    shared = sample is not None and source is not None and _is_same(sample, source)
    for path in (page, None if shared else sample):
        if path is not None and path.exists() and not overwrite:
            raise UsageError(f"{path}: already exists. Choose another file, or add `overwrite`")
    with explained(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    if source is not None and sample is not None:
        try:
            picture = read_image(source, channels=3)
        except ImgTranslateError as error:
            notice(f"The card has no picture: {error}")
            sample = None
        else:
            if not shared:
                with explained(sample):
                    sample.parent.mkdir(exist_ok=True)
                write_image(sample, picture)

    blocks = blocks_of(folder, models, cycle=cycle, evaluated=evaluated, sample=sample)
    text = "\n\n".join(blocks) + "\n"
    write_text(page, text)
    files = tuple(model.file for model in models)
    return Card(path=page, models=files, sample=sample, todos=text.count(TODO_MARK))


# Files


def _directions(run: Run) -> list[Direction]:
    back: list[Direction] = ["ba"] if run.model("ba").is_file() else []
    return ["ab", *back]


def _read_model(run: Run, way: Direction) -> Model:
    path = find_model(run.folder, direction=way)
    header = read_model_header(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = path.relative_to(run.folder).as_posix()
    return Model(file=name, header=header, bytes=path.stat().st_size, sha256=digest)


def _sample_of(run: Run, step: int) -> Path | None:
    """Find the samples of a step, or the nearest ones before it, or else the first."""
    found = {
        int(path.stem.removeprefix("step_")): path
        for path in run.samples.glob("step_*.png")
        if re.fullmatch(r"step_\d{1,15}", path.stem, re.ASCII) and path.is_file()
    }
    before = [number for number in found if number <= step]
    return found[max(before, default=min(found))] if found else None


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and path.samefile(other)
