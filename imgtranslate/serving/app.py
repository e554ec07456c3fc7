"""The service as an ASGI application: what is asked where, and what is answered."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive

from imgtranslate.errors import ImgTranslateError
from imgtranslate.pages.web import INDEX, POLICY, page_files
from imgtranslate.serving.bodies import Body
from imgtranslate.serving.device_queue import Device
from imgtranslate.serving.errors import EarlyAnswer, RefusedError, answer_of, refusal_of
from imgtranslate.serving.middleware import Doors
from imgtranslate.serving.models import Served
from imgtranslate.serving.openapi import describe_service
from imgtranslate.serving.request import Wish, parse_wish
from imgtranslate.serving.work import Made, translate_bytes

_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
PIECE = 2**16  # bytes of an answer that a client must take in good time


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request, and all of them together, may take."""

    queue: int = 16  # requests that wait beside the one that is served
    max_bytes: int = 50_000_000  # of a picture as it is sent
    max_pixels: int = 2**24  # of all its frames
    timeout: float = 30.0  # s, to send a picture


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A request that came to its end, for whoever looks on."""

    status: int
    model: str | None = None
    size: tuple[int, int] | None = None  # width, height in px
    seconds: float = 0.0
    reason: str = ""


@final
class Service:
    """The models, the device that they share, and the requests at hand."""

    def __init__(
        self, models: Sequence[Served], *, limits: Limits, report: Callable[[Answered], None]
    ) -> None:
        self._models = models
        self._limits = limits
        self._report = report
        self._device = Device(places=limits.queue + 1)
        self._bodies: set[Body] = set()
        self._page = page_files("server", self._described())

    def app(self, *, names: Iterable[str]) -> ASGIApp:
        """The application; ``names``: what this machine may be called in ``Host``."""
        routes = [
            Route("/translate", self.translate, methods=["POST"]),
            Route("/models", self.models),
            Route("/healthz", self.healthz),
            Route("/openapi.json", self.openapi),
            Route("/", self.page),
            *(Route(f"/{name}", self.page) for name in self._page),
        ]
        handlers = {HTTPException: _no_such_place, 500: _our_fault}
        return Doors(Starlette(routes=routes, exception_handlers=handlers), names=names)

    def close(self) -> None:
        """Finish the picture at hand; refuse who sends or waits."""
        self._device.close()
        for body in self._bodies:
            body.hurry()

    async def models(self, _: Request) -> Response:
        """``GET /models``."""
        return JSONResponse({"models": self._described()})

    async def healthz(self, _: Request) -> Response:
        """``GET /healthz``."""
        closed = self._device.closed
        found = {"status": "stopping" if closed else "ok", "taken": self._device.taken}
        return JSONResponse(found, status_code=503 if closed else 200)

    async def openapi(self, _: Request) -> Response:
        """``GET /openapi.json``."""
        return JSONResponse(describe_service(self._models))

    async def page(self, request: Request) -> Response:
        """``GET /`` and the files of the page."""
        name = request.url.path.rpartition("/")[2] or INDEX
        return Response(
            self._page[name],
            media_type=_KINDS[name.rpartition(".")[2]],
            headers={"content-security-policy": f"{POLICY}; frame-ancestors 'none'"},
        )

    async def translate(self, request: Request) -> Response | EarlyAnswer:
        """``POST /translate``: the picture in the body, translated."""
        body = Body(request, most=self._limits.max_bytes, seconds=self._limits.timeout)
        try:
            wish = parse_wish(request.query_params, request.headers, models=self._models)
            with self._device.place():
                made = await self._made(wish, body, request.receive)
        except ClientDisconnect:
            self._report(Answered(status=499, reason="the client hung up"))
            return Response(status_code=499)
        except RefusedError as refusal:
            return self._refused(refusal, body)
        except (ImgTranslateError, MemoryError) as error:
            return self._refused(refusal_of(error), body)
        name = wish.model.name
        self._report(Answered(status=200, model=name, size=made.size, seconds=made.seconds))
        return _answer(made, wish)

    def _described(self) -> list[dict[str, Any]]:
        most = self._limits.max_pixels
        return [{**model.to_json(), "max_pixels": most} for model in self._models]

    async def _made(self, wish: Wish, body: Body, receive: Receive) -> Made:
        self._bodies.add(body)
        try:
            content = await body.read()
        finally:
            self._bodies.discard(body)
        work = functools.partial(_work, content, wish, self._limits.max_pixels)
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            return await self._device.run(work, gone=gone)
        finally:
            gone.cancel()

    def _refused(self, refusal: RefusedError, body: Body) -> Response | EarlyAnswer:
        self._report(Answered(status=refusal.status, reason=str(refusal)))
        return answer_of(refusal) if body.finished else EarlyAnswer(refusal)


def _work(content: bytes, wish: Wish, most: int, wanted: Callable[[], bool]) -> Made:
    return translate_bytes(content, wish, most=most, wanted=wanted)


async def _hung_up(receive: Receive) -> None:
    """Wait until the client closes the connection."""
    with suppress(ClientDisconnect):
        while (await receive())["type"] != "http.disconnect":
            pass


def _answer(made: Made, wish: Wish) -> Response:
    headers = {
        "content-length": str(len(made.content)),
        "server-timing": f"translate;dur={made.seconds * 1000:.0f}",
    }
    return StreamingResponse(_pieces(made.content), headers=headers, media_type=wish.media_type)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


async def _no_such_place(_: Request, error: Exception) -> Response:
    """Of an unknown path, or a method that a path has not got."""
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    headers = error.headers if isinstance(error, HTTPException) else None
    line = f"request: {HTTPStatus(status).phrase.lower()}. See /openapi.json"
    return JSONResponse({"error": line}, status_code=status, headers=headers)


async def _our_fault(_: Request, error: Exception) -> Response:
    """Of a bug, whose traceback goes to stderr."""
    line = f"server: {type(error).__name__}, a bug. See what it wrote to stderr"
    return JSONResponse({"error": line}, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)
