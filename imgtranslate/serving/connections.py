"""Connections that end when their client stands still; uvicorn alone would wait for ever."""

import asyncio
from collections.abc import Callable
from typing import final

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for the head of a request
WRITE_SECONDS = 30.0  # for a client to take what waits for it, some 64 KB
MOST_CONNECTIONS = 256


@final
class Connection(H11Protocol):
    """Uvicorn's HTTP/1.1 with limits in time: the body of a request has its own, elsewhere."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head, unless there are too many connections."""
        super().connection_made(transport)
        self._head = Timer(self.loop, transport.abort, seconds=HEAD_SECONDS)
        self._write = Timer(self.loop, transport.abort, seconds=WRITE_SECONDS)
        self._head.start()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came; a head has its time from its first byte on."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.stop()
        else:
            self._head.start()

    def on_response_complete(self) -> None:
        """Leave a connection without a head to uvicorn's own limit."""
        self._head.stop()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait for a client to read."""
        super().pause_writing()
        self._write.start()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._write.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._head.stop()
        self._write.stop()


@final
class Timer:
    """Calls once it has run for so long; to start it again while it runs changes nothing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, call: Callable[[], None], *, seconds: float
    ) -> None:
        self._loop = loop
        self._call = call
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Run, unless it runs already."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._call)

    def stop(self) -> None:
        """Run no longer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
