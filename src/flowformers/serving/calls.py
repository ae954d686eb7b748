"""One request on its way: how long each part took, how it ended. Protocols open a Call, the rest adds to it."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TypeVar

from flowformers.errors import Kind
from flowformers.serving import metrics, tracing

log = logging.getLogger("flowformers.access")
ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
IDS = random.Random()  # they are to differ, not to be secret: no system call for each
Result = TypeVar("Result")


@dataclass
class Call:
    """protocol: REST or GRPC; api: as TensorFlow Serving's metrics call it, else as its protocol does, "" for status
    and metadata; model: as the client names it, "" where that is not known (yet); seconds.
    """

    protocol: str
    api: str
    model: str
    request_id: str
    started: float = field(default_factory=time.perf_counter)
    queued: float = 0.0
    ran: float = 0.0
    kind: Kind = Kind.OK

    def server_timing(self) -> str:
        """The Server-Timing header: milliseconds in the queue, in the graph, and altogether."""
        total = time.perf_counter() - self.started
        return f"queue;dur={self.queued * 1e3:.3f}, run;dur={self.ran * 1e3:.3f}, total;dur={total * 1e3:.3f}"


CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


def request_id(given: str) -> str:
    """A client's X-Request-Id where it can be taken, else a new one."""
    return given if given and ID.fullmatch(given) else f"{IDS.getrandbits(64):016x}"


@contextmanager
def observed(call: Call, headers: Mapping[str, str]) -> Iterator[Call]:
    """Count, time, trace and log what happens inside the block."""
    in_flight = metrics.in_flight(call.protocol)
    token = CURRENT.set(call)
    in_flight.inc()
    try:
        with tracing.span(call.protocol, call.api, call.model, headers) as end:
            yield call
            end(call.model, call.kind, call.request_id)
    except BaseException:
        call.kind = Kind.CANCELLED if call.kind is Kind.OK else call.kind
        raise
    finally:
        in_flight.dec()
        CURRENT.reset(token)
        _count(call)


def _count(call: Call) -> None:
    seconds = time.perf_counter() - call.started
    metrics.answered(call.model, call.protocol, call.api, call.kind, seconds, call.ran)
    if log.isEnabledFor(logging.INFO):
        fields = {"protocol": call.protocol, "api": call.api, "model": call.model, "status": call.kind.name}
        times = {"queue_ms": call.queued, "run_ms": call.ran, "total_ms": seconds}
        extra = {name: round(value * 1000, 3) for name, value in times.items()} | {"request_id": call.request_id}
        log.info("answered", extra={"fields": fields | extra})


def in_thread(work: Callable[[], Result]) -> Callable[[], Result]:
    """The work with the caller's context, and the time until a thread takes it counted as queueing."""
    context, call, waiting = copy_context(), CURRENT.get(), time.perf_counter()

    def begin() -> Result:
        seconds = time.perf_counter() - waiting
        metrics.QUEUE_SECONDS.observe(seconds)
        if call is not None:
            call.queued = seconds
        return context.run(work)

    return begin


def ran(seconds: float) -> None:
    """Time of the current call in the graph."""
    call = CURRENT.get()
    if call is not None:
        call.ran += seconds


def ended(kind: Kind) -> None:
    """How the current call ends."""
    call = CURRENT.get()
    if call is not None:
        call.kind = kind


def is_for(model: str) -> None:
    """The model of the current call, where its body and not its path names it."""
    call = CURRENT.get()
    if call is not None:
        call.model = model


def model() -> str:
    """The model of the current call, "" outside of one."""
    call = CURRENT.get()
    return call.model if call is not None else ""
