"""Where requests run: on the event loop if that is surely short, else in threads behind a queue with an end."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Lock
from typing import TypeVar

from flowformers.errors import Kind, ServingError
from flowformers.serving import calls, metrics

Result = TypeVar("Result")
RESTLESS = 0.8  # the share of its time that the event loop computes where requests wait
INLINE_BYTES = 64 * 2**10  # of a larger request, reading alone takes too long for the event loop
FADING = 0.9  # weight of what was before, at each request


class Execution:
    """Runs work for the protocols. What its client has given up is not begun. max_queued: 0 is no limit.

    `with execution.request:` a request is in flight inside the block. For the event loop's thread.
    """

    def __init__(self, executor: Executor, threads: int, max_queued: int) -> None:
        self._executor, self._limit = executor, threads + max_queued if max_queued else math.inf
        self._accepted, self._lock = 0, Lock()
        self.request, self._share = _Open(), _Share()

    async def alone(self) -> bool:
        """Whether nobody waits while this request is answered: none is in flight beside it, or is about to be.

        gRPC takes requests one by one from a queue that can't be seen; where there is one, the event loop never rests.
        """
        await asyncio.sleep(0)  # those that came with this one begin
        return self._share.of_thread() < RESTLESS and self.request.count == 1

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


class _Open:
    """How many requests are in flight."""

    count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1


class _Share:
    """The share of its time that a thread computed lately, asked from that thread."""

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None
        self._computed = self._passed = 0.0

    def of_thread(self) -> float:
        """0 to 1; 0 at first."""
        now = time.thread_time(), time.perf_counter()
        before, self._seen = self._seen or now, now
        self._computed = FADING * self._computed + now[0] - before[0]
        self._passed = FADING * self._passed + now[1] - before[1]
        return self._computed / self._passed if self._passed else 0.0
