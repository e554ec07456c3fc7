"""Serve: models behind a small local HTTP service, for a page in a browser and for programs."""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import uvicorn
from starlette.types import ASGIApp

from imgtranslate.errors import UsageError
from imgtranslate.serving.app import Answered, Limits, Service
from imgtranslate.serving.connections import Connection
from imgtranslate.serving.middleware import is_number
from imgtranslate.serving.models import Served, pixels_in_memory

_TICK = 0.1  # s, between two looks at whether to stop


def bind(host: str, port: int) -> socket.socket:
    """Take a place to listen at, without listening yet. Raises ``UsageError``."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: no such address here. Use 127.0.0.1") from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(
            f"--host {host} --port {port}: cannot be had: {_why(error)}. "
            "Choose another port, or 0 for any"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def fitting_limits(limits: Limits, models: Sequence[Served]) -> Limits:
    """The limits with no more pixels than the memory holds: no picture is put into a file."""
    return replace(limits, max_pixels=min(limits.max_pixels, pixels_in_memory(models)))


def serve(
    models: Sequence[Served],
    listener: socket.socket,
    *,
    limits: Limits,
    names: Sequence[str] = (),
    stop: Callable[[], bool],
    ready: Callable[[], None],
    report: Callable[[Answered], None],
) -> None:
    """Serve until ``stop`` says so; then the picture at hand is finished, and the rest refused.

    ``names``: further names of this machine, for requests that call it so. ``ready`` is called
    once connections are taken, ``report`` for each request to translate; both in another thread.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not of what clients do wrong
    service = Service(models, limits=limits, report=report)
    app = service.app(names=[*names, *_own_names()])
    thread = ThreadPoolExecutor(1, "serve")  # so that this one remains for signals
    running = thread.submit(
        asyncio.run, _serving(app, listener, close=service.close, stop=stop, ready=ready)
    )
    while not running.done():
        wait([running], timeout=1)
    thread.shutdown(wait=False)
    running.result()


async def _serving(
    app: ASGIApp,
    listener: socket.socket,
    *,
    close: Callable[[], None],
    stop: Callable[[], bool],
    ready: Callable[[], None],
) -> None:
    server = uvicorn.Server(_config(app))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not running.done():
        await asyncio.sleep(_TICK / 10)
    if server.started:
        ready()
    while not stop() and not running.done():
        await asyncio.sleep(_TICK)
    close()
    server.should_exit = True
    await running


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
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


def _own_names() -> list[str]:
    """What neighbours call this machine; no name server is asked."""
    name = socket.gethostname()
    return [] if is_number(name) else [name, f"{name.partition('.')[0]}.local"]


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
