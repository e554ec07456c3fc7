"""``imgtranslate import``."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from imgtranslate.cli.options import option
from imgtranslate.cli.terminal import examples, result, say, say_command
from imgtranslate.errors import nearest

EPILOG = examples(
    "imgtranslate import latest_net_G_A.pth -o ab.safetensors",
    "imgtranslate import latest_net_G.pth --encoder latest_net_E.pth -o ab.safetensors",
    "imgtranslate import tutorial.pth --network G_A2B --padding zero -o ab.safetensors",
)


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.pth", help="Weights of a generator from a reference repository."
        ),
    ],
    output: Annotated[Path, option("FILE.safetensors", "Model file to write.", "--output", "-o")],
    encoder: Annotated[
        Path | None, option("FILE.pth", "Encoder of BicycleGAN (net_E), stored in the same model.")
    ] = None,
    network: Annotated[
        str | None,
        option(
            "NAME",
            "Name of the generator in a file that contains several networks, such as G_A2B.",
            show_default="the only one",
        ),
    ] = None,
    latent_dim: Annotated[
        int | None,
        option(
            "N",
            "Length of the latent code z of a UNet; 0 for none.",
            min=0,
            show_default="from the weights",
        ),
    ] = None,
    padding: Annotated[
        str | None,
        option(
            "zero|reflect",
            "Padding of a ResNet that the reference repositories did not save: it cannot be told "
            "from the weights. Its last layer must be tanh.",
            show_default="that of the reference",
        ),
    ] = None,
    norm_statistics: Annotated[
        str,
        option(
            "KIND",
            "Batch norm statistics to use: training (those in the file) or picture (those "
            "of each picture, like the test script of the reference).",
        ),
    ] = "training",
    direction: Annotated[
        str | None,
        option(
            "ab|ba",
            "Direction that the generator translates in.",
            show_default="from the file name",
        ),
    ] = None,
    source: Annotated[str, option("NAME", "Name of the input domain, such as horses.")] = "a",
    target: Annotated[str, option("NAME", "Name of the output domain, such as zebras.")] = "b",
    overwrite: Annotated[bool, option("", "Replace an existing output.", "--overwrite")] = False,
) -> None:
    """Convert published weights to a model file; the architecture is read from the weights.

    Takes generators of CycleGAN, pix2pix, CUT and BicycleGAN in the form that their
    reference repositories save. No code in the file is run.
    """
    from imgtranslate.model_files.import_weights import import_weights
    from imgtranslate.settings.config import Direction, Padding

    directions = get_args(Direction)
    header = import_weights(
        file,
        output,
        encoder=encoder,
        network=network,
        latent_dim=latent_dim,
        padding=None if padding is None else nearest(padding, get_args(Padding), what="--padding"),
        statistics=nearest(norm_statistics, ("training", "picture"), what="--norm-statistics"),
        direction=None if direction is None else nearest(direction, directions, what="--direction"),
        source=source,
        target=target,
        overwrite=overwrite,
    )
    say(header.architecture)
    say_command("use     ", "translate", "in.jpg", "--model", str(output))
    result(str(output))
