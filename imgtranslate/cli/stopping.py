"""Stopping by Ctrl-C or SIGTERM: the first requests a clean stop, the second ends the process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from imgtranslate.cli.terminal import say


class Stopped(threading.Event):
    """An event that is set by a signal, and the number of the signal."""

    signal_number: int = signal.SIGTERM

    @property
    def exit_code(self) -> int:
        """The exit status that shells expect after the signal."""
        return 128 + self.signal_number


@contextmanager
def stop_on_signals(words: str, *, quiet: bool = False) -> Iterator[Stopped]:
    """Set the event and print ``words`` on the first Ctrl-C or SIGTERM; exit on the second."""
    stopped = Stopped()
    line = f"{words}. Press Ctrl-C again to stop at once"
    saying = threading.Thread(target=(lambda _: None) if quiet else say, args=(line,))

    def request_stop(number: int, _: FrameType | None) -> None:
        stopped.signal_number = number
        stopped.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        saying.start()  # in its own thread: this one may be in the middle of writing a line

    before = {each: signal.signal(each, request_stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if stopped.is_set():
            saying.join()
