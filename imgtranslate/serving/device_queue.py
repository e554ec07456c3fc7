"""The queue of the device: one picture is translated at a time, and a limited number waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar, final

from starlette.requests import ClientDisconnect

from imgtranslate.serving.errors import RequestError, stopping_error

Result = TypeVar("Result")
# Work that receives a function which returns whether the result is still needed
Work = Callable[[Callable[[], bool]], Result]

LONGEST_RETRY = 3600  # seconds, the largest Retry-After


@dataclass
class _Job:
    begun: bool = False
    wanted: bool = True


@final
class DeviceQueue:
    """A thread that does the work of one request at a time, and the waiting requests."""

    def __init__(self, *, places: int) -> None:
        self.taken = 0  # places for requests that are being sent, wait or are served
        self.closed = False
        self._places = places
        self._seconds = 1.0  # seconds of the latest work
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "translate")

    def close(self) -> None:
        """Refuse the waiting requests, and finish the one that is served."""
        self.closed = True
        self._thread.shutdown(wait=False)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place; raise ``RequestError`` 503 if none is free or the queue is closed."""
        if self.closed:
            raise stopping_error()
        if self.taken >= self._places:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"queue: all {self._places} places are taken. Try again later",
                retry_after=min(max(1, round(self._seconds * self.taken)), LONGEST_RETRY),
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def run(self, work: Work[Result], *, gone: Awaitable[None]) -> Result:
        """Wait for the device and run ``work``; raise ``ClientDisconnect`` when ``gone`` is done.

        Work that has started keeps the device until it ends, even if its client has left.
        """
        job = _Job()
        task = asyncio.create_task(self._run_alone(work, job))
        task.add_done_callback(_retrieve_error)
        leaving = asyncio.ensure_future(gone)
        either: set[asyncio.Future[Any]] = {task, leaving}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        if task.done():
            return task.result()
        job.wanted = False
        if not job.begun:
            task.cancel()
        raise ClientDisconnect

    async def _run_alone(self, work: Work[Result], job: _Job) -> Result:
        async with self._turn:
            if self.closed:
                raise stopping_error()
            job.begun = True
            loop = asyncio.get_running_loop()
            start = loop.time()
            try:
                return await loop.run_in_executor(self._thread, work, lambda: job.wanted)
            finally:
                self._seconds = loop.time() - start


def _retrieve_error(task: asyncio.Task[Result]) -> None:
    """Retrieve the error of a task whose client has left, which asyncio would otherwise log."""
    if not task.cancelled():
        task.exception()
