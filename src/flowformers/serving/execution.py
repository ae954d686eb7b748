"""Where requests run: on the event loop if that is surely short, else in threads behind a queue with an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Lock
from typing import TypeVar

from flowformers.errors import Kind, ServingError
from flowformers.serving import calls, metrics

Result = TypeVar("Result")


class Execution:
    """Runs work for the protocols. What its client has given up is not begun."""

    def __init__(self, executor: Executor, threads: int, max_queued: int) -> None:
        self._executor, self._limit = executor, threads + max_queued
        self._accepted, self._lock = 0, Lock()

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of the work in a thread. Raises RESOURCE_EXHAUSTED at once where the queue is full."""
        with self._lock:
            if self._accepted >= self._limit:
                metrics.REFUSED.inc()
                raise ServingError(
                    Kind.RESOURCE_EXHAUSTED, f"{self._accepted} requests are waiting or running, which is the limit"
                )
            self._accepted += 1
        future = self._executor.submit(calls.in_thread(work))
        future.add_done_callback(self._finished)
        # Cancelling the coroutine cancels the work where it waits.
        return await asyncio.wrap_future(future)

    def _finished(self, _: Future[Result]) -> None:
        with self._lock:
            self._accepted -= 1
