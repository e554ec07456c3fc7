"""Who may come in: a page of another site may not use a service on this machine.

Another site's page can send requests to localhost, and can have its own name lead to 127.0.0.1
(DNS rebinding); the first shows in ``Origin``, the second in ``Host``.
"""

import ipaddress
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgtranslate.pages import shown
from imgtranslate.serving.errors import EarlyAnswer, RefusedError

_EVERY_ANSWER = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@final
class Doors:
    """Lets in who calls this machine by its own names or numbers, from no other site's page."""

    def __init__(self, app: ASGIApp, *, names: Iterable[str]) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request, as an application of ASGI."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_EVERY_ANSWER)
            await send(message)

        try:
            self._refuse_stranger(Headers(scope=scope))
        except RefusedError as refusal:
            await EarlyAnswer(refusal)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refuse_stranger(self, headers: Headers) -> None:
        host = headers.get("host", "localhost")
        if not self._is_ours(_name(host)):
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                f"Host {shown(host, limit=80)}: not a name of this server. "
                "Use its number, or start serve with --allow-host",
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            raise RefusedError(
                HTTPStatus.FORBIDDEN,
                f"Origin {shown(origin, limit=80)}: the page of another site. "
                "Open the page of this server",
            )

    def _is_ours(self, name: str) -> bool:
        return name in self._names or name.endswith(".localhost") or is_number(name)


def is_number(name: str) -> bool:
    """Whether it is an IP address, which no foreign name can be made to look like."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """The name in ``name:port`` or ``[number]:port``; nothing where it is anything else."""
    found = _HOST.fullmatch(host.lower())
    return (found["number"] or found["name"]).rstrip(".") if found else ""


_HOST = re.compile(r"(?:\[(?P<number>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_.-]+))(?::[0-9]{1,5})?")
