"""The sections of a model card, in Markdown.

Text from outside, such as names of folders and figures of other files, is written with entities in
place of punctuation, so that it is neither Markdown nor HTML nor mathematics.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from imgtranslate._version import __version__
from imgtranslate.errors import counted
from imgtranslate.evaluation.cycle_check.schema import CycleCheckFile
from imgtranslate.evaluation.evaluate.schema import EvaluationFile
from imgtranslate.evaluation.report.checks import tables_of, verdicts_of
from imgtranslate.evaluation.report.curves import Log, read_log
from imgtranslate.evaluation.report.provenance import data_of, settings_of
from imgtranslate.methods.schedule import Schedule
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.pages.markdown import code, plain, table
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import (
    Direction,
    Settings,
    Tree,
    is_paired,
    latent_dim,
    learns_both_ways,
    to_tree,
)
from imgtranslate.settings.presets import name_of_method
from imgtranslate.translation.translator import TOO_LARGE

FEW_PICTURES = 200
NOTES = 8  # warnings of the training
TODO_MARK = "TODO (author):"
TODO = f"**{TODO_MARK}**"
PRIVATE = {  # settings that name files or folders
    *("data.a", "data.b", "data.pairs", "data.cache"),
    *("data.held_out_a", "data.held_out_b", "data.held_out_pairs"),
}
PAPERS = {  # of methods and variants
    "cyclegan": ("CycleGAN", "1703.10593"),
    "dualgan": ("DualGAN", "1704.02510"),
    "pix2pix": ("pix2pix", "1611.07004"),
    "bicyclegan": ("BicycleGAN", "1711.11586"),
    "cut": ("CUT", "2007.15651"),
    "fastcut": ("FastCUT", "2007.15651"),
}
Block = str  # of Markdown, without the empty line between two blocks


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model of the run."""

    file: str  # relative to the run
    header: ModelHeader
    bytes: int
    sha256: str


# Sections


def blocks_of(
    run: Run,
    models: Sequence[Model],
    *,
    cycle: CycleCheckFile,
    evaluated: EvaluationFile,
    sample: Path | None,
) -> list[Block]:
    """Write the card of a run with these models and results, as blocks of Markdown."""
    settings, record = run.read_config()
    log, rows = read_log(run), run.read_metrics()
    warnings = {name: (row.step, text) for row in rows for name, text in row.health.items()}
    intended = "what the model is for, and what it must not be used for."
    return [
        _front_matter(settings),
        f"# {plain(settings.data.name_a)} to {plain(settings.data.name_b)}",
        *_introduction(settings, models),
        *_picture(sample, settings, record),
        *_use(models),
        *_author("Intended use", intended),
        *_data(settings, record),
        *_training(settings, record, log, models),
        *_results(settings, log, cycle, evaluated, models[0].header.step),
        *_limits(settings, record, log, [*warnings.values()]),
        *_licence(models),
    ]


def _front_matter(settings: Settings) -> Block:
    method = name_of_method(settings)
    kind = "paired" if is_paired(settings.method) else "unpaired"
    lines = [
        "---",
        "library_name: imgtranslate",
        "pipeline_tag: image-to-image",
        "tags:",
        *(f"- {tag}" for tag in dict.fromkeys(["imgtranslate", "gan", method, kind])),
        f"# {TODO_MARK} the licence of the model, and the data sets by their names on the hub.",
        "# license: cc-by-4.0",
        "# datasets:",
        "# - owner/name",
        "---",
    ]
    return "\n".join(lines)


def _introduction(settings: Settings, models: Sequence[Model]) -> Iterator[Block]:
    method = name_of_method(settings)
    title, paper = PAPERS.get(method) or PAPERS.get(settings.method.kind) or (method, "")
    link = f"[{title}](https://arxiv.org/abs/{paper})" if paper else f"`{method}`"
    variant = "" if method in PAPERS else f" (variant `{method}`)"
    header = models[0].header
    back = f", and {plain(header.target)} back to {plain(header.source)}" if len(models) > 1 else ""
    code = "; one picture has many translations" if latent_dim(header.generator) else ""
    learnt = "pairs of pictures" if is_paired(settings.method) else "two sets of pictures, unpaired"
    yield (
        f"Translates pictures of {plain(header.source)} to {plain(header.target)}{back}{code}. "
        f"Learnt from {learnt}, by {link}{variant}."
    )
    yield (
        f"This card was written by imgtranslate {__version__} on "
        f"{datetime.now(UTC):%Y-%m-%d}, from what the training recorded. Places marked TODO need "
        "the words of the author."
    )


def _picture(sample: Path | None, settings: Settings, record: Mapping[str, Any]) -> Iterator[Block]:
    if sample is None:
        return
    held_out = any(side["held_out"] for side in data_of(settings, record, None))
    what = "pictures that were not used in the training" if held_out else "training pictures"
    step = int(sample.stem.removeprefix("step_"))
    names = f"{plain(settings.data.name_a)} and {plain(settings.data.name_b)}"
    yield f"![Samples of {names}](samples/{sample.name})"
    yield f"Translations of {what}, after {counted(step, 'step')}."


def _use(models: Sequence[Model]) -> Iterator[Block]:
    has_code = latent_dim(models[0].header.generator) > 0
    samples, seed = (" --samples 6", ", seed=0") if has_code else ("", "")
    lines = [f"imgtranslate translate in.jpg --model {model.file}{samples}" for model in models]
    yield "## Use"
    yield "\n".join(["```sh", "pip install imgtranslate", *lines, "```"])
    yield "\n".join(
        [
            "```python",
            "import imgtranslate",
            "from PIL import Image",
            "",
            f'translator = imgtranslate.load("{models[0].file}")',
            f'translator(Image.open("in.jpg"){seed}).save("out.png")',
            "```",
        ]
    )
    yield "\n".join(
        f"- `{model.file}`: {plain(model.header.source)} to {plain(model.header.target)}; "
        f"{plain(model.header.architecture)}; {model.bytes / 1e6:.1f} MB; SHA-256 `{model.sha256}`"
        for model in models
    )


def _author(title: str, what: str) -> Iterator[Block]:
    yield f"## {title}"
    yield f"> {TODO} {what}"


def _data(settings: Settings, record: Mapping[str, Any]) -> Iterator[Block]:
    yield from _author(
        "Data",
        "where the pictures come from, under which licence, and whether people in them agreed.",
    )
    lines = []
    for side in data_of(settings, record, None):
        count = "an unknown number of" if side["pictures"] is None else f"{side['pictures']:,}"
        left_out = f", {side['left_out']:,} left out" if side["left_out"] else ""
        fingerprint = f"; fingerprint {code(side['fingerprint'])}" if side["fingerprint"] else ""
        lines.append(
            f"- **{side['letter']}**, {plain(side['name'])}: {count} pictures to train on, "
            f"{side['held_out']:,} held out{left_out}, {counted(side['channels'], 'channel')}. "
            f"Folder {code(_last_name(side['folder']))}{fingerprint}"
        )
    yield "\n".join(lines)


def _training(
    settings: Settings, record: Mapping[str, Any], log: Log, models: Sequence[Model]
) -> Iterator[Block]:
    data, step, total = settings.data, models[0].header.step, _total_steps(settings, record)
    best = "best/" in models[0].file
    choice = "the best validation" if best else "the last saved step"
    length = f"{log.last_step:,} of {total:,} steps" if total else f"{log.last_step:,} steps"
    versions = ", ".join(
        f"{name} {plain(str(record[name]))}"
        for name in ("imgtranslate", "torch", "python")
        if name in record
    )
    yield "## Training"
    made = f" Made with {versions}." if versions else ""
    yield (
        f"{length}, in batches of {settings.train.batch_size}, on crops of {data.crop_size} px "
        f"from pictures resized to {data.load_size} px. The models are those of {choice}, "
        f"step {step:,}.{made}"
    )
    rows = [
        [f"`{row['name']}`", code(row["value"]), code(row["usual"])]
        for row in settings_of(settings)
        if row["differs"] and not _is_private(row["name"], row["value"])
    ]
    if rows:
        yield "Settings that differ from the defaults:"
        yield table(["setting", "value", "default"], rows, right=())
    places = "--pairs DIR" if data.pairs else "--a DIR --b DIR"
    yield "<details><summary>All settings, to train again</summary>"
    yield "Save them as `settings.toml`, and name your folders:"
    yield f"```sh\nimgtranslate train --config settings.toml {places}\n```"
    yield f"```toml\n{tomli_w.dumps(_public(to_tree(settings))).rstrip()}\n```"
    yield "</details>"


def _results(
    settings: Settings, log: Log, cycle: CycleCheckFile, evaluated: EvaluationFile, step: int
) -> Iterator[Block]:
    a, b = settings.data.name_a, settings.data.name_b
    names: dict[Direction, str] = {"ab": f"{a} → {b}", "ba": f"{b} → {a}"}
    tables = tables_of(cycle, evaluated, names)
    yield "## Results"
    if tables:
        yield "On pictures that were not used in the training; intervals are 95 % confidence."
    else:
        yield "The model has not been measured on pictures that were not used in the training."
    verdicts = []
    for found in verdicts_of(cycle):
        way, verdict = plain(names[found["direction"]]), ", ".join(map(plain, found["verdicts"]))
        reason = "; ".join(plain(one["text"], limit=400) for one in found["reasons"])
        verdicts.append(f"- **{way}: {verdict}**{_at(found['step'], step)}: {reason}.")
    if verdicts:
        yield "\n".join(["Verdicts of `cycle-check`:", "", *verdicts])
    steps = {one.direction: one.step for run in evaluated.runs[:1] for one in run}
    for figures in tables:
        yield f"**{plain(figures['title'])}**"
        yield table(
            [plain(head) for head in figures["heads"]],
            [[_indented(cell) for cell in row] for row in figures["rows"]],
            right=range(1, len(figures["heads"])),
        )
    for old in {then for then in steps.values() if then not in (None, step)}:
        yield f"`evaluate` measured the models of step {old:,}, not those of step {step:,}."
    if log.validations:
        first, best = log.validations[0], min(log.validations, key=lambda one: one[1])
        yield (
            f"Validation during the training, lower is better: {first[1]:.3f} at step "
            f"{first[0]:,}, and at best {best[1]:.3f} at step {best[0]:,}."
        )
    else:
        yield "There was no validation during the training."


def _limits(
    settings: Settings,
    record: Mapping[str, Any],
    log: Log,
    warnings: Sequence[tuple[int, str]],
) -> Iterator[Block]:
    data, total = settings.data, _total_steps(settings, record)
    counts = [side["pictures"] for side in data_of(settings, record, None)]
    few = [count for count in counts if count is not None and count < FEW_PICTURES]
    lines = [
        "A translation is invented. It is no evidence of what a real picture would show.",
        "Pictures unlike those of the training give arbitrary results.",
        f"The model saw crops of {data.crop_size} px. On pictures whose shorter side is more than "
        f"{TOO_LARGE} times that, the effect may be weak.",
        "It was trained on pictures of 8 bits; other depths are scaled to them.",
    ]
    if not is_paired(settings.method):
        lines.append("It changes texture and colour far better than shape.")
    if not learns_both_ways(settings.method):
        lines.append("It translates in one direction only.")
    if few:
        lines.append(
            f"One side has only {counted(min(few), 'picture')}. With fewer than {FEW_PICTURES}, a "
            "model tends to learn them by heart."
        )
    if not any(side["held_out"] for side in data_of(settings, record, None)):
        lines.append("No pictures were held out, so nothing was measured on new ones.")
    patience = settings.train.patience
    if total and log.last_step < total:
        place = f"step {log.last_step:,} of {total:,}"
        if log.ended_early(patience):
            gain = f"no gain in {counted(patience, 'validation')}"
            lines.append(f"The training ended early, at {place}: {gain}.")
        else:
            lines.append(f"**The training is unfinished**: {place}.")
    broken = [curve.name for curve in log.curves if curve.not_finite[-1:] == [log.last_step]]
    if broken:
        lines.append(f"**The training diverged**: {plain(broken[0])} was not finite at the end.")
    for step, text in warnings[-NOTES:]:
        fault = text.partition(". ")[0]  # without the remedy
        lines.append(f"The training warned at step {step:,}: {plain(fault, limit=400)}.")
    yield "## Limits"
    yield "\n".join(f"- {line}" for line in lines)
    yield f"> {TODO} faults that you have seen, and kinds of pictures that fail."


def _licence(models: Sequence[Model]) -> Iterator[Block]:
    yield "## Licence"
    yield f"The models say: {plain(models[0].header.licence, limit=1000)}"
    yield f"> {TODO} the licence of the model, as in `license` above, and whom to ask or to cite."


# Privacy


def _public(tree: Tree) -> Tree:
    """Return settings without those that name files or folders."""
    return {
        section: {
            name: value
            for name, value in values.items()
            if not _is_private(f"{section}.{name}", value)
        }
        for section, values in tree.items()
    }


def _is_private(name: str, value: object) -> bool:
    return name in PRIVATE or bool(re.search(r"[\\/]", str(value)))


def _last_name(path: str) -> str:
    """Return the last part of a path of any system."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def _total_steps(settings: Settings, record: Mapping[str, Any]) -> int | None:
    counts = [record.get(f"pictures_{letter}") for letter in "ab"]
    known = [count for count in counts if isinstance(count, int) and count > 0]
    if len(known) < 2:
        return None
    return Schedule(settings=settings, longer_side=max(known)).total_steps()


def _indented(cell: str) -> str:
    """Write a cell; spaces at its beginning, which Markdown would drop, show a baseline."""
    spaces = len(cell) - len(cell.lstrip(" "))
    return "&nbsp;" * (2 * spaces) + plain(cell.lstrip(" "))


def _at(measured: int | None, step: int) -> str:
    return "" if measured in (None, step) else f" (measured at step {measured:,})"
