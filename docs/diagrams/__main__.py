"""Draw the diagrams, or print the figures of the pages: ``python -m docs.diagrams``."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from docs.diagrams.canvas import Canvas
from docs.diagrams.figures import draw_table, gradient_table, networks_table, patches_table
from docs.diagrams.gan_losses import draw_gan_losses
from docs.diagrams.networks import draw_norms, draw_patchgan, draw_resnet, draw_unet
from docs.diagrams.paired import draw_bicyclegan, draw_pix2pix
from docs.diagrams.steps import draw_step
from docs.diagrams.unpaired import draw_cycles, draw_gan, draw_unpaired

FOLDER = Path(__file__).parent
DRAWINGS: Mapping[str, Callable[[], Canvas]] = {
    "gan": draw_gan,
    "unpaired": draw_unpaired,
    "cycles": draw_cycles,
    "cyclegan-step": partial(draw_step, "cyclegan"),
    "gan-losses": draw_gan_losses,
    "norms": draw_norms,
    "resnet": draw_resnet,
    "unet": draw_unet,
    "patchgan": draw_patchgan,
    "pix2pix": draw_pix2pix,
    "pix2pix-step": partial(draw_step, "pix2pix"),
    "bicyclegan": draw_bicyclegan,
    "bicyclegan-step": partial(draw_step, "bicyclegan"),
}
TABLES: Mapping[str, Callable[[], str]] = {
    "Gradients of CycleGAN": partial(gradient_table, "cyclegan"),
    "Gradients of pix2pix": partial(gradient_table, "pix2pix"),
    "Gradients of BicycleGAN": partial(gradient_table, "bicyclegan"),
    "Losses of a draw": draw_table,
    "Patches": patches_table,
    "Networks": networks_table,
}


def main(
    folder: Annotated[Path, typer.Argument(help="Folder for the SVG files.")] = FOLDER,
    tables: Annotated[
        bool, typer.Option("--tables", help="Print the tables of the pages instead.")
    ] = False,
) -> None:
    """Draw all diagrams of the pages, or print their tables."""
    if tables:
        typer.echo("\n\n".join(f"{name}\n\n{table()}" for name, table in TABLES.items()))
        return
    for name, draw in DRAWINGS.items():
        (folder / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
