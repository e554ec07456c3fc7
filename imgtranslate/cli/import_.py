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
        Path,
        typer.Argument(
            metavar="FILE.pth", help="Weights of a generator from a reference repository."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE.safetensors", help="Model file to write."),
    ],
    encoder: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pth", help="Encoder of BicycleGAN (net_E), stored in the same model."
        ),
    ] = None,
    latent_dim: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Length of the latent code z of a UNet; 0 for none.",
            show_default="from the weights",
        ),
    ] = None,
    norm_statistics: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Batch norm statistics to use: training (those in the file) or picture (those "
            "of each picture, like the test script of the reference).",
        ),
    ] = "training",
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="ab|ba",
            help="Direction that the generator translates in.",
            show_default="from the file name",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the input domain, such as horses.")
    ] = "a",
    target: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the output domain, such as zebras.")
    ] = "b",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing output.")
    ] = False,
) -> None:
    """Convert published weights to a model file; the architecture is read from the weights.

    Takes generators of CycleGAN, pix2pix, CUT and BicycleGAN in the form that their
    reference repositories save. No code in the file is run.
    """
    from imgtranslate.model_files.import_weights import import_weights
    from imgtranslate.settings.config import Direction

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
