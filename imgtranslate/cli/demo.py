"""``imgtranslate demo``."""

import shlex
import time
from typing import Annotated

import typer

from imgtranslate.cli.terminal import examples, result, say

EPILOG = examples("imgtranslate demo", "imgtranslate demo --seed 1")


def demo(
    seed: Annotated[
        int, typer.Option(help="Of the pictures and of the training.", min=0, max=2**63 - 1)
    ] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Stop training here: sooner done, and worse.", min=1)
    ] = None,
) -> None:
    """Draw two folders of pictures and run train, translate, cycle-check and export on them.

    Works in ./imgtranslate-demo, which it replaces. Takes a few minutes on two CPU cores.
    """
    from imgtranslate.cli import run
    from imgtranslate.demo.demo import FOLDER, commands, prepare, score

    began = time.monotonic()
    say(f"drawing painted landscapes and, of other scenes, embroideries in {FOLDER}")
    data = prepare(FOLDER, seed=seed)
    for command in commands(data, FOLDER, seed=seed, steps=steps):
        say("")
        say(f"$ imgtranslate {shlex.join(command)}")
        status = run(command)
        if status != 0:
            raise typer.Exit(status)

    scores = score(data, FOLDER)
    say("")
    result(f"{scores.scenes} held-out scenes, compared with their true embroideries:")
    result(f"  untouched input      SSIM {scores.input_ssim:.3f}")
    result(f"  best histogram match SSIM {scores.match_ssim:.3f}")
    result(
        f"  translation          SSIM {scores.fake_ssim:.3f}, mean absolute error "
        f"{scores.fake_error:.3f} of the full range"
    )
    result(
        f"  it leaves {scores.share_of_input:.0%} of the input's error (1 - SSIM) and "
        f"{scores.share_of_match:.0%} of the histogram match's"
    )
    result(f"  cycle error, there and back: {scores.cycle_error:.3f} of the full range")
    result(f"Real | Fake | Truth | Recovered: {FOLDER / 'demo.png'}")
    say(f"{time.monotonic() - began:.0f} s in all")
    if not scores.good:
        say("error: the demo fell short: that is no translation. Run it with the full steps")
        raise typer.Exit(1)
