"""``imgtranslate translate``."""

import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imgtranslate.cli.options import Device, Gpu, device_of, option
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, say, say_notice, stderr_to_ourselves
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
folder_option = partial(option, rich_help_panel="Lists and shards")
picture_option = partial(option, rich_help_panel="Reading and writing pictures")
code_option = partial(option, rich_help_panel="Models with a latent code z, such as BicycleGAN")


def translate(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...", help="Pictures, folders or globs to translate; - is stdin."
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        option(
            "FILE|RUN",
            "Model or export to translate with, or a run, whose best model is used, else the "
            "last. Repeatable.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        option(
            "FILE|DIR|-|PATTERN",
            "Output file if the name ends in an image suffix, else output folder; - is "
            "stdout; or a pattern such as '{dir}/{stem}.{domain}.{ext}'.",
            "--output",
            "-o",
            show_default="beside the input",
        ),
    ] = None,
    skip_existing: Annotated[
        bool, option("", "Skip pictures whose output already exists.", "--skip-existing")
    ] = False,
    overwrite: Annotated[
        bool, option("", "Replace outputs that already exist.", "--overwrite")
    ] = False,
    as_json: Annotated[
        bool, option("", "Print one JSON object per picture instead of its path.", "--json")
    ] = False,
    device: Device = "auto",
    engine: Annotated[
        Literal["auto", "torch", "onnx", "openvino"],
        option(
            None,
            "Runtime; auto is onnx (ONNX Runtime) for .onnx, and for .safetensors on a CPU; torch "
            "for .safetensors on a GPU; openvino for its folder. openvino also runs an .onnx.",
        ),
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "fp16"],
        option(None, "Precision of the convolutions; fp16 works on GPUs only."),
    ] = "fp32",
    gpu: Gpu = None,
    files_from: Annotated[
        str | None,
        folder_option("FILE|-", "Read input paths from a file, one per line; - is stdin."),
    ] = None,
    zero: Annotated[
        bool,
        folder_option(
            "",
            "Paths in --files-from end with null bytes, as find -print0 writes them.",
            "-0",
            "--null",
        ),
    ] = False,
    limit: Annotated[
        int | None,
        folder_option("N", "Translate only the first N pictures.", min=1, show_default="all"),
    ] = None,
    ignore_errors: Annotated[
        bool, folder_option("", "Exit with status 0 even if pictures fail.", "--ignore-errors")
    ] = False,
    shard: Annotated[
        str | None,
        folder_option(
            "K/N",
            "Translate only part K of N, from 1/N to N/N, chosen by file name.",
            show_default="all; under torchrun, the part of the rank",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        picture_option(
            "SUFFIX",
            "Output format: png, jpg, webp, tif or another suffix.",
            "--format",
            show_default="as the input",
        ),
    ] = None,
    quality: Annotated[
        int | None,
        picture_option(
            "N",
            "Quality of JPEG, AVIF and WebP; 100 is best.",
            min=1,
            max=100,
            show_default="95; WebP lossless",
        ),
    ] = None,
    tile: Annotated[
        str,
        picture_option(
            "auto|off|N",
            "Translate in strips to save memory: auto when memory is short, off never, N "
            "always, in strips of N rows.",
        ),
    ] = "auto",
    memory: Annotated[
        str | None,
        picture_option(
            "SIZE",
            "Memory to use for a picture, such as 4G or 500M.",
            show_default="half of the free memory",
        ),
    ] = None,
    resize: Annotated[
        int | None,
        picture_option(
            "PX",
            "Resize the shorter side to this before translating.",
            min=1,
            show_default="not resized",
        ),
    ] = None,
    alpha: Annotated[
        Literal["keep", "drop", "matte"],
        picture_option(None, "Keep transparency, drop it, or composite over white (matte)."),
    ] = "keep",
    allow_huge: Annotated[
        bool,
        picture_option("", "Read pictures beyond the limit of 89 million pixels.", "--allow-huge"),
    ] = False,
    samples: Annotated[
        int | None,
        code_option(
            "N",
            "Samples of each picture, each with another random code.",
            min=1,
            max=MOST,
            show_default="1",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        code_option(
            "N",
            "Random seed of the first sample; the others use the following seeds.",
            min=0,
            show_default="0",
        ),
    ] = None,
    sync: Annotated[
        bool, code_option("", "Use the same random codes for every picture.", "--sync")
    ] = False,
    style: Annotated[
        Path | None,
        code_option("PICTURE", "Use the code that the encoder reads from a target picture."),
    ] = None,
    encoder: Annotated[
        Path | None,
        code_option("FILE.onnx", "Exported encoder that reads codes for an exported model."),
    ] = None,
    z: Annotated[
        str | None, code_option("NUMBERS", "Use this code, such as 0.1,-0.4,1.", "--z")
    ] = None,
    z_file: Annotated[
        Path | None,
        code_option("FILE", "Use codes from a file: one per line, or an .npy array of rows."),
    ] = None,
    interpolate: Annotated[
        tuple[Path, Path] | None,
        code_option(
            "PICTURE PICTURE", "Use codes between those of two target pictures, in --frames steps."
        ),
    ] = None,
    frames: Annotated[
        int | None,
        code_option(
            "N",
            "Number of codes for --interpolate, including both ends.",
            min=2,
            max=MOST,
            show_default="8",
        ),
    ] = None,
    grid: Annotated[
        bool, code_option("", "Write one picture with the input and all its samples.", "--grid")
    ] = False,
) -> None:
    """Translate pictures of any size; each result has the size of its input.

    Without -o, in.jpg becomes in.zebras.jpg in the same folder. A folder as input
    needs -o; its sub-folders are kept. An existing output is an error unless
    --skip-existing or --overwrite is given. If a picture fails, the others are
    still translated, and the exit status is 1.
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

    # Read the request.

    ways = {"--style": style, "--z": z, "--z-file": z_file, "--interpolate": interpolate}
    drawn = {"--samples": samples, "--seed": seed, "--sync": sync or None}
    given = [name for name, value in ways.items() if value is not None]
    given += [name for name, value in drawn.items() if value is not None][:1]
    if len(given) > 1:
        raise UsageError(f"{given[0]}, {given[1]}: both choose the code z. Give one of them")
    if frames is not None and interpolate is None:
        raise UsageError("--frames: works with --interpolate only. Add --interpolate")
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
        raise UsageError("--skip-existing, --overwrite: contradict each other. Give one of them")
    existing: Existing = "skip" if skip_existing else "overwrite" if overwrite else "refuse"
    inputs = inputs or []
    listed = _listed(files_from, inputs, zero=zero)
    if not model:
        raise UsageError("--model: not given. Name a model file or the folder of a run")

    # Plan all outputs from the headers of the models.

    paths = [find_model(path) for path in model]
    headers = [read_model_header(path) for path in paths]
    for header in headers:
        refuse_unfit(requested, header)
    if not inputs and listed is None:
        raise UsageError("INPUT: not given. Name a picture, a folder, a glob, or - for stdin")
    if "-" in inputs and sys.stdin.isatty():
        raise UsageError("-: stdin is a terminal. Pipe a picture into the command, or name a file")
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
        notice=say_notice,
    )
    piped = any(job.target == "-" for job in jobs)
    if piped and sys.stdout.isatty():
        raise UsageError(
            "-o -: stdout is a terminal. Redirect it to a file or a pipe, or name a file with -o"
        )

    # Load the models and translate.

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
            notice=display.say_notice,
        )
        name = str(path) if len(paths) > 1 else None
        models.append(with_samples(translator, requested, name=name))
        header = translator.header
        place = f"{translator.device} with {translator.runtime}"
        say(f"{header.source} → {header.target} on {place}")
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
            run_jobs(
                jobs, models=models, options=options, stop=stopped.is_set, notice=display.say_notice
            )
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
            raise UsageError("-0: works with --files-from only. Add --files-from")
        return None
    if files_from == "-" and "-" in inputs:
        raise UsageError("-: stdin is already read by --files-from. Add the picture to that list")
    if files_from == "-":
        return read_list(sys.stdin.buffer, zero=zero)
    try:
        with Path(files_from).open("rb") as file:
            return read_list(file, zero=zero)
    except OSError as error:
        raise UsageError(
            f"--files-from {files_from}: cannot be read: {error.strerror}. Check the name"
        ) from error
