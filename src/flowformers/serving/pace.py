"""Whether a signature's runs are so short that handing them to another thread costs more than they do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SHORT_CPU_SECONDS, SHORT_SECONDS = 500e-6, 0.1
KNOWN, LATEST, ALLOWED = 32, 0xFF, 4  # runs remembered; the newest of them, as bits; how many of either may be slow
PROBE = 256  # of a signature that was slow, one run in so many is measured again


class Pace:
    """The last runs of a signature in their caller's thread: which were short, and how large their inputs were.

    Processor time is what is judged: under load, the time on the clock says more about the other requests. Counts may
    be off by a few where threads meet; only speed depends on them.
    """

    def __init__(self) -> None:
        self._slow, self._measured, self._asked, self._largest = 0, 0, 0, 0

    def worth_measuring(self) -> bool:
        """Whether to run in the caller's thread now, wherever that is."""
        self._asked += 1
        return (self._slow & LATEST).bit_count() <= ALLOWED or self._asked % PROBE == 0

    def short(self, size: int) -> bool:
        """Whether a run on inputs of so many bytes is sure enough to be short."""
        return self._measured >= KNOWN and self._slow.bit_count() <= ALLOWED and size <= self._largest

    @contextmanager
    def measure(self, size: int) -> Iterator[None]:
        """Remember the run inside the block."""
        clock, processor = time.perf_counter(), time.thread_time()
        yield
        slow = time.thread_time() - processor > SHORT_CPU_SECONDS or time.perf_counter() - clock > SHORT_SECONDS
        self._slow = (self._slow << 1 | slow) & (1 << KNOWN) - 1
        self._measured += 1
        if not slow:
            self._largest = max(self._largest, size)
