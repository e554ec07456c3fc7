"""``imgtranslate translate``."""

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from imgtranslate.cli.terminal import examples, is_terminal, printable, result, say
from imgtranslate.errors import UsageError

if TYPE_CHECKING:
    from imgtranslate.checkpoint import ModelHeader
    from imgtranslate.workflows.looks import Looks
    from imgtranslate.workflows.translate import Existing, Outcome

EPILOG = examples(
    "imgtranslate translate in.jpg --model ab.safetensors",
    "imgtranslate translate in.jpg --model runs/horses2zebras -o out.png",
    "imgtranslate translate ./photos --model ab.safetensors -o ./zebras --skip-existing",
    "imgtranslate translate edges.png --model runs/labels2photos --samples 6 --seed 0",
    "imgtranslate translate '*.jpg' --model ab.safetensors -o ./zebras --format png --json",
)
LOOKS = "Looks, of models with a code"
MOST = 10_000  # looks of one picture
PLAIN_SECONDS = 30.0  # between plain lines


def translate(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders of them, globs.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE|RUN", help="ab.safetensors, or a run: its best, else last."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="A file if it ends in an image suffix, else a folder; else beside the input.",
        ),
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="png, jpg, …; else that of each input.")
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    gpu: Annotated[str | None, typer.Option(help="Number of the GPU.")] = None,
    tile: Annotated[
        str, typer.Option(metavar="auto|off|N", help="In strips: when too big, never, of N rows.")
    ] = "auto",
    memory: Annotated[
        str | None, typer.Option(metavar="4G", help="To work in; else half of what is free.")
    ] = None,
) -> None:
    """Translate pictures of any size, each into one of the same size.

    Without -o, in.jpg becomes in.zebras.jpg beside it; a folder needs -o and keeps its tree.

    One bad picture does not stop the rest: the last line counts, the exit status is then 1.
    """
    from imgtranslate.checkpoint import read_model_header
    from imgtranslate.memory import parse_memory, parse_tile
    from imgtranslate.translator import find_model, load
    from imgtranslate.workflows.looks import choose, refuse_unfit
    from imgtranslate.workflows.translate import plan_translation, run_jobs

    looks = _looks(
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
    path = find_model(_given(model))
    header = read_model_header(path)
    refuse_unfit(looks, header)
    jobs = plan_translation(
        inputs,
        domain=header.target,
        output=output,
        file_format=file_format,
        existing=existing,
        looks=looks.count,
        grid=grid,
        channels=(header.in_channels, header.out_channels),
    )
    translator = load(
        path,
        device=_device(device, gpu),
        tile=rows,
        memory=room,
        notice=lambda line: say(printable(line)),
    )
    chosen = choose(looks, translator)
    say(_headline(header, translator.device))
    with Display(total=len(jobs), as_json=as_json) as display:
        for outcome in run_jobs(jobs, translator=translator, existing=existing, chosen=chosen):
            display.show(outcome)
    if display.failed:
        raise typer.Exit(1)


class Display:
    """Results on stdout, failures and progress on stderr, a count at the end."""

    def __init__(self, *, total: int, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

        self._total = total
        self._as_json = as_json
        self._counts: Counter[str] = Counter()
        self._start = self._said_at = time.monotonic()
        self._bar = Progress(
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,  # rich would send it to stderr
            transient=True,
            disable=total == 1 or not is_terminal(),
        )
        self._task = self._bar.add_task("translating", total=total)

    def __enter__(self) -> Self:
        """Draw from now on."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was and say how many of what there were."""
        self._bar.stop()
        say(self._summary())

    @property
    def failed(self) -> bool:
        """Whether any picture failed."""
        return self._counts["failed"] > 0

    def show(self, outcome: "Outcome") -> None:
        """Count and show what became of one picture."""
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self._say(f"failed: {outcome.input}: {outcome.reason}")
        if self._as_json:
            self._result(json.dumps(outcome.to_json()))
        elif outcome.status == "written":
            self._result(str(outcome.output))
        self._bar.advance(self._task)
        self._plain_line()

    def _say(self, line: str) -> None:
        if self._bar.live.is_started:
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            say(line)

    def _result(self, line: str) -> None:
        """A path goes into a pipe byte by byte as it is, and to a person without control codes."""
        if not sys.stdout.isatty():
            typer.echo(os.fsencode(line))
        elif self._bar.live.is_started:
            self._say(line)
        else:
            result(printable(line))

    def _plain_line(self) -> None:
        now, done = time.monotonic(), self._counts.total()
        if not self._bar.disable or now - self._said_at < PLAIN_SECONDS or done == self._total:
            return
        self._said_at = now
        minutes = (now - self._start) / done * (self._total - done) / 60
        say(f"{done} of {self._total}, about {minutes:.0f} min left")

    def _summary(self) -> str:
        counts = ", ".join(f"{self._counts[s]} {s}" for s in ("written", "skipped", "failed"))
        stopped = "" if self._counts.total() == self._total else "stopped: "
        return f"{stopped}translated {self._counts['written']} of {self._total}: {counts}"


def _looks(
    *,
    samples: int | None,
    seed: int | None,
    sync: bool,
    style: Path | None,
    z: str | None,
    z_file: Path | None,
    path: tuple[Path, Path] | None,
    frames: int | None,
    grid: bool,
) -> "Looks":
    """What was asked for; ``UsageError`` for two ways at once."""
    from imgtranslate.workflows.looks import Looks, parse_codes, read_codes

    ways = {"--style": style, "--z": z, "--z-file": z_file, "--interpolate": path}
    drawn = {"--samples": samples, "--seed": seed, "--sync": sync or None}
    given = [name for name, value in ways.items() if value is not None]
    given += [name for name, value in drawn.items() if value is not None][:1]
    if len(given) > 1:
        raise UsageError(f"{given[0]}, {given[1]}: both choose the look. Give one of them")
    if frames is not None and path is None:
        raise UsageError("--frames: counts the looks of --interpolate. Give both")
    codes = parse_codes(z) if z is not None else read_codes(z_file) if z_file else ()
    return Looks(
        options=(*given, *(["--grid"] if grid else [])),
        samples=samples or 1,
        seed=seed or 0,
        sync=sync,
        codes=codes,
        style=style,
        path=path,
        frames=frames or 8,
    )


def _headline(header: "ModelHeader", device: str) -> str:
    return printable(f"{header.source} -> {header.target} on {device}")


def _existing(*, skip: bool, overwrite: bool) -> "Existing":
    if skip and overwrite:
        raise UsageError("--skip-existing, --overwrite: contradict each other. Choose one")
    return "skip" if skip else "overwrite" if overwrite else "refuse"


def _given(model: Path | None) -> Path:
    if model is None:
        raise UsageError("--model: not given. Name an ab.safetensors or the folder of a run")
    return model


def _device(device: str, gpu: str | None) -> str:
    if gpu is None:
        return device
    from imgtranslate.device import device_of_gpu

    return device_of_gpu(gpu)
