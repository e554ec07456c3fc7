"""The service that translates, with its routes and their responses."""

import asyncio
import functools
import io
import itertools
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive

from imgtranslate.errors import ImgTranslateError
from imgtranslate.images import encode_image, holds_frames
from imgtranslate.pages.web import INDEX, POLICY, page_files
from imgtranslate.serving.device_queue import DeviceQueue
from imgtranslate.serving.errors import (
    RequestError,
    bug_response,
    error_response,
    stopping_error,
    to_request_error,
)
from imgtranslate.serving.limits import Limits
from imgtranslate.serving.middleware import EarlyResponses, HostCheck
from imgtranslate.serving.models import ServedModel
from imgtranslate.serving.openapi import Health, ModelList, describe_model, describe_service
from imgtranslate.serving.request import TranslateRequest, parse_request, read_body
from imgtranslate.serving.server import in_pieces, own_names, run_server
from imgtranslate.translation.stages import read_picture, translate_frames

_PAGE_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A finished request to translate, as reported to the caller of ``serve``."""

    status: int
    model: str | None = None
    size: tuple[int, int] | None = None  # width, height in px
    seconds: float = 0.0
    reason: str = ""


@final
class Service:
    """The models, the queue of the device, and the routes."""

    def __init__(
        self, models: Sequence[ServedModel], *, limits: Limits, report: Callable[[Answered], None]
    ) -> None:
        self._models = models
        self._limits = limits
        self._report = report
        self._queue = DeviceQueue(places=limits.queue + 1)
        self._deadlines: set[asyncio.Timeout] = set()  # of the bodies that are being sent
        self._described = [describe_model(model, max_pixels=limits.max_pixels) for model in models]
        self._page = page_files("server", [each.model_dump() for each in self._described])

    def app(self, *, names: Iterable[str]) -> ASGIApp:
        """Build the application; ``names`` are the host names of this machine."""
        routes = [
            Route("/translate", self.translate, methods=["POST"]),
            Route("/models", self.models),
            Route("/healthz", self.healthz),
            Route("/openapi.json", self.openapi),
            Route("/", self.page),
            *(Route(f"/{name}", self.page) for name in self._page),
        ]
        handlers: dict[Any, Any] = {HTTPException: _http_error, 500: bug_response}
        app = Starlette(routes=routes, exception_handlers=handlers)
        return EarlyResponses(HostCheck(app, names=names))

    def close(self) -> None:
        """Finish the current picture; refuse requests that are being sent or wait."""
        self._queue.close()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

    async def models(self, _: Request) -> Response:
        """Answer ``GET /models``."""
        return JSONResponse(ModelList(models=self._described).model_dump())

    async def healthz(self, _: Request) -> Response:
        """Answer ``GET /healthz``."""
        closed = self._queue.closed
        health = Health(status="stopping" if closed else "ok", taken=self._queue.taken)
        return JSONResponse(health.model_dump(), status_code=503 if closed else 200)

    async def openapi(self, _: Request) -> Response:
        """Answer ``GET /openapi.json``."""
        return JSONResponse(describe_service([model.name for model in self._models]))

    async def page(self, request: Request) -> Response:
        """Answer ``GET /`` and the files of the page."""
        name = request.url.path.rpartition("/")[2] or INDEX
        return Response(
            self._page[name],
            media_type=_PAGE_TYPES[name.rpartition(".")[2]],
            headers={"content-security-policy": f"{POLICY}; frame-ancestors 'none'"},
        )

    async def translate(self, request: Request) -> Response:
        """Answer ``POST /translate``."""
        try:
            parsed = parse_request(
                request.query_params,
                request.headers,
                models=self._models,
                max_pixels=self._limits.max_pixels,
            )
            with self._queue.place():
                body = await self._read_body(request)
                work = functools.partial(translate_bytes, body, parsed)
                content, answered = await self._queue.run(work, gone=_disconnect(request.receive))
        except ClientDisconnect:
            self._report(Answered(status=499, reason="the client closed the connection"))
            return Response(status_code=499)
        except (RequestError, ImgTranslateError, MemoryError) as error:
            refusal = to_request_error(error)
            self._report(Answered(status=refusal.status, reason=str(refusal)))
            return error_response(refusal)
        self._report(answered)
        return in_pieces(
            content,
            media_type=parsed.media_type,
            headers={"server-timing": f"translate;dur={answered.seconds * 1000:.0f}"},
        )

    async def _read_body(self, request: Request) -> bytes:
        seconds = self._limits.timeout
        deadline = asyncio.timeout(seconds)
        self._deadlines.add(deadline)
        try:
            async with deadline:
                return await read_body(request, max_bytes=self._limits.max_bytes)
        except TimeoutError:
            if self._queue.closed:
                raise stopping_error() from None
            line = f"body: not complete after {seconds:g} seconds. Send it faster, or a smaller one"
            raise RequestError(HTTPStatus.REQUEST_TIMEOUT, line) from None
        finally:
            self._deadlines.discard(deadline)


def serve(
    models: Sequence[ServedModel],
    listener: socket.socket,
    *,
    limits: Limits,
    names: Sequence[str] = (),
    stop: Callable[[], bool],
    ready: Callable[[], None],
    report: Callable[[Answered], None],
) -> None:
    """Serve until ``stop`` returns True; then finish the current picture and refuse the rest.

    ``names``: further host names of this machine. ``ready`` is called when connections are
    accepted, ``report`` after each request to translate, both in another thread.
    """
    service = Service(models, limits=limits, report=report)
    app = service.app(names=[*names, *own_names()])
    run_server(app, listener, stop=stop, ready=ready, closing=service.close)


def translate_bytes(
    content: bytes, request: TranslateRequest, still_connected: Callable[[], bool] = lambda: True
) -> tuple[bytes, Answered]:
    """Translate the bytes of a file; all frames if the output format supports frames.

    Raises ``ImageError``, ``MemoryError``, and ``ClientDisconnect`` before the next frame once
    ``still_connected`` returns False.
    """
    start = time.perf_counter()
    model, options = request.model, request.options
    frames, _ = read_picture(
        io.BytesIO(content),
        channels=model.translator.header.in_channels,
        options=options,
        all_frames=holds_frames(options.pipe_suffix),
    )
    until_gone = itertools.takewhile(lambda _: still_connected(), frames)
    made = list(translate_frames(until_gone, model, sample=0))
    if len(made) < len(frames):
        raise ClientDisconnect
    encoded = encode_image(made, suffix=options.pipe_suffix, quality=options.quality)
    height, width = made[0].pixels.shape[:2]
    seconds = time.perf_counter() - start
    return encoded, Answered(status=200, model=model.name, size=(width, height), seconds=seconds)


async def _disconnect(receive: Receive) -> None:
    """Wait until the client closes the connection."""
    with suppress(ClientDisconnect):
        while (await receive())["type"] != "http.disconnect":
            pass


async def _http_error(_: Request, error: HTTPException) -> Response:
    """Answer for an unknown path, or a method that a path does not support."""
    line = f"request: {HTTPStatus(error.status_code).phrase.lower()}. See /openapi.json"
    return JSONResponse({"error": line}, status_code=error.status_code, headers=error.headers)
