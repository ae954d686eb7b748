"""Whether a signature's runs are so short that the event loop should rather wait than change threads.

A change cost 1 ms on two slow cores, which a client alone pays in full; among many clients it buys the other core.
"""

from __future__ import annotations

import math
import time

from flowformers.serving.rows import Size

SHORT_SECONDS = 0.1
BUSY_CPU_SECONDS = 500e-6  # with other requests in flight: they wait as long
ALONE_CPU_SECONDS = 2e-3
KNOWN, LATEST, ALLOWED = 32, 0xFF, 4  # runs remembered; the newest of them, as bits; how many of either may be slow
PROBE = 256  # of a signature that was slow, one run in so many is measured again
NOTHING = (0, 0)
Begun = tuple[float, float]  # on the clock, of the processor


class NotShort(Exception):
    """A run is not sure to be as short as the event loop has time: it is for a thread."""


def patience(*, alone: bool) -> float:
    """Seconds of processor time that the event loop has for a request. alone: no other request waits for it."""
    return ALONE_CPU_SECONDS if alone else BUSY_CPU_SECONDS


class Pace:
    """The last runs of a signature in their caller's thread: which were short, and how large their inputs were.

    Processor time is what is judged: under load, the time on the clock says more about the other requests. Counts may
    be off by a few where threads meet; only speed depends on them.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._tried = NOTHING
        self._histories = {limit: _History(limit) for limit in (ALONE_CPU_SECONDS, BUSY_CPU_SECONDS)}

    def worth_measuring(self, size: Size) -> bool:
        """Whether to run in the caller's thread now, wherever that is: TensorFlow keeps no time limit there.

        So only what is no larger than what a trial has shown to end soon.
        """
        self._asked += 1
        lately_short = self._histories[ALONE_CPU_SECONDS].lately_short()
        return (lately_short or self._asked % PROBE == 0) and _within(size, self._tried)

    def short(self, size: Size | None, cpu_seconds: float) -> bool:
        """Whether a run is sure enough to take no more of the processor. size: None is unknown."""
        return size is not None and self._histories[cpu_seconds].surely_short(size)

    @staticmethod
    def begin() -> Begun:
        """Before a run, for what is told of it afterwards."""
        return time.perf_counter(), time.thread_time()

    def tried(self, size: Size, begun: Begun) -> None:
        """A run in TensorFlow's threads, with a time limit, has ended."""
        if time.perf_counter() - begun[0] <= SHORT_SECONDS:
            self._tried = _larger(self._tried, size)

    def measured(self, size: Size, begun: Begun) -> None:
        """A run in this thread has ended."""
        clock, processor = begun
        processor = time.thread_time() - processor
        seconds = processor if time.perf_counter() - clock <= SHORT_SECONDS else math.inf
        for history in self._histories.values():
            history.add(seconds, size)


class _History:
    """Which of the last runs took longer than so many seconds, as bits, and the largest inputs of the others."""

    def __init__(self, limit: float) -> None:
        self._limit, self._slow, self._count, self._largest = limit, 0, 0, NOTHING

    def add(self, seconds: float, size: Size) -> None:
        slow = seconds > self._limit
        self._slow = (self._slow << 1 | slow) & (1 << KNOWN) - 1
        self._count += 1
        if not slow:
            self._largest = _larger(self._largest, size)

    def lately_short(self) -> bool:
        return (self._slow & LATEST).bit_count() <= ALLOWED

    def surely_short(self, size: Size) -> bool:
        return self._count >= KNOWN and self._slow.bit_count() <= ALLOWED and _within(size, self._largest)


def _larger(one: Size, other: Size) -> Size:
    return max(one[0], other[0]), max(one[1], other[1])


def _within(size: Size, largest: Size) -> bool:
    """Whether both parts are: the work is then no more than that of two runs which were."""
    return size[0] <= largest[0] and size[1] <= largest[1]
