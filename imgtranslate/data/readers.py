"""Readers, which read batches ahead of the training: a thread, or processes.

A reader sends its batches in order through a queue or a pipe, and waits when it is far enough
ahead. Processes share neither memory nor locks, so a small ``/dev/shm`` does not limit them and a
dead one cannot block the others.
"""

import atexit
import contextlib
import multiprocessing
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol, final

from imgtranslate.errors import ImgTranslateError

AHEAD = 2  # batches that a reader holds while the next one is read
STOPS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])]

ReadAll = Callable[[int, int], Iterator[Any]]  # reads every n-th batch from a first one


class ReaderError(ImgTranslateError):
    """The death of a process that reads pictures."""


class Reader(Protocol):
    """A source of batches in order."""

    def take(self, *, seconds: float) -> Any:
        """Return the next batch, or None if it is not ready within ``seconds``."""

    def close(self) -> None:
        """Stop reading."""


def start_readers(read_all: ReadAll, *, workers: int) -> Sequence[Reader]:
    """Start ``workers`` processes, or a thread if there are none.

    Reader k reads batches k, k + n, k + 2 n, … of n readers. If the system refuses a process, for
    lack of file descriptors or of memory, half of the processes that could start are used.
    """
    while workers:
        readers: list[Reader] = []
        try:
            for first in range(workers):
                readers.append(ReaderProcess(read_all, first, workers))
        except OSError:
            for reader in readers:
                reader.close()
            workers = len(readers) // 2
        else:
            return readers
    return [ReaderThread(read_all(0, 1))]


@final
class ReaderThread:
    """A reader in a thread of this process; decoding releases Python's lock."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._ready = queue.Queue[Any](AHEAD)
        self._closed = False
        # A daemon: a file system that hangs does not delay the exit.
        threading.Thread(target=self._read, args=(batches,), daemon=True).start()

    def take(self, *, seconds: float | None) -> Any:
        """Return the next batch; None if there is none within ``seconds``, or after the last."""
        try:
            found = self._ready.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(found, _Bug):
            raise found.error
        return found

    def close(self) -> None:
        """Stop after the batch that is being read."""
        self._closed = True
        with contextlib.suppress(queue.Empty):  # the thread may wait for room
            while True:
                self._ready.get_nowait()

    def _read(self, batches: Iterator[Any]) -> None:
        try:
            for batch in batches:
                self._ready.put(batch)
                if self._closed:
                    return
        except BaseException as error:
            self._ready.put(_Bug(error))
        self._ready.put(None)


@final
class _Bug:
    """An exception that ends a thread, to be raised where its next batch is taken."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


@final
class ReaderProcess:
    """A reader in a process of its own, which ends when this process closes it or ends."""

    def __init__(self, read_all: ReadAll, first: int, every: int) -> None:
        self._received, sent = multiprocessing.Pipe(duplex=False)
        arguments = (read_all, first, every, self._received, sent)
        self._process = multiprocessing.Process(target=_send_all, args=arguments, daemon=True)
        try:
            with _signals_held():
                self._process.start()
        except OSError:
            self._received.close()
            raise
        finally:
            sent.close()
        # Before multiprocessing, which would wait at the exit for a process that does not end.
        atexit.register(self.close)

    def take(self, *, seconds: float) -> Any:
        """Return the next batch, or None if it is not ready within ``seconds``.

        Raises ``ReaderError`` if the process has died.
        """
        try:
            return self._received.recv() if self._received.poll(seconds) else None
        except (EOFError, OSError) as error:
            self._process.join(1)
            code = self._process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else "has ended"
            raise ReaderError(
                f"a process that reads pictures {how}, probably for lack of memory. Use fewer "
                "data.workers, or 0"
            ) from error

    def close(self) -> None:
        """Kill the process, which holds nothing that must be kept."""
        atexit.unregister(self.close)
        self._received.close()
        self._process.kill()
        self._process.join()


def _send_all(
    read_all: ReadAll, first: int, every: int, received: Connection, sent: Connection
) -> None:
    """Read and send all batches of a process until nobody receives them any more.

    Signals reach the whole process group; the training process alone answers them.
    """
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    received.close()  # the copy of the training process alone keeps the pipe open
    thread = ReaderThread(read_all(first, every))
    with contextlib.suppress(OSError):
        while (batch := thread.take(seconds=None)) is not None:
            sent.send(batch)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold signals back while a process is forked, which would answer them like this one."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
