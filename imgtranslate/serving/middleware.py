"""ASGI layers around the application: the host check, and responses before the body is read."""

import asyncio
import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgtranslate.pages import shown
from imgtranslate.serving.errors import RequestError, error_response

LINGER_BYTES = 16 * 2**20  # limit for an unwanted body that is read after the response
LINGER_SECONDS = 2.0
_SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@final
class HostCheck:
    """A check that refuses requests by pages of other sites to a service on this machine.

    A page of another site can send requests to localhost, which is visible in ``Origin``. It can
    also let its own name resolve to 127.0.0.1 (DNS rebinding), which is visible in ``Host``. Every
    response has headers that prevent other sites from embedding or reading it.
    """

    def __init__(self, app: ASGIApp, *, names: Iterable[str]) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on to the application."""

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY_HEADERS)
            await send(message)

        try:
            self._check(Headers(scope=scope))
        except RequestError as error:
            await error_response(error)(scope, receive, send_secured)
        else:
            await self._app(scope, receive, send_secured)

    def _check(self, headers: Headers) -> None:
        host = headers.get("host", "localhost")
        if not self._is_own(_name_in(host)):
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                f"Host {shown(host, limit=80)}: not a name of this server. "
                "Use its number, or allow this name when the server starts",
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                f"Origin {shown(origin, limit=80)}: the page of another site. "
                "Open the page of this server",
            )

    def _is_own(self, name: str) -> bool:
        return name in self._names or name.endswith(".localhost") or is_address(name)


@final
class EarlyResponses:
    """Responses that are sent before the body is read completely, and then close the connection.

    After the whole response, a part of the body is still read: closing at once would reset the
    connection, and many clients would then discard the response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and end its connection if the body is still being sent."""
        headers = Headers(scope=scope)
        unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

        async def receive_counted() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_early(message: Message) -> None:
            if unread and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            elif unread and not message.get("more_body"):
                await send({**message, "more_body": True})
                await _drain(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, receive_counted, send_early)


def is_address(name: str) -> bool:
    """Return whether a host is an IP address, which DNS rebinding cannot imitate."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_in(host: str) -> str:
    """Return the name in ``name:port`` or the address in ``[address]:port``, else an empty text."""
    found = _HOST.fullmatch(host.lower())
    return (found["address"] or found["name"]).rstrip(".") if found else ""


_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::[0-9]{1,5})?")


async def _drain(receive: Receive) -> None:
    taken = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while taken < LINGER_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
