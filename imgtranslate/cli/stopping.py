"""Ctrl-C and SIGTERM ask for a clean stop; a second one ends at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from imgtranslate.cli.terminal import say


class Stopped(threading.Event):
    """Set by a signal, whose number it remembers."""

    signal_number: int = signal.SIGTERM  # unless another came

    @property
    def exit_code(self) -> int:
        """What shells expect after that signal."""
        return 128 + self.signal_number


@contextmanager
def stop_on_signals(words: str, *, quiet: bool = False) -> Iterator[Stopped]:
    """Ask for a clean stop on the first Ctrl-C or SIGTERM, and say so; the second ends at once."""
    stopped = Stopped()
    line = f"{words}. Once more to stop at once"
    saying = threading.Thread(target=(lambda _: None) if quiet else say, args=(line,))

    def ask(number: int, _: FrameType | None) -> None:
        stopped.signal_number = number
        stopped.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        saying.start()  # the signal may have come while this thread was writing a line itself

    before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if stopped.is_set():
            saying.join()
