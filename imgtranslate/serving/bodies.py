"""The body of a request, as far as there is room and time for it."""

import asyncio
import io
from http import HTTPStatus
from typing import final

from starlette.requests import Request

from imgtranslate.serving.errors import RefusedError


@final
class Body:
    """A picture on its way in; it is counted while it comes, whatever its head claims."""

    def __init__(self, request: Request, *, most: int, seconds: float) -> None:
        self._request = request
        self._most = most
        self._seconds = seconds
        self.finished = False  # whether all of it has come
        self.hurried = False  # whether nobody can wait for it any more
        self._patience: asyncio.Timeout | None = None

    async def read(self) -> bytes:
        """All of it. Raises ``RefusedError``, and ``ClientDisconnect`` if the client hangs up."""
        self._refuse_length(int(self._request.headers.get("content-length", 0)))
        try:
            async with asyncio.timeout(self._seconds) as self._patience:
                return await self._read()
        except TimeoutError:
            raise self._late() from None

    def hurry(self) -> None:
        """Let the client's time be over."""
        self.hurried = True
        if self._patience is not None and not self.finished:
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _read(self) -> bytes:
        content = io.BytesIO()
        async for part in self._request.stream():
            content.write(part)
            self._refuse_length(content.tell())
        self.finished = True
        if not content.tell():
            raise RefusedError(HTTPStatus.BAD_REQUEST, "body: empty. Send the bytes of a picture")
        return content.getvalue()

    def _refuse_length(self, length: int) -> None:
        if length > self._most:
            line = f"body: more than {self._most:,} bytes. Shrink the picture or pack it tighter"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, line)

    def _late(self) -> RefusedError:
        if self.hurried:
            line = "server: it is stopping. Try again when it is back"
            return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, line, retry_after=10)
        line = f"body: not here after {self._seconds:g} seconds. Send it faster, or smaller"
        return RefusedError(HTTPStatus.REQUEST_TIMEOUT, line)
