"""``imgtranslate translate``."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imgtranslate.cli.looks_options import looks_of
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, printable, say, stderr_to_ourselves
from imgtranslate.cli.translate_display import Display
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.model_files.checkpoint import ModelHeader
    from imgtranslate.translation.codes import Looks
    from imgtranslate.translation.inputs import Input
    from imgtranslate.translation.partitions import Shard
    from imgtranslate.translation.plan import Existing, Job
    from imgtranslate.translation.stages import Model
    from imgtranslate.translation.translator import Translator

EPILOG = examples(
    "imgtranslate translate in.jpg --model ab.safetensors",
    "imgtranslate translate in.jpg --model runs/horses2zebras -o out.png",
    "imgtranslate translate ./photos --model ab.safetensors -o ./zebras --skip-existing",
    "cat in.jpg | imgtranslate translate - --model ab.safetensors > out.png",
    "imgtranslate translate edges.png --model runs/labels2photos --samples 6 --seed 0",
    "imgtranslate translate '*.jpg' --model ab.safetensors -o ./zebras --format png --json",
)
FOLDERS = "Folders and machines"
PICTURES = "Pictures"
LOOKS = "Looks, of models with a code"
MOST = 10_000  # looks of one picture
STOPPING = "stopping after this picture"


def translate(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="Pictures, folders of them, globs; - is stdin."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|RUN", help="ab.safetensors, or a run: its best, else last. Repeatable."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR|-|PATTERN",
            help="A file if it ends in an image suffix, else a folder; - is stdout; "
            "or '{dir}/{stem}.{domain}.{ext}'. Else beside the input.",
        ),
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out what is there already.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there already.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each picture, not its path.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    engine: Annotated[
        Literal["auto", "torch", "onnx", "openvino"],
        typer.Option(help="auto: by the model's file; openvino runs an .onnx too."),
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "fp16"],
        typer.Option(help="Of the convolutions; fp16 on a GPU only."),
    ] = "fp32",
    gpu: Annotated[str | None, typer.Option(help="Number of the GPU.")] = None,
    files_from: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="A list of inputs.", rich_help_panel=FOLDERS),
    ] = None,
    zero: Annotated[
        bool,
        typer.Option("-0", "--null", help="It is that of find -print0.", rich_help_panel=FOLDERS),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the first N pictures.", rich_help_panel=FOLDERS),
    ] = None,
    ignore_errors: Annotated[
        bool,
        typer.Option(
            "--ignore-errors", help="Exit 0 where pictures fail.", rich_help_panel=FOLDERS
        ),
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="3/16",
            help="This share of the inputs, by their names. Of torchrun by itself.",
            rich_help_panel=FOLDERS,
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="png, jpg, …; else that of each input.", rich_help_panel=PICTURES
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Of JPEG, WebP, AVIF.", rich_help_panel=PICTURES),
    ] = None,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|off|N",
            help="In strips: when too big, never, of N rows.",
            rich_help_panel=PICTURES,
        ),
    ] = "auto",
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="4G", help="To work in; else half of what is free.", rich_help_panel=PICTURES
        ),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(min=1, help="Shorter side first made N px.", rich_help_panel=PICTURES),
    ] = None,
    alpha: Annotated[
        Literal["keep", "drop", "matte"],
        typer.Option(help="Of transparency.", rich_help_panel=PICTURES),
    ] = "keep",
    allow_huge: Annotated[
        bool,
        typer.Option("--allow-huge", help="Read what may be a bomb.", rich_help_panel=PICTURES),
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="So many looks of each.", rich_help_panel=LOOKS),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the first look.", rich_help_panel=LOOKS),
    ] = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="The same looks for all inputs.", rich_help_panel=LOOKS)
    ] = False,
    style: Annotated[
        Path | None,
        typer.Option(help="The look of this picture of the target.", rich_help_panel=LOOKS),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx", help="Reads looks for an .onnx model.", rich_help_panel=LOOKS
        ),
    ] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="The code: 0.1,-0.4,…", rich_help_panel=LOOKS)
    ] = None,
    z_file: Annotated[
        Path | None, typer.Option(help="Codes: one in each line, or .npy.", rich_help_panel=LOOKS)
    ] = None,
    interpolate: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="From the look of one picture to another's.", rich_help_panel=LOOKS),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=2, max=MOST, help="Looks on that way; 8.", rich_help_panel=LOOKS),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="All looks in one picture.", rich_help_panel=LOOKS)
    ] = False,
) -> None:
    """Translate pictures of any size, each into one of the same size.

    Without -o, in.jpg becomes in.zebras.jpg beside it; a folder needs -o and keeps its tree.

    One bad picture does not stop the rest: the last line counts, the exit status is then 1.
    """
    from imgtranslate.memory import parse_memory, parse_tile
    from imgtranslate.model_files.checkpoint import read_model_header
    from imgtranslate.translation.codes import refuse_unfit
    from imgtranslate.translation.outputs import Output, pipe_suffix
    from imgtranslate.translation.plan import Selection, plan_translation
    from imgtranslate.translation.stages import Options
    from imgtranslate.translation.translate import run_jobs
    from imgtranslate.translation.translator import find_model, load

    looks = looks_of(
        samples=samples,
        seed=seed,
        sync=sync,
        style=style,
        z=z,
        z_file=z_file,
        path=interpolate,
        frames=frames,
        grid=grid,
    )
    rows = parse_tile(tile)
    room = None if memory is None else parse_memory(memory)
    existing = _existing(skip=skip_existing, overwrite=overwrite)
    listed = _listed(files_from, inputs, zero=zero)
    paths = [find_model(path) for path in _given(model)]
    headers = [read_model_header(path) for path in paths]
    for header in headers:
        refuse_unfit(looks, header)
    out = Output(text=output, file_format=file_format)
    jobs = plan_translation(
        _some(inputs, listed),
        models=headers,
        output=out,
        listed=listed or (),
        looks=looks.count,
        grid=grid,
        selection=Selection(shard=_shard(shard), limit=limit, existing=existing),
        notice=say,
    )
    piped = _refuse_terminal(jobs)
    display = Display(total=len(jobs), as_json=as_json, pictures_on_stdout=piped)
    models = _loaded(
        paths,
        looks,
        load=partial(
            load,
            device=_device(device, gpu),
            tile=rows,
            memory=room,
            encoder=encoder,
            engine=engine,
            precision=precision,
            notice=display.say,
        ),
    )
    options = Options(
        existing=existing,
        alpha=alpha,
        allow_huge=allow_huge,
        resize=resize,
        quality=quality,
        stdin=sys.stdin.buffer,
        stdout=sys.stdout.buffer,
        pipe_suffix=pipe_suffix(out, channels=3 if grid else headers[0].out_channels),
    )
    with (
        stderr_to_ourselves(),
        stop_on_signals(STOPPING) as stopped,
        display,
        closing(
            run_jobs(jobs, models=models, options=options, stop=stopped.is_set, notice=display.say)
        ) as outcomes,
    ):
        for outcome in outcomes:
            display.show(outcome)
    if stopped.is_set() and not display.finished:
        raise typer.Exit(stopped.exit_code)
    if display.failed and not ignore_errors:
        raise typer.Exit(1)


def _existing(*, skip: bool, overwrite: bool) -> "Existing":
    if skip and overwrite:
        raise UsageError("--skip-existing, --overwrite: contradict each other. Choose one")
    return "skip" if skip else "overwrite" if overwrite else "refuse"


def _listed(
    files_from: str | None, inputs: list[str] | None, *, zero: bool
) -> "list[Input] | None":
    """The pictures of a list; None without one."""
    from imgtranslate.translation.inputs import read_list

    if files_from is None:
        if zero:
            raise UsageError("-0: says how a list is written. Give one by --files-from")
        return None
    if files_from == "-" and "-" in (inputs or ()):
        raise UsageError("-: stdin is the list of --files-from already. Name the picture in it")
    if files_from == "-":
        return read_list(sys.stdin.buffer, zero=zero)
    try:
        with Path(files_from).open("rb") as file:
            return read_list(file, zero=zero)
    except OSError as error:
        raise UsageError(
            f"--files-from {files_from}: cannot be read: {error.strerror}. Check the name"
        ) from error


def _some(inputs: list[str] | None, listed: "list[Input] | None") -> list[str]:
    """What was named; a list may be empty, a command line without inputs may not."""
    if not inputs and listed is None:
        raise UsageError("INPUT: not given. Name a picture, a folder, a glob, or - for stdin")
    if "-" in (inputs or ()) and sys.stdin.isatty():
        raise UsageError("-: stdin is a terminal. Pipe a picture into it, or name a file")
    return inputs or []


def _given(models: list[Path] | None) -> list[Path]:
    if not models:
        raise UsageError("--model: not given. Name an ab.safetensors or the folder of a run")
    return models


def _shard(text: str | None) -> "Shard":
    from imgtranslate.translation.partitions import parse_shard, shard_of_process

    return shard_of_process(os.environ) if text is None else parse_shard(text)


def _device(device: str, gpu: str | None) -> str:
    if gpu is not None:
        from imgtranslate.device import device_of_gpu

        return device_of_gpu(gpu)
    if device == "auto" and "LOCAL_RANK" in os.environ:
        from imgtranslate.translation.partitions import device_of_process

        return device_of_process(os.environ)
    return device


def _refuse_terminal(jobs: "Sequence[Job]") -> bool:
    """Whether a picture goes to stdout, which must not be a terminal."""
    piped = any(job.target == "-" for job in jobs)
    if piped and sys.stdout.isatty():
        raise UsageError("-o -: stdout is a terminal. Send it to a file or a pipe, or name a file")
    return piped


def _loaded(
    paths: Sequence[Path], looks: "Looks", *, load: "Callable[[Path], Translator]"
) -> "list[Model]":
    from imgtranslate.translation.codes import choose
    from imgtranslate.translation.stages import Model

    models = []
    for path in paths:
        translator = load(path)
        name = str(path) if len(paths) > 1 else None
        models.append(Model(translator=translator, chosen=choose(looks, translator), name=name))
        say(_headline(translator.header, translator.device))
    return models


def _headline(header: "ModelHeader", device: str) -> str:
    return printable(f"{header.source} -> {header.target} on {device}")
