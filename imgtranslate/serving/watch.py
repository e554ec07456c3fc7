"""The service that shows runs: one page, and the files of runs as JSON and pictures."""

import json
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar, final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from imgtranslate.evaluation.report.live import Watch
from imgtranslate.pages import render
from imgtranslate.serving.errors import bug_response
from imgtranslate.serving.middleware import EarlyResponses, HostCheck
from imgtranslate.serving.server import in_pieces, own_names, run_server

T = TypeVar("T")

TITLE = "Runs"
# A report has a policy of its own. It is opened apart from the page, so it cannot ask for runs.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'"
)


def watch(
    runs: Watch,
    listener: socket.socket,
    *,
    names: Sequence[str] = (),
    stop: Callable[[], bool],
    ready: Callable[[], None],
) -> None:
    """Show runs until ``stop`` returns True.

    ``names``: further host names of this machine. ``ready`` is called in another thread when
    connections are accepted.
    """
    app = WatchService(runs).app(names=[*names, *own_names()])
    run_server(app, listener, stop=stop, ready=ready)


@final
class WatchService:
    """The routes of the page, which read files and never write one."""

    def __init__(self, runs: Watch) -> None:
        self._runs = runs

    def app(self, *, names: Iterable[str]) -> ASGIApp:
        """Build the application; ``names`` are the host names of this machine."""
        routes = [
            Route("/", self.page),
            Route("/runs", self.list_runs),
            Route("/runs/{key}", self.run),
            Route("/runs/{key}/samples/{step:int}", self.sample),
            Route("/runs/{key}/report", self.report),
        ]
        handlers: dict[Any, Any] = {HTTPException: _http_error, 500: bug_response}
        return EarlyResponses(
            HostCheck(Starlette(routes=routes, exception_handlers=handlers), names=names)
        )

    def page(self, _: Request) -> Response:
        """Answer ``GET /``."""
        page = render("watch", self._runs.list_runs(), title=TITLE)
        return in_pieces(page.encode(), media_type="text/html; charset=utf-8")

    def list_runs(self, _: Request) -> Response:
        """Answer ``GET /runs``: the state and main figures of every run."""
        return _json(self._runs.list_runs())

    def run(self, request: Request) -> Response:
        """Answer ``GET /runs/{key}``: all that the page shows of a run."""
        return _json(_found(self._runs.describe(request.path_params["key"])))

    def sample(self, request: Request) -> Response:
        """Answer ``GET /runs/{key}/samples/{step}``."""
        key, step = request.path_params["key"], request.path_params["step"]
        return in_pieces(_found(self._runs.read_sample(key, step)), media_type="image/png")

    def report(self, request: Request) -> Response:
        """Answer ``GET /runs/{key}/report``."""
        content = _found(self._runs.read_report(request.path_params["key"]))
        headers = {"content-security-policy": REPORT_POLICY}
        return in_pieces(content, media_type="text/html; charset=utf-8", headers=headers)


def _found(value: T | None) -> T:
    if value is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return value


def _json(tree: Mapping[str, Any]) -> Response:
    text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    return in_pieces(text.encode(), media_type="application/json")


async def _http_error(_: Request, error: HTTPException) -> Response:
    """Answer for an unknown path or run, or a method other than GET."""
    line = f"request: {HTTPStatus(error.status_code).phrase.lower()}. Open the page, /"
    return JSONResponse({"error": line}, status_code=error.status_code, headers=error.headers)
