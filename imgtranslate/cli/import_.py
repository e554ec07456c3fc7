"""``imgtranslate import``."""

from pathlib import Path
from typing import Annotated

import typer

from imgtranslate.cli.terminal import examples, result, say, say_command
from imgtranslate.errors import nearest

EPILOG = examples(
    "imgtranslate import latest_net_G_A.pth -o ab.safetensors",
    "imgtranslate import latest_net_G.pth --encoder latest_net_E.pth -o ab.safetensors",
)


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.pth", help="A generator as the reference saved it.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.safetensors", help="The model.")
    ],
    encoder: Annotated[
        Path | None, typer.Option(help="BicycleGAN's net_E, saved with the generator.")
    ] = None,
    latent_dim: Annotated[
        int | None, typer.Option(min=0, help="Inputs of a UNet that are the code z.")
    ] = None,
    norm_statistics: Annotated[
        str, typer.Option(help="Batch norm by training statistics, or by each picture.")
    ] = "training",
    direction: Annotated[
        str | None, typer.Option(help="ab or ba; else from the file's name.")
    ] = None,
    source: Annotated[str, typer.Option(help="Name of the inputs, as horses.")] = "a",
    target: Annotated[str, typer.Option(help="Name of the outputs, as zebras.")] = "b",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output if it exists.")
    ] = False,
) -> None:
    """Turn published weights into a checkpoint; the architecture is read from the file.

    For generators of CycleGAN, pix2pix, CUT and BicycleGAN as their reference repositories saved
    them. No code in the file is run.
    """
    from imgtranslate.model_files.checkpoint import Direction
    from imgtranslate.model_files.import_weights import import_weights

    directions: tuple[Direction, ...] = ("ab", "ba")
    header = import_weights(
        file,
        output,
        encoder=encoder,
        latent_dim=latent_dim,
        statistics=nearest(norm_statistics, ("training", "picture"), what="--norm-statistics"),
        direction=None if direction is None else nearest(direction, directions, what="--direction"),
        source=source,
        target=target,
        overwrite=overwrite,
    )
    say(header.architecture)
    say_command("use     ", "translate", "in.jpg", "--model", str(output))
    result(str(output))
