"""``imgtranslate translate``."""

import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imgtranslate.cli.options import Device, Gpu, device_of
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, say, stderr_to_ourselves
from imgtranslate.cli.translate_display import Display
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.translation.inputs import Input
    from imgtranslate.translation.plan import Existing

EPILOG = examples(
    "imgtranslate translate in.jpg --model ab.safetensors",
    "imgtranslate translate in.jpg --model runs/horses2zebras -o out.png",
    "imgtranslate translate ./photos --model ab.safetensors -o ./zebras --skip-existing",
    "cat in.jpg | imgtranslate translate - --model ab.safetensors > out.png",
    "imgtranslate translate edges.png --model runs/labels2photos --samples 6 --seed 0",
    "imgtranslate translate '*.jpg' --model ab.safetensors -o ./zebras --format png --json",
)
MOST = 10_000  # samples of one picture
STOPPING = "stopping after this picture"
folder_option = partial(typer.Option, rich_help_panel="Folders and machines")
picture_option = partial(typer.Option, rich_help_panel="Pictures")
code_option = partial(typer.Option, rich_help_panel="Samples, of models with a code z")


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
        bool, typer.Option("--skip-existing", help="Skip pictures whose output exists.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each picture, not its path.")
    ] = False,
    device: Device = "auto",
    engine: Annotated[
        Literal["auto", "torch", "onnx", "openvino"],
        typer.Option(help="auto: by the model's file; openvino runs an .onnx too."),
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "fp16"], typer.Option(help="Of the convolutions; fp16 on a GPU only.")
    ] = "fp32",
    gpu: Gpu = None,
    files_from: Annotated[
        str | None, folder_option(metavar="FILE|-", help="Read the inputs from this list.")
    ] = None,
    zero: Annotated[
        bool,
        folder_option("-0", "--null", help="Its paths end in null bytes, as of find -print0."),
    ] = False,
    limit: Annotated[int | None, folder_option(min=1, help="Only the first N pictures.")] = None,
    ignore_errors: Annotated[
        bool, folder_option("--ignore-errors", help="Exit with 0 even if pictures fail.")
    ] = False,
    shard: Annotated[
        str | None,
        folder_option(
            metavar="3/16", help="This share of the inputs, by name. Under torchrun, its rank's."
        ),
    ] = None,
    file_format: Annotated[
        str | None, picture_option("--format", help="png, jpg, …; else that of each input.")
    ] = None,
    quality: Annotated[
        int | None, picture_option(min=1, max=100, help="JPEG, WebP and AVIF quality.")
    ] = None,
    tile: Annotated[
        str,
        picture_option(
            metavar="auto|off|N", help="Strips: auto if memory is short, off, or of N rows."
        ),
    ] = "auto",
    memory: Annotated[
        str | None,
        picture_option(metavar="4G", help="Memory to work in; else half of what is free."),
    ] = None,
    resize: Annotated[
        int | None, picture_option(min=1, help="Resize the shorter side to N px first.")
    ] = None,
    alpha: Annotated[
        Literal["keep", "drop", "matte"],
        picture_option(help="Keep transparency, drop it, or lay it over white."),
    ] = "keep",
    allow_huge: Annotated[
        bool, picture_option("--allow-huge", help="Read pictures of any number of pixels.")
    ] = False,
    samples: Annotated[
        int | None, code_option(min=1, max=MOST, help="Samples of each picture.")
    ] = None,
    seed: Annotated[int | None, code_option(min=0, help="Seed of the first sample.")] = None,
    sync: Annotated[
        bool, code_option("--sync", help="Draw the same codes for all pictures.")
    ] = False,
    style: Annotated[
        Path | None, code_option(help="Read the code from this picture of the target.")
    ] = None,
    encoder: Annotated[
        Path | None, code_option(metavar="FILE.onnx", help="Reads codes for an .onnx model.")
    ] = None,
    z: Annotated[str | None, code_option("--z", help="The code: 0.1,-0.4,…")] = None,
    z_file: Annotated[
        Path | None, code_option(help="File of codes: one in each line, or .npy.")
    ] = None,
    interpolate: Annotated[
        tuple[Path, Path] | None,
        code_option(help="Codes between those of two pictures of the target."),
    ] = None,
    frames: Annotated[
        int | None, code_option(min=2, max=MOST, help="Number of codes of --interpolate; 8.")
    ] = None,
    grid: Annotated[bool, code_option("--grid", help="Draw all samples in one picture.")] = False,
) -> None:
    """Translate pictures of any size, each into one of the same size.

    Without -o, in.jpg becomes in.zebras.jpg beside it; a folder needs -o and keeps its tree.

    One bad picture does not stop the rest: the last line counts, the exit status is then 1.
    """
    from imgtranslate.memory import parse_memory, parse_tile
    from imgtranslate.model_files.checkpoint import read_model_header
    from imgtranslate.translation.codes import (
        Samples,
        parse_codes,
        read_codes,
        refuse_unfit,
        with_samples,
    )
    from imgtranslate.translation.outputs import Output, pipe_suffix
    from imgtranslate.translation.partitions import device_of_process, parse_shard, shard_of_process
    from imgtranslate.translation.plan import plan_translation
    from imgtranslate.translation.stages import Options
    from imgtranslate.translation.translate import run_jobs
    from imgtranslate.translation.translator import find_model, load

    # What is requested

    ways = {"--style": style, "--z": z, "--z-file": z_file, "--interpolate": interpolate}
    drawn = {"--samples": samples, "--seed": seed, "--sync": sync or None}
    given = [name for name, value in ways.items() if value is not None]
    given += [name for name, value in drawn.items() if value is not None][:1]
    if len(given) > 1:
        raise UsageError(f"{given[0]}, {given[1]}: both choose the code. Give one of them")
    if frames is not None and interpolate is None:
        raise UsageError("--frames: counts the codes of --interpolate. Give both")
    requested = Samples(
        options=(*given, *(["--grid"] if grid else [])),
        samples=samples or 1,
        seed=seed or 0,
        sync=sync,
        codes=parse_codes(z) if z is not None else read_codes(z_file) if z_file else (),
        style=style,
        path=interpolate,
        frames=frames or 8,
    )
    rows = parse_tile(tile)
    memory_bytes = None if memory is None else parse_memory(memory)
    if skip_existing and overwrite:
        raise UsageError("--skip-existing, --overwrite: contradict each other. Choose one")
    existing: Existing = "skip" if skip_existing else "overwrite" if overwrite else "refuse"
    inputs = inputs or []
    listed = _listed(files_from, inputs, zero=zero)
    if not model:
        raise UsageError("--model: not given. Name an ab.safetensors or the folder of a run")

    # What will be written, by the models' headers alone

    paths = [find_model(path) for path in model]
    headers = [read_model_header(path) for path in paths]
    for header in headers:
        refuse_unfit(requested, header)
    if not inputs and listed is None:
        raise UsageError("INPUT: not given. Name a picture, a folder, a glob, or - for stdin")
    if "-" in inputs and sys.stdin.isatty():
        raise UsageError("-: stdin is a terminal. Pipe a picture into it, or name a file")
    out = Output(text=output, file_format=file_format)
    jobs = plan_translation(
        inputs,
        models=headers,
        output=out,
        listed=listed or (),
        samples=requested.count,
        grid=grid,
        shard=shard_of_process(os.environ) if shard is None else parse_shard(shard),
        limit=limit,
        existing=existing,
        notice=say,
    )
    piped = any(job.target == "-" for job in jobs)
    if piped and sys.stdout.isatty():
        raise UsageError("-o -: stdout is a terminal. Send it to a file or a pipe, or name a file")

    # Load and translate

    display = Display(total=len(jobs), as_json=as_json, pictures_on_stdout=piped)
    chosen = device_of(device, gpu)
    if chosen == "auto":
        chosen = device_of_process(os.environ)
    models = []
    for path in paths:
        translator = load(
            path,
            device=chosen,
            tile=rows,
            memory=memory_bytes,
            encoder=encoder,
            engine=engine,
            precision=precision,
            notice=display.say,
        )
        name = str(path) if len(paths) > 1 else None
        models.append(with_samples(translator, requested, name=name))
        header = translator.header
        say(f"{header.source} → {header.target} on {translator.device}")
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


def _listed(files_from: str | None, inputs: list[str], *, zero: bool) -> "list[Input] | None":
    """Read the list of inputs; None without ``--files-from``."""
    from imgtranslate.translation.inputs import read_list

    if files_from is None:
        if zero:
            raise UsageError("-0: says how a list is written. Give one by --files-from")
        return None
    if files_from == "-" and "-" in inputs:
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
