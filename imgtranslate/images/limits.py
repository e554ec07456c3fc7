"""How much a picture may unpack to, and Pillow's global state while it is read.

Pillow keeps its limit and Python its warnings once for the whole process. Threads read at the same
time, so a change stands as long as any of them needs it and is undone by the last.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import final

from PIL import Image

from imgtranslate.errors import ImageError

FRAMES_LIMIT = 8  # all frames of an animation together, in pictures of the largest size


@final
class Shared:
    """A change that is made for the first who needs it and undone after the last."""

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._users = 0
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Let the change stand for the body."""
        with self._lock:
            if self._users == 0:
                self._undo.enter_context(self._change())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._undo.close()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(PIL|numpy)\b")
        yield


@contextlib.contextmanager
def _without_limit() -> Iterator[None]:
    limit = Image.MAX_IMAGE_PIXELS
    _lifted.append(limit)
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
        _lifted.clear()


_lifted: list[int | None] = []  # Pillow's limit while it is lifted
_narrowed: ContextVar[int] = ContextVar("narrowed", default=2**62)

quiet = Shared(_without_warnings)
unlimited = Shared(_without_limit)  # others still meet `refuse_bomb`, which knows the limit


@contextlib.contextmanager
def pixels_at_most(limit: int) -> Iterator[None]:
    """Refuse pictures of more pixels in the body, in this thread alone."""
    token = _narrowed.set(limit)
    try:
        yield
    finally:
        _narrowed.reset(token)


def pixel_limit() -> int:
    """How many pixels a picture may have: Pillow's limit, which a program may set, or less."""
    limit = (_lifted[0] if _lifted else Image.MAX_IMAGE_PIXELS) or 2**62
    return min(limit, _narrowed.get())


def refuse_bomb(size: tuple[int, int], *, allow_huge: bool = False) -> None:
    """Raise ``ImageError`` for a picture of more pixels than the limit."""
    pixels = size[0] * size[1]
    if pixels > pixel_limit() and not allow_huge:
        raise ImageError(too_big(pixels))


def refuse_long_bomb(pixels: int, *, allow_huge: bool) -> None:
    """Raise ``ImageError`` for an animation of more pixels than memory should hold."""
    limit = FRAMES_LIMIT * pixel_limit()
    if pixels > limit and not allow_huge:
        raise ImageError(
            f"its frames have more than {limit:,} pixels together. "
            "Cut it, or allow it with translate --allow-huge"
        )


def too_big(pixels: int) -> str:
    """Why a picture of so many pixels is refused, and what to do."""
    return (
        f"{pixels:,} pixels, more than the limit of {pixel_limit():,}. "
        "Shrink it, or allow it with translate --allow-huge"
    )
