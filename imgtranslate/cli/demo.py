"""``imgtranslate demo``."""

import time
from typing import Annotated

import typer

from imgtranslate.cli.options import option
from imgtranslate.cli.terminal import examples, in_words, result, say, say_command, say_error
from imgtranslate.errors import counted

EPILOG = examples("imgtranslate demo", "imgtranslate demo --seed 1")


def demo(
    seed: Annotated[
        int, option("N", "Random seed of the pictures and the training.", min=0, max=2**63 - 1)
    ] = 0,
    steps: Annotated[
        int | None, option("N", "Training steps, fewer than the default for a quick look.", min=1)
    ] = None,
) -> None:
    """Draw two folders of pictures and run train, translate, cycle-check and export on them.

    Works in ./imgtranslate-demo, which it replaces. Takes a few minutes on two CPU cores.
    """
    from imgtranslate.cli import run
    from imgtranslate.demo.demo import FOLDER, commands, prepare, score
    from imgtranslate.demo.scenes import TRAIN_COUNT

    began = time.monotonic()
    say(
        f"drawing {TRAIN_COUNT} painted landscapes and {TRAIN_COUNT} embroideries of other "
        f"landscapes in {FOLDER}"
    )
    data = prepare(FOLDER, seed=seed)
    for command in commands(data, FOLDER, seed=seed, steps=steps):
        say("")
        say_command("$", *command)
        status = run(command)
        if status != 0:
            raise typer.Exit(status)

    scores = score(data, FOLDER)
    say("")
    result(f"{counted(scores.scenes, 'held-out scene')}, compared with their true embroideries:")
    result(f"  paintings, untouched           SSIM {scores.input_ssim:.3f}")
    result(f"  paintings, colours matched     SSIM {scores.match_ssim:.3f}")
    result(f"  translations                   SSIM {scores.fake_ssim:.3f}")
    result(
        f"The translations leave {scores.share_of_input:.0%} of the paintings' error (1 - SSIM), "
        f"and {scores.share_of_match:.0%}\nof the error after matching the colours."
    )
    result(
        f"Mean absolute error, as a share of the full range: {scores.fake_error:.3f}; "
        f"there and back {scores.cycle_error:.3f}"
    )
    result(f"Real | Fake | Truth | Recovered: {FOLDER / 'demo.png'}")
    if not scores.good:
        say_error(
            "error: the demo fell short: these are no translations. Run it without --steps"
            if steps is not None
            else "error: the demo fell short: these are no translations. Try another --seed"
        )
        raise typer.Exit(1)
    took = in_words(time.monotonic() - began)
    say(f"learnt   paintings → embroideries and back; the whole demo took {took}")
    say_command("next    ", "train", "--a", "./horses", "--b", "./zebras", "--preset", "fast")
