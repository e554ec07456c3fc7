"""The translation of the bytes of one picture, by the stages of ``translate``, in memory."""

import io
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from imgtranslate.images import encode_image, holds_frames
from imgtranslate.serving.request import Wish
from imgtranslate.translation.stages import Model, Options, read_picture, translate_frames


class UnwantedError(Exception):
    """Nobody waits for the picture any more."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A translated picture as a file's bytes."""

    content: bytes
    size: tuple[int, int]  # width, height in px
    seconds: float


def translate_bytes(
    content: bytes, wish: Wish, *, most: int, wanted: Callable[[], bool] = lambda: True
) -> Made:
    """Translate a picture of any format, of all its frames if the answer's format has them.

    ``most``: pixels, of all frames together. Raises ``ImageError``, ``MemoryError``, and
    ``UnwantedError`` between two frames once ``wanted`` says no.
    """
    start = time.perf_counter()
    model = Model(translator=wish.model.translator, chosen=wish.chosen)
    frames, _ = read_picture(
        io.BytesIO(content),
        channels=wish.model.header.in_channels,
        options=Options(alpha=wish.alpha, resize=wish.resize, max_pixels=most),
        all_frames=holds_frames(wish.suffix),
    )
    wanted_frames = itertools.takewhile(lambda _: wanted(), frames)
    made = list(translate_frames(wanted_frames, model, look=0))
    if len(made) < len(frames):
        raise UnwantedError
    encoded = encode_image(made, suffix=wish.suffix, quality=wish.quality)
    height, width = made[0].pixels.shape[:2]
    return Made(content=encoded, size=(width, height), seconds=time.perf_counter() - start)
