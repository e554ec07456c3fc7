"""The HTTP server: address, connections with timeouts, and a clean stop."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Literal, final

import uvicorn
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from imgtranslate.errors import UsageError
from imgtranslate.serving.middleware import is_address

HEAD_SECONDS = 10.0  # seconds for the head of a request
WRITE_SECONDS = 30.0  # seconds for a client to accept a piece of a response
PIECE = 2**16  # bytes
MOST_CONNECTIONS = 256
_TICK = 0.1  # seconds between two checks of ``stop``


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket without listening yet. Raises ``UsageError``."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"`host` {host}: not an address of this machine. Use 127.0.0.1") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"`host` {host} `port` {port}: not available: {why}. Choose another port, or 0 for any"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run_server(
    app: ASGIApp,
    listener: socket.socket,
    *,
    stop: Callable[[], bool],
    ready: Callable[[], None],
    closing: Callable[[], None] = lambda: None,
) -> None:
    """Serve an application until ``stop`` returns True; then finish the current responses.

    ``ready`` is called when connections are accepted, and ``closing`` after the stop, both in
    another thread.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # no lines about invalid requests
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )

    async def run() -> None:
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():
            await asyncio.sleep(_TICK / 10)
        if server.started:
            ready()
        while not stop() and not running.done():
            await asyncio.sleep(_TICK)
        closing()
        server.should_exit = True
        await running

    thread = ThreadPoolExecutor(1, "serve")  # the calling thread stays free for signals
    running = thread.submit(asyncio.run, run())
    while not running.done():
        wait([running], timeout=1)
    thread.shutdown(wait=False)
    running.result()


def in_pieces(
    content: bytes, *, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Build a response that a slow client may take in pieces, each within the write timeout."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]

    length = {"content-length": str(len(content))}
    return StreamingResponse(pieces(), media_type=media_type, headers={**length, **(headers or {})})


def own_names() -> list[str]:
    """List the names of this machine in its network, without a name server."""
    name = socket.gethostname()
    return [] if is_address(name) else [name, f"{name.partition('.')[0]}.local"]


@final
class Connection(H11Protocol):
    """A connection that is closed if its client stalls.

    uvicorn has a timeout only for idle connections between requests: it waits without limit for the
    head of a request, and for a client that does not read. Its ``limit_concurrency`` counts a
    connection only after its head. The body of a request has its own timeout in the application.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first head; close the connection if too many are open."""
        super().connection_made(transport)
        self._timers: dict[Literal["head", "write"], asyncio.TimerHandle] = {}
        self._start("head", HEAD_SECONDS)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Start the timeout of a head at its first byte, and stop it at its last byte."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop("head")
        else:
            self._start("head", HEAD_SECONDS)

    def on_response_complete(self) -> None:
        """Leave an idle connection to the timeout of uvicorn."""
        self._stop("head")
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the timeout of a client that does not read."""
        super().pause_writing()
        self._start("write", WRITE_SECONDS)

    def resume_writing(self) -> None:
        """Stop the timeout of a client that reads again."""
        super().resume_writing()
        self._stop("write")

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timeouts."""
        super().connection_lost(exc)
        self._stop("head")
        self._stop("write")

    def _start(self, timer: Literal["head", "write"], seconds: float) -> None:
        if timer not in self._timers:
            self._timers[timer] = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self, timer: Literal["head", "write"]) -> None:
        if timer in self._timers:
            self._timers.pop(timer).cancel()
