"""Stopping by Ctrl-C, SIGTERM or SIGHUP: the first requests a clean stop, the second ends."""

import signal
import sys
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
    """Set the event and print ``words`` on the first signal; end the process on the second.

    The signals are Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends, unless the process
    was started by ``nohup``.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    stopped = Stopped()
    line = f"{words}. Press Ctrl-C again to stop at once"
    saying = threading.Thread(target=(lambda _: None) if quiet else say, args=(line,))

    def request_stop(number: int, _: FrameType | None) -> None:
        stopped.signal_number = number
        stopped.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        saying.start()  # in its own thread: this one may be in the middle of writing a line

    before = {each: signal.signal(each, request_stop) for each in signals}
    try:
        yield stopped
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if stopped.is_set():
            saying.join()
