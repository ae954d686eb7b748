"""Which requests the event loop answers itself."""

from __future__ import annotations

import asyncio
import time

import pytest

from flowformers.serving import pace
from flowformers.serving.execution import Execution
from flowformers.serving.pace import Pace, patience

SIZE, LARGER = (100, 1000), ((101, 1000), (100, 1001))


def known(cpu_seconds, monkeypatch, runs=pace.KNOWN):
    """A Pace after so many runs of that length."""
    clock = [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: clock[0])
    found = Pace()
    found.tried(SIZE, found.begin())
    for _ in range(runs):
        begun = found.begin()
        clock[0] += cpu_seconds
        found.measured(SIZE, begun)
    return found


@pytest.mark.parametrize(
    ("cpu_seconds", "alone", "among_others"), [(0.3e-3, True, True), (1e-3, True, False), (5e-3, False, False)]
)
def test_a_run_that_many_would_wait_for_is_short_only_for_one_alone(monkeypatch, cpu_seconds, alone, among_others):
    found = known(cpu_seconds, monkeypatch)
    assert [found.short(SIZE, patience(alone=one)) for one in (True, False)] == [alone, among_others]


def test_what_is_not_known_yet_is_not_short(monkeypatch):
    assert not known(1e-4, monkeypatch, runs=pace.KNOWN - 1).short(SIZE, patience(alone=True))
    assert not any(known(1e-4, monkeypatch).short(size, patience(alone=True)) for size in (*LARGER, None))


def test_a_run_without_a_time_limit_is_no_larger_than_one_that_ended_soon(monkeypatch):
    found, clock = Pace(), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert not found.worth_measuring(SIZE)
    for seconds, worth in ((2 * pace.SHORT_SECONDS, False), (pace.SHORT_SECONDS / 2, True)):
        begun = found.begin()
        clock[0] += seconds
        found.tried(SIZE, begun)
        assert found.worth_measuring(SIZE) == worth
    assert not any(found.worth_measuring(size) for size in LARGER)


def test_a_signature_that_becomes_slow_is_soon_not_short(monkeypatch):
    found = known(1e-4, monkeypatch)
    clock = [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: clock[0])
    for _ in range(pace.ALLOWED + 1):
        begun = found.begin()
        clock[0] += 1.0
        found.measured(SIZE, begun)
    assert not found.short(SIZE, patience(alone=True))
    assert not found.worth_measuring(SIZE)


def test_requests_that_come_together_are_not_alone():
    execution = Execution(None, 1, 1)

    async def one():
        with execution.request:
            return await execution.alone()

    async def together(count):
        return await asyncio.gather(*(one() for _ in range(count)))

    assert asyncio.run(together(1)) == [True]
    assert asyncio.run(together(3))[:2] == [False, False]


@pytest.mark.parametrize(("rests", "alone"), [(0.1, False), (1.0, True)])
def test_a_request_is_not_alone_where_the_event_loop_hardly_rests(monkeypatch, rests, alone):
    execution, computed, passed = Execution(None, 1, 1), [0.0], [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: computed[0])
    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])

    async def one_after_the_other():
        for _ in range(60):
            with execution.request:
                found = await execution.alone()
            computed[0] += 1.0
            passed[0] += 1.0 + rests
        return found

    assert asyncio.run(one_after_the_other()) == alone
