"""What a client is told that gets no picture: a status, and one line of JSON."""

import asyncio
from contextlib import suppress
from http import HTTPStatus

from PIL import UnidentifiedImageError
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from imgtranslate.errors import ImgTranslateError, UsageError

LINGER_BYTES = 16 * 2**20  # of a body that nobody wants, which are still taken
LINGER_SECONDS = 2.0


class RefusedError(Exception):
    """A request that is not done: ``"<what>: <why>. <what to do>"``, and when to come again."""

    def __init__(self, status: HTTPStatus, line: str, *, retry_after: int | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.retry_after = retry_after  # s


def refusal_of(error: ImgTranslateError | MemoryError) -> RefusedError:
    """What a client is told of a fault: of its question, of its picture, or of our memory."""
    if isinstance(error, MemoryError):
        line = "body: too big for the memory. Shrink or cut it first"
    elif isinstance(error, UsageError):
        line = str(error).removeprefix("--")  # options are parameters here
    else:
        line = f"body: {str(error).removeprefix('-: ')}"
    return RefusedError(_status(error), line)


def answer_of(refusal: RefusedError) -> JSONResponse:
    """The refusal as a response."""
    later = refusal.retry_after
    headers = {} if later is None else {"retry-after": str(later)}
    return JSONResponse({"error": str(refusal)}, status_code=refusal.status, headers=headers)


class EarlyAnswer:
    """A refusal that is sent before the body has been read, whose connection then ends.

    The whole answer goes out first. A part of the body is then still taken: to close at once would
    be a reset, at which many clients throw the answer away.
    """

    def __init__(self, refusal: RefusedError) -> None:
        self._answer = answer_of(refusal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as an application of ASGI."""
        del scope
        headers = [*self._answer.raw_headers, (b"connection", b"close")]
        status = self._answer.status_code
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = bytes(self._answer.body)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _drain(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    taken = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while taken < LINGER_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def _status(error: ImgTranslateError | MemoryError) -> HTTPStatus:
    if isinstance(error, UsageError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error.__cause__, UnidentifiedImageError):
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return HTTPStatus.UNPROCESSABLE_ENTITY
