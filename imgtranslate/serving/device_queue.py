"""One picture at a time: who waits for the device, and who has given up waiting."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar, final

from starlette.requests import ClientDisconnect

from imgtranslate.serving.errors import RefusedError

Result = TypeVar("Result")

LONGEST_WAIT = 3600  # s, that a client is told to stay away at most


@dataclass
class _Job:
    begun: bool = False
    wanted: bool = True


@final
class Device:
    """Does one thing after the other, in a thread of its own, for a bounded number of clients."""

    def __init__(self, *, places: int) -> None:
        self._places = places  # of those who send, wait or are served
        self._taken = 0
        self._seconds = 1.0  # that the last one took
        self._closed = False
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "translate")

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken

    @property
    def closed(self) -> bool:
        """Whether nothing is begun any more."""
        return self._closed

    def close(self) -> None:
        """Begin nothing any more: who waits is refused, who is served is served."""
        self._closed = True
        self._thread.shutdown(wait=False)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places; ``RefusedError`` with 503 where none is free."""
        self.refuse_closed()
        if self._taken >= self._places:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"queue: all {self._places} places are taken. Try again later",
                retry_after=min(max(1, round(self._seconds * self._taken)), LONGEST_WAIT),
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def refuse_closed(self) -> None:
        """Raise ``RefusedError`` with 503 once it is closed."""
        if self._closed:
            line = "server: it is stopping. Try again when it is back"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, line, retry_after=10)

    async def run(
        self, work: Callable[[Callable[[], bool]], Result], *, gone: asyncio.Future[None]
    ) -> Result:
        """Wait for the turn and do the work; ``ClientDisconnect`` once ``gone``.

        ``work`` gets a function that says whether its result is still wanted. What was begun keeps
        the device until it ends, whoever has gone.
        """
        job = _Job()
        task = asyncio.create_task(self._alone(work, job))
        task.add_done_callback(_seen)
        either: set[asyncio.Future[Any]] = {task, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        job.wanted = False
        if not job.begun:
            task.cancel()
        raise ClientDisconnect

    async def _alone(self, work: Callable[[Callable[[], bool]], Result], job: _Job) -> Result:
        async with self._turn:
            self.refuse_closed()
            job.begun = True
            loop = asyncio.get_running_loop()
            start = loop.time()
            try:
                return await loop.run_in_executor(self._thread, work, lambda: job.wanted)
            finally:
                self._seconds = loop.time() - start


def _seen(task: asyncio.Task[Result]) -> None:
    """Look at the fault of a task whose client has gone, or Python would complain."""
    if not task.cancelled():
        task.exception()
