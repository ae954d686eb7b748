"""Whether a signature's runs are so short that the event loop should rather wait than change threads.

A change cost 1 ms on two slow cores, which a client alone pays in full; among many clients it buys the other core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHORT_SECONDS = 0.1
BUSY_CPU_SECONDS = 500e-6  # with other requests in flight: they wait as long
ALONE_CPU_SECONDS = 2e-3
KNOWN, LATEST, ALLOWED = 32, 0xFF, 4  # runs remembered; the newest of them, as bits; how many of either may be slow
PROBE = 256  # of a signature that was slow, one run in so many is measured again


class Pace:
    """The last runs of a signature in their caller's thread: which were short, and how large their inputs were.

    Processor time is what is judged: under load, the time on the clock says more about the other requests. Counts may
    be off by a few where threads meet; only speed depends on them.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._alone, self._busy = _History(ALONE_CPU_SECONDS), _History(BUSY_CPU_SECONDS)

    def worth_measuring(self) -> bool:
        """Whether to run in the caller's thread now, wherever that is."""
        self._asked += 1
        return self._alone.lately_short() or self._asked % PROBE == 0

    def short(self, size: int, *, alone: bool) -> bool:
        """Whether a run on inputs of so many bytes is sure enough to be short. alone: no other request waits for it."""
        return (self._alone if alone else self._busy).surely_short(size)

    @contextmanager
    def measure(self, size: int) -> Iterator[None]:
        """Remember the run inside the block."""
        clock, processor = time.perf_counter(), time.thread_time()
        yield
        processor = time.thread_time() - processor
        seconds = processor if time.perf_counter() - clock <= SHORT_SECONDS else math.inf
        self._alone.add(seconds, size)
        self._busy.add(seconds, size)


class _History:
    """Which of the last runs took longer than so many seconds, as bits, and the largest inputs of the others."""

    def __init__(self, limit: float) -> None:
        self._limit, self._slow, self._count, self._largest = limit, 0, 0, 0

    def add(self, seconds: float, size: int) -> None:
        slow = seconds > self._limit
        self._slow = (self._slow << 1 | slow) & (1 << KNOWN) - 1
        self._count += 1
        if not slow:
            self._largest = max(self._largest, size)

    def lately_short(self) -> bool:
        return (self._slow & LATEST).bit_count() <= ALLOWED

    def surely_short(self, size: int) -> bool:
        return self._count >= KNOWN and self._slow.bit_count() <= ALLOWED and size <= self._largest
