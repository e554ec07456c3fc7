"""What is done with the bytes of one picture: the same as ``translate`` does, in memory alone."""

import contextlib
import io
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imgtranslate.errors import ImageError
from imgtranslate.images import Picture, encode_image, holds_frames, read_frames, resized
from imgtranslate.images.limits import pixels_at_most
from imgtranslate.serving.wishes import Wish


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
    translator = wish.model.translator
    made = []
    for frame in _read(content, wish, most=most):
        if not wanted():
            raise UnwantedError
        code = wish.chosen.code(0, frame.pixels, translator)
        made.append(translator.translate_picture(frame, z=code))
    encoded = encode_image(made, suffix=wish.suffix, quality=wish.quality)
    height, width = made[0].pixels.shape[:2]
    return Made(content=encoded, size=(width, height), seconds=time.perf_counter() - start)


def _read(content: bytes, wish: Wish, *, most: int) -> list[Picture]:
    """All that is to be translated; what is not made smaller is judged before it is unpacked."""
    with contextlib.ExitStack() as stack:
        if wish.resize is None:
            stack.enter_context(pixels_at_most(most))
        return list(_frames(content, wish, most=most))


def _frames(content: bytes, wish: Wish, *, most: int) -> Iterator[Picture]:
    channels = wish.model.header.in_channels
    frames = read_frames(io.BytesIO(content), channels=channels, alpha=wish.alpha)
    total = 0
    for frame in frames if holds_frames(wish.suffix) else itertools.islice(frames, 1):
        fitting = frame if wish.resize is None else resized(frame, wish.resize)
        total += fitting.pixels.shape[0] * fitting.pixels.shape[1]
        if total > most:
            raise ImageError(
                f"-: {total:,} pixels or more in all its frames, over the limit of {most:,}. "
                "Shrink or cut it first"
            )
        yield fitting
